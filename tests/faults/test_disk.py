"""A full or read-only disk: one clear line, no lost data, and afterwards only missing trials run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import ROGUE, ROOT, SMALL, Desk, eventually, irm_sweeps, launch, outcomes
from faults.power_cut import EVERY, OPERATIONS, forked
from irm_sweeps.errors import StoreError
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.run import run_sweep


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "irm_sweeps_test", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    with pytest.raises(OSError, match="No space"), path.open("wb", buffering=0) as file:  # noqa: PT012
        while True:
            file.write(b"x" * 4096)


def status(results: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(irm_sweeps("status", "--json", "--results", str(results)).out)
    return found


def test_a_disk_that_fills_up_is_one_clear_error(small_disk: Path, desk: Desk) -> None:
    results = small_disk / "results"
    own = [f"results={results}", *ROGUE]
    assert launch("-m", *own, "seed=0").code == 0
    (first,) = results.glob("*/result.json")
    before = first.read_bytes()
    command = desk.start("-m", *own, "seed=range(0,3)", "hydra.launcher.slots=1")
    eventually(lambda: list(results.glob("*/claim.*.json")), "a trial runs")
    fill(small_disk / "ballast")
    desk.gate.touch()
    answer = desk.answer(command)
    assert answer.code == 2, answer
    assert answer.err.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in answer.err.splitlines()[-1]
    assert "Traceback" not in answer.err
    found = status(results)
    assert (found["completed"], found["running"], found["to_do"]) == (1, [], 2)

    (small_disk / "ballast").unlink()
    again = launch("-m", *own, "seed=range(0,3)")
    assert (again.code, "1 done, 2 to run" in again.out) == (0, True)
    assert len(list(results.glob("*/result.json"))) == 3
    assert first.read_bytes() == before


def test_a_read_only_store_is_read_and_not_written(small_disk: Path) -> None:
    results = small_disk / "results"
    own = [f"results={results}", *SMALL]
    assert launch("-m", *own, "seed=0").code == 0
    (trial_id,) = [path.parent.name for path in results.glob("*/result.json")]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    found = status(results)
    assert (found["completed"], found["to_do"]) == (1, 0)
    assert irm_sweeps("show", trial_id, "--results", str(results)).code == 0
    answer = launch("-m", *own, "seed=0")
    assert (answer.code, "1 done, 0 to run" in answer.out) == (0, True)
    for rerun in ("missing", "all"):
        refused = launch("-m", *own, "seed=0,1", f"rerun={rerun}")
        assert refused.complaint == (
            f"error: results={results} cannot be written: Read-only file system: give a directory that you may write"
        )
    assert Store(results).result(trial_id)


SWEEP = [*SMALL, "training.steps=3", "seed=0,1", "checkpoint_seconds=1e-6"]
FAULTS = {"full": errno.ENOSPC, "over quota": errno.EDQUOT, "read-only": errno.EROFS, "broken": errno.EIO}


class FailingDisk:
    """From its n-th operation on it takes nothing more; a full one still lets files be removed."""

    def __init__(self, fault: str, at: int) -> None:
        self._error, self._at, self.count = FAULTS[fault], at, 0
        for name in OPERATIONS:
            if name != "unlink" or fault in ("read-only", "broken"):
                setattr(os, name, self._failing(getattr(os, name)))

    def _failing(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count >= self._at:
                raise OSError(self._error, os.strerror(self._error))
            return real(*arguments, **options)

        return operation


def issued(results: Path, fault: str | None = None, at: int = 0) -> tuple[str, bool]:
    """Issue the sweep in a process of its own; return what it complained of, and whether it met the fault."""

    def work(tell: Callable[[str], None]) -> None:
        disk = FailingDisk(fault, at) if fault else None
        try:
            assert run_sweep([f"results={results}", *SWEEP], InProcess()) == 0
            tell("")
        except StoreError as error:
            tell(str(error))
        tell("met" if disk and disk.count >= at else "")

    code, (complaint, met) = forked(work)
    assert code == 0
    return complaint, bool(met)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_fails_at_any_file_operation_is_one_clear_error(
    memory: Path, composed_once: None, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = memory / "results"
    shutil.rmtree(results, ignore_errors=True)
    assert run_sweep([f"results={results}", *SWEEP], InProcess()) == 0
    undisturbed = outcomes(Desk(memory).in_store())
    n, met, moments, complaints = list(FAULTS).index(fault) % EVERY, True, 0, 0
    while met:
        n += EVERY
        shutil.rmtree(results)
        complaint, met = issued(results, fault, n)
        assert not complaint or os.strerror(FAULTS[fault]) in complaint, n
        moments += met
        complaints += bool(complaint)
        kept = {path.parent.name: path.read_bytes() for path in results.glob("*/result.json")}
        assert all(json.loads(content)["status"] == "completed" for content in kept.values()), "the disk's fault"
        assert issued(results) == ("", False), n
        assert outcomes(Desk(memory).in_store()) == undisturbed, n
        for trial_id, content in kept.items():
            assert (results / trial_id / "result.json").read_bytes() == content, f"{n}: trained again"
    assert complaints > 20 // EVERY
    with capsys.disabled():
        print(f" {moments} moments, {complaints} complaints", end="")


def test_a_file_system_without_hard_links_is_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refused)
    answer = launch("-m", f"results={desk.results}", *SMALL)
    assert "its file system makes no hard links (Operation not permitted)" in answer.complaint
    assert answer.complaint.endswith("choose another")
    assert list(desk.results.iterdir()) == []


def test_output_that_cannot_be_written_is_no_failure_of_a_trial(desk: Desk) -> None:
    """The terminal is gone, or whoever read the output has seen enough."""
    reader, writer = os.pipe()
    os.close(reader)
    command = ["-m", f"results={desk.results}", *SMALL, "seed=0,1", "hydra/launcher=inprocess"]
    front_door = f"import os, runpy; os.dup2({writer}, 1); runpy.run_path('launch.py', run_name='__main__')"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.run(
        [sys.executable, "-c", front_door, *command],
        cwd=ROOT,
        env=environment,
        pass_fds=[writer],
        capture_output=True,
        text=True,
    )
    os.close(writer)
    assert process.returncode == 141, process
    assert "Traceback" not in process.stderr
    assert all(result["status"] == "completed" for result in desk.in_store().values())
