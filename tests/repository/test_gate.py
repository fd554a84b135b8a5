"""The gate of main prints its current part, retries a failed set-up, and names what failed."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import touched
from commands import eventually
from pages import ROOT

MAKE = """#!/bin/bash
echo "make $1" >> {calls}
calls={calls}
await() {{ for _ in {{1..600}}; do grep -qx "$1" $calls && return; sleep 0.05; done; exit 9; }}
until_interrupted() {{ trap "echo $part interrupted >> $calls; exit 1" INT; echo $part waits >> $calls; await never; }}
part=$1
case "$1 $(grep -cx "make $1" {calls})" in
{cases}
esac
"""
COLLECTING = "echo 'Collecting torch==2.15.0'; echo 'ERROR: No matching distribution found for torch==2.15.0'; exit 2"


class Gate:
    """`.ci/run`, where `make` is a script that answers as told."""

    def __init__(self, folder: Path) -> None:
        self.calls, self._bin, self.temporary = folder / "calls", folder / "bin", folder / "temporary"
        self._bin.mkdir()
        self.temporary.mkdir()
        self.calls.touch()

    def start(self, *cases: str) -> subprocess.Popen[str]:
        """Each case is of `case "PART N" in`, the N-th call of a part."""
        make = self._bin / "make"
        make.write_text(MAKE.format(calls=self.calls, cases="\n".join(f"  {case} ;;" for case in cases)))
        make.chmod(0o755)
        env = {**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}", "CI_PAUSE_SECONDS": "0"}
        return subprocess.Popen(
            [ROOT / ".ci" / "run"],
            env={**env, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *cases: str) -> tuple[int, str]:
        """Return the exit code, and what was printed."""
        with self.start(*cases) as process:
            printed, _ = process.communicate(timeout=60)
        return process.returncode, printed

    def go_on(self) -> None:
        """End the `await "go on"` of a part."""
        with self.calls.open("a") as calls:
            calls.write("go on\n")

    def run_held(self, *cases: str, until: str) -> str:
        """Return what was printed by a run whose parts pass, where `await "go on"` ends when `until` is announced."""
        with self.start(*cases) as process:
            printed = read_until(process, until)
            self.go_on()
            printed += process.communicate(timeout=60)[0]
        assert process.returncode == 0, printed
        return printed

    def await_calls(self, *lines: str) -> None:
        """Wait until each line stands in `calls`."""
        eventually(lambda: set(lines) <= set(self.calls.read_text().splitlines()), f"the calls {lines}", 60)


def announced(printed: str) -> list[str]:
    """Return what the lines say that begin with the time so far."""
    return re.findall(r"^== \d+:\d\d  (.*)$", printed, re.M)


def read_until(process: subprocess.Popen[str], announcement: str) -> str:
    """Return what was printed up to the line that announces it, the only sign that a part has ended."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if announcement in announced(line):
            return "".join(lines)
    raise AssertionError(f"never announced: {announcement}\n{''.join(lines)}")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_each_part_is_announced_with_the_time_so_far(gate: Gate) -> None:
    cases = ('"test-slurm 1") await "make test"', '"test 1") await "go on"')
    printed = gate.run_held(*cases, until="SLURM tests passed")
    assert announced(printed) == [
        "set-up",
        "lint",
        "SLURM tests, in the background",
        "tests",
        "SLURM tests passed",
        "tests passed",
        "the output of the SLURM tests",
        "all parts passed",
    ]
    assert gate.calls.read_text().splitlines()[:2] == ["make setup", "make lint"]
    assert list(gate.temporary.iterdir()) == []


def test_the_slurm_tests_run_beside_the_tests_and_are_printed_after_them(gate: Gate) -> None:
    printed = gate.run_held(
        '"test 1") echo of the tests; await "make test-slurm"',
        '"test-slurm 1") echo of SLURM; await "make test"; await "go on"',
        until="tests passed",
    )
    lines = [line for line in printed.splitlines() if line in ("of the tests", "of SLURM")]
    assert lines == ["of the tests", "of SLURM"]
    assert announced(printed)[-4:] == [
        "tests passed",
        "SLURM tests passed",
        "the output of the SLURM tests",
        "all parts passed",
    ]


@pytest.mark.parametrize(("part", "name"), [("lint", "lint"), ("test", "tests"), ("test-slurm", "SLURM tests")])
def test_the_part_that_fails_ends_the_run_by_its_name(gate: Gate, part: str, name: str) -> None:
    code, printed = gate.run(f'"{part} 1") exit 3')
    assert code == 3
    assert announced(printed.splitlines()[-1]) == [f"{name} FAILED (exit code 3)"]
    calls = gate.calls.read_text().splitlines()
    assert (calls[-1] == "make lint") == (part == "lint"), calls


def test_slurm_tests_that_fail_are_told_at_once_and_the_tests_go_on(gate: Gate) -> None:
    with gate.start(
        '"test-slurm 1") await "make test"; echo of SLURM; exit 3',
        '"test 1") await "go on"; echo of the tests; exit 4',
    ) as process:
        assert process.stdout
        early = list(itertools.takewhile(lambda line: line != "of SLURM\n", process.stdout))
        gate.go_on()
        late, _ = process.communicate(timeout=60)
    assert announced("".join(early))[-1] == "SLURM tests FAILED (exit code 3)"
    assert late.splitlines()[0] == "of the tests"
    assert announced(late) == [
        "tests FAILED (exit code 4)",
        "SLURM tests FAILED (exit code 3)",
        "tests FAILED (exit code 4)",
    ]
    assert process.returncode == 4


def test_slurm_tests_that_fail_after_the_tests_have_failed_are_told_too(gate: Gate) -> None:
    with gate.start('"test 1") exit 4', '"test-slurm 1") await "go on"; echo of SLURM; exit 3') as process:
        assert process.stdout
        early = list(itertools.takewhile(lambda line: "FAILED" not in line, process.stdout))
        gate.go_on()
        late, _ = process.communicate(timeout=60)
    assert announced("".join(early))[-1] == "tests"
    assert announced(late) == ["SLURM tests FAILED (exit code 3)"] * 2 + ["tests FAILED (exit code 4)"]
    assert late.splitlines().count("of SLURM") == 1
    assert process.returncode == 4


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_stops_both_parts_as_by_ctrl_c(gate: Gate, sig: signal.Signals) -> None:
    with gate.start('"test "*|"test-slurm "*) until_interrupted') as process:
        gate.await_calls("test waits", "test-slurm waits")
        process.send_signal(sig)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + sig, printed
    assert announced(printed)[-1] == f"stopped by {sig.name}"
    assert {"test interrupted", "test-slurm interrupted"} <= set(gate.calls.read_text().splitlines())
    assert list(gate.temporary.iterdir()) == []


def test_a_set_up_that_fails_is_tried_again(gate: Gate) -> None:
    code, printed = gate.run(f'"setup 1"|"setup 2") {COLLECTING}')
    assert code == 0, printed
    assert gate.calls.read_text().count("make setup") == 3
    assert "set-up failed, try 2 of 3" in printed
    assert "try 3 of 3" not in printed


def test_a_set_up_that_fails_three_times_says_of_what_and_how_much_room_there_is(gate: Gate) -> None:
    code, printed = gate.run(f'"setup "*) {COLLECTING}')
    assert code == 2
    assert gate.calls.read_text().splitlines() == ["make setup"] * 3
    tail = printed.splitlines()[-4:]
    assert tail[0] == "What pip had in hand: Collecting torch==2.15.0"
    assert tail[1] == "ERROR: No matching distribution found for torch==2.15.0"
    assert re.fullmatch(r"Free on this disk, where set-up takes 7 GB: [\d.]+[KMGT]", tail[2])
    assert re.fullmatch(r"== \d+:\d\d  set-up FAILED \(exit code 2\)", tail[3])


def distances(*changed: str) -> dict[str, int]:
    found = touched.touched(ROOT / name for name in changed)
    return {path.relative_to(ROOT / "tests").as_posix(): distance for path, distance in found.items()}


def test_a_change_touches_the_tests_that_import_it_first() -> None:
    found = distances("src/irm_sweeps/training/pwcca.py")
    assert next(iter(found.items())) == ("training/test_similarity.py", 1)
    assert list(found.values()) == sorted(found.values())
    assert "data/test_sources.py" not in found


def test_a_test_that_was_changed_comes_before_all_others() -> None:
    assert (
        next(iter(distances("src/irm_sweeps/training/pwcca.py", "tests/sweep/test_stacks.py")))
        == "sweep/test_stacks.py"
    )


@pytest.mark.parametrize(
    ("changed", "test"),
    [
        ("conf/method/irmv1.yaml", "sweep/test_grid.py"),
        ("src/irm_sweeps/methods/fishr.py", "methods/contract/test_objectives.py"),  # which only a YAML names
        ("src/irm_sweeps/analysis/statistics/two_means.py", "analysis/statistics/test_two_means.py"),
        ("docs/architecture.md", "docs/test_docs.py"),
        (".ci/run", "repository/test_gate.py"),
        ("tests/slurm/conftest.py", "slurm/test_slurm.py"),
        ("src/irm_sweeps/commands/status.py", "launchers/test_local_pool.py"),  # which starts the command
    ],
)
def test_whatever_was_changed_has_its_tests(changed: str, test: str) -> None:
    assert distances(changed)[test] <= 4


def test_every_module_has_a_test() -> None:
    """Else a change of it would be checked by nothing."""
    packages = (ROOT / "src",)
    modules = [path for path in touched.modules().values() if any(folder in path.parents for folder in packages)]
    template = ROOT / "src" / "irm_sweeps" / "project" / "template"
    untested = [path for path in modules if not touched.touched([path]) and template not in path.parents]
    assert [path.name for path in untested if path.read_text().strip()] == []


def test_a_change_that_touches_no_test_is_no_failure(tmp_path: Path) -> None:
    """Counted from HEAD, a test elsewhere has not changed."""
    (tmp_path / "test_other.py").write_text("def test_other(): raise AssertionError")
    ran = run_pytest(tmp_path, "--touched", "--base", "HEAD")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"\d+ files changed since [0-9a-f]{10}, \d+ test files within reach", ran.stdout)
    assert "1 failed" not in ran.stdout


def test_a_base_that_is_no_commit_is_one_line(tmp_path: Path) -> None:
    ran = run_pytest(tmp_path, "--touched", "--base", "nonsense")
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert ran.stderr.strip() == "ERROR: what has changed is not known: nonsense: no such commit"


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "touched", *options, "--rootdir", str(folder), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests" / "support")},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_no_test_begins_when_the_time_is_up(tmp_path: Path) -> None:
    (tmp_path / "test_late.py").write_text("def test_late(): raise AssertionError")
    ran = run_pytest(tmp_path, "--until", "1")
    assert ran.returncode == 0, ran.stdout
    assert "1 not begun" in ran.stdout
    assert "in 1 files farther from the change" in ran.stdout
