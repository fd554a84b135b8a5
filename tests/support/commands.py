"""Run the project's commands as a user types them, in this process or in child processes."""

from __future__ import annotations

import io
import json
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"

SMALL = [
    "dataset.source=embedded",
    "dataset.n_train=50",
    "dataset.test_p_e=[0.1,0.9]",
    "backbone.width=8",
    "training.steps=20",
    "device=cpu",
]
"""Overrides of a trial that takes milliseconds."""

ROGUE = [*SMALL, "method=erm", "method._target_=rogue.Rogue", "+method.deed=none"]
"""The same with the method of `tests/support/rogue.py`: slow until a gate file exists, or failing on purpose."""

TRAINED = "stack of "
"""Start of the line that a trial's log gets whenever a worker starts to train it."""

FakeCommand = Callable[..., Path]
"""Type of the fixture `fake`."""

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The single line on stderr of a command that ended with a user's mistake."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("error: "), self
        return line


def eventually(condition: Callable[[], T], what: str, seconds: float = 180) -> T:
    """Wait until the condition returns a true value, and return this value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


def launch(*arguments: str) -> Answer:
    """Run `python launch.py ...` in this process; a sweep starts no child process."""
    from hydra.core.global_hydra import GlobalHydra

    if "-m" in arguments and not any(a.startswith("hydra/launcher=") for a in arguments):
        arguments = (*arguments, "hydra/launcher=inprocess")
    GlobalHydra.instance().clear()
    argv = [str(ROOT / "launch.py"), *once(arguments)]
    return _in_this_process(argv, lambda: runpy.run_path(argv[0], run_name="__main__"))


@pytest.fixture(scope="session")
def trained_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a sweep of two trials, trained once a process: a test that changes it works on a copy."""
    results = tmp_path_factory.mktemp("trained") / "results"
    answer = launch("-m", f"results={results}", *SMALL, "seed=0,1")
    assert answer.code == 0, answer
    return results


def once(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which a test's own overrides replace those of its defaults, which a user may not do."""
    given: dict[str, str] = {}
    for argument in arguments:
        key = argument.partition("=")[0].lstrip("+") if "=" in argument else argument
        plus = "+" if given.get(key, "").startswith("+") and not argument.startswith("+") else ""
        given[key] = plus + argument
    return list(given.values())


def irm_sweeps(*arguments: str) -> Answer:
    """Run `irm-sweeps ...` in this process."""
    from irm_sweeps import cli

    return _in_this_process(["irm-sweeps", *arguments], lambda: cli.main(list(arguments)))


def in_project(folder: Path, *words: str, code: int = 0) -> str:
    """Run `irm-sweeps ...` in a child process from the root of a user's project; return its stderr and stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "irm_sweeps", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SUPPORT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr + done.stdout


_OBEY = "-dac_override,-dac_read_search"
_PLAIN_USER = ["setpriv", f"--bounding-set={_OBEY}", f"--inh-caps={_OBEY}"] if os.geteuid() == 0 else []
"""Command prefix that makes root obey file permissions."""
CAN_BE_PLAIN = not _PLAIN_USER or shutil.which("setpriv") is not None


def as_plain_user(*arguments: str) -> Answer:
    """Run `irm-sweeps ...` in a child process that obeys file permissions, even if root runs the tests."""
    command = [*_PLAIN_USER, sys.executable, "-m", "irm_sweeps", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


def each_as_plain_user(*commands: Sequence[str]) -> list[Answer]:
    """Run `irm-sweeps ...` commands, or `-c CODE`, in forks of one child process that obeys file permissions."""
    command = [*_PLAIN_USER, sys.executable, str(SUPPORT / "each_command.py"), json.dumps(commands)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    return [Answer(*answer) for answer in json.loads(done.stdout)]


@contextmanager
def own_process(argv: list[str]) -> Iterator[None]:
    """Restore the process state that a command changes: arguments, environment, and Hydra's log handlers."""
    handlers, level = logging.root.handlers[:], logging.root.level
    with patch.object(sys, "argv", argv), patch.dict(os.environ):
        yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def _in_this_process(argv: list[str], run: Callable[[], object]) -> Answer:
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with own_process(argv), redirect_stdout(out), redirect_stderr(err):
        try:
            run()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return Answer(code, out.getvalue(), err.getvalue())


def _as_a_terminal_does() -> None:
    """Restore the default handling of Ctrl-C, which a background shell makes its children ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Desk:
    """A folder with a store, and commands that work on it in child processes, by default from this project's root."""

    folder: Path
    cwd: Path = ROOT
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    def start(self, *arguments: str, command: Sequence[str] = ("launch.py",)) -> subprocess.Popen[str]:
        """Start a command with its output in files, so that a full pipe cannot block it."""
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
            "GATE": str(self.gate),
        }
        n = len(self.started)
        with (self.folder / f"{n}.out").open("w") as out, (self.folder / f"{n}.err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, *command, *once(arguments)],
                cwd=self.cwd,
                env=environment,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
                preexec_fn=_as_a_terminal_does,
            )
        self.started.append(process)
        return process

    def sweep(self, *overrides: str, slots: int = 2) -> subprocess.Popen[str]:
        """Start `launch.py -m` with a local pool."""
        return self.start("-m", f"results={self.results}", f"hydra.launcher.slots={slots}", *overrides)

    def answer(self, process: subprocess.Popen[str], seconds: float = 300) -> Answer:
        """Wait for a command to end, and return its answer."""
        code = process.wait(seconds)
        n = self.started.index(process)
        return Answer(code, (self.folder / f"{n}.out").read_text(), (self.folder / f"{n}.err").read_text())

    def in_store(self) -> dict[str, dict[str, Any]]:
        """Return every result by trial id."""
        return {path.parent.name: json.loads(path.read_text()) for path in self.results.glob("*/result.json")}

    def workers(self) -> list[int]:
        """Return the pids of the running workers."""
        pids = []
        for path in self.results.glob("sweeps/*/workers/*.json"):
            try:
                pid = json.loads(path.read_text())["process"]["pid"]
            except FileNotFoundError:
                continue
            if is_running(pid):
                pids.append(pid)
        return pids

    def holders(self) -> dict[str, int]:
        """Return trial id -> pid of the running worker that holds its claim."""
        held = {}
        for path in sorted(self.results.glob("*/claim.*.json"), key=lambda path: int(path.name.split(".")[1])):
            try:
                claim = json.loads(path.read_text())
            except FileNotFoundError:  # the trial has just been finished
                continue
            if not claim["released"] and is_running(claim["holder"]["pid"]):
                held[path.parent.name] = claim["holder"]["pid"]
        return held

    def log(self, trial_id: str) -> str:
        path = self.results / trial_id / "log.txt"
        return path.read_text() if path.exists() else ""

    def times_trained(self) -> dict[str, int]:
        """Return, by trial id, how often a worker started to train the trial."""
        return {path.parent.name: path.read_text().count(TRAINED) for path in self.results.glob("*/log.txt")}

    def end(self) -> None:
        """Kill the commands that still run, and their workers, which are in the same process groups."""
        for process in self.started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait(10)


def is_running(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def outcome(result: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a result that must not depend on the worker, the place and the interruptions."""
    return {
        "status": result["status"],
        "steps": result["steps"],
        "metrics": result["metrics"],
        "parameters": result["provenance"].get("parameters_sha256"),
    }


def outcomes(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {trial_id: outcome(result) for trial_id, result in results.items()}


def numbers(result: dict[str, Any]) -> dict[str, float]:
    """Return every number of a result in a flat dict, for comparison with a tolerance where a kill split a stack."""
    flat = {"steps": result["steps"]}
    for rule, chosen in result["metrics"].items():
        flat[f"{rule} step"] = chosen["step"]
        for split, environments in chosen["scores"].items():
            for name, scores in environments.items():
                flat |= {f"{rule} {split} {name} {measure}": value for measure, value in scores.items()}
    return flat
