"""The project's commands as a user types them: in this process where that will do, else in processes of their own."""

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
"""A trial of milliseconds."""

ROGUE = [*SMALL, "method=erm", "method._target_=rogue.Rogue", "+method.deed=none"]
"""The same with a method of a user's own file, `tests/support/rogue.py`: slow until a gate opens, or doing a deed."""

TRAINED = "stack of "
"""Begins the line that a trial's log gets whenever somebody starts to train it."""

FakeCommand = Callable[..., Path]
"""What the fixture `fake` makes."""

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on stderr of a command that ended with a user's mistake."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("error: "), self
        return line


def eventually(condition: Callable[[], T], what: str, seconds: float = 180) -> T:
    """Wait until the condition is true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return found


def launch(*arguments: str) -> Answer:
    """`python launch.py ...`, in this process; a sweep starts no other."""
    from hydra.core.global_hydra import GlobalHydra

    if "-m" in arguments and not any(a.startswith("hydra/launcher=") for a in arguments):
        arguments = (*arguments, "hydra/launcher=inprocess")
    GlobalHydra.instance().clear()
    argv = [str(ROOT / "launch.py"), *arguments]
    return _in_this_process(argv, lambda: runpy.run_path(argv[0], run_name="__main__"))


def irm_sweeps(*arguments: str) -> Answer:
    """`irm-sweeps ...`, in this process."""
    from irm_sweeps import cli

    return _in_this_process(["irm-sweeps", *arguments], lambda: cli.main(list(arguments)))


_OBEY = "-dac_override,-dac_read_search"
_PLAIN_USER = ["setpriv", f"--bounding-set={_OBEY}", f"--inh-caps={_OBEY}"] if os.geteuid() == 0 else []
"""Makes a root obey the permissions of files."""
CAN_BE_PLAIN = not _PLAIN_USER or shutil.which("setpriv") is not None


def as_plain_user(*arguments: str) -> Answer:
    """`irm-sweeps ...`, in a process of its own that the permissions of files stop."""
    command = [*_PLAIN_USER, sys.executable, "-m", "irm_sweeps", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    return Answer(done.returncode, done.stdout, done.stderr)


@contextmanager
def own_process(argv: list[str]) -> Iterator[None]:
    """Let a command change what is its process's: arguments, environment, and where Hydra logs to."""
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
    """Undo what a background shell does to its children: it lets them ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Desk:
    """A folder with a store, and commands at work on it in processes of their own."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def gate(self) -> Path:
        return self.folder / "gate"

    def start(self, *arguments: str, command: Sequence[str] = ("launch.py",)) -> subprocess.Popen[str]:
        """Start a command; what it writes goes to files, so that no pipe keeps it waiting."""
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")]),
            "GATE": str(self.gate),
        }
        n = len(self.started)
        with (self.folder / f"{n}.out").open("w") as out, (self.folder / f"{n}.err").open("w") as err:
            process = subprocess.Popen(
                [sys.executable, *command, *arguments],
                cwd=ROOT,
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
        """Wait for a command to end."""
        code = process.wait(seconds)
        n = self.started.index(process)
        return Answer(code, (self.folder / f"{n}.out").read_text(), (self.folder / f"{n}.err").read_text())

    def in_store(self) -> dict[str, dict[str, Any]]:
        """Every result, by trial id."""
        return {path.parent.name: json.loads(path.read_text()) for path in self.results.glob("*/result.json")}

    def workers(self) -> list[int]:
        """The pids of the workers at work."""
        found = []
        for path in self.results.glob("sweeps/*/workers/*.json"):
            try:
                pid = json.loads(path.read_text())["process"]["pid"]
            except FileNotFoundError:
                continue
            if is_running(pid):
                found.append(pid)
        return found

    def holders(self) -> dict[str, int]:
        """The pid of the worker that holds each claimed trial."""
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
        """How often somebody started to train each trial."""
        return {path.parent.name: path.read_text().count(TRAINED) for path in self.results.glob("*/log.txt")}

    def end(self) -> None:
        """End whatever was started here and still runs, workers included: they are in the commands' process groups."""
        for process in self.started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            process.wait(10)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def outcome(result: dict[str, Any]) -> dict[str, Any]:
    """What must not depend on who trained a trial, where and how often it was interrupted."""
    return {
        "status": result["status"],
        "steps": result["steps"],
        "metrics": result["metrics"],
        "parameters": result["provenance"].get("parameters_sha256"),
    }


def outcomes(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {trial_id: outcome(result) for trial_id, result in results.items()}


def numbers(result: dict[str, Any]) -> dict[str, float]:
    """Every number of a result, flat: to compare where a kill split a stack, and so reordered its sums."""
    found = {"steps": result["steps"]}
    for rule, chosen in result["metrics"].items():
        found[f"{rule} step"] = chosen["step"]
        for split, environments in chosen["scores"].items():
            for name, scores in environments.items():
                found |= {f"{rule} {split} {name} {measure}": value for measure, value in scores.items()}
    return found
