"""Train healthy trials among bad ones of a user's project, kill workers meanwhile, and compare every result.

    python tests/faults/soak_bad_trials.py --minutes 10

A round is one sweep of the local launcher: built-in methods, methods of a user's project that change their process,
exit, raise what cannot be printed, or hang, and an MLflow server that ends once the first worker has begun. Rounds
follow one another until the time is over. Exits with 1 if

* a healthy trial is not completed, or has other metrics or other parameters than trained in a sweep of its own;
* a bad trial has another status or reason than `EXPECTED` says;
* a result was written twice, a folder holds anything but a result, its history and a log, or the status was not so;
* the sweep's exit code is not that of a sweep with failures, or a process of the sweep is left.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support")]  # pytest's own settings do this for the tests

from commands import SUPPORT, Answer, Desk, eventually, irm_sweeps, is_running, outcome
from faults.soak import untrue_status
from irm_sweeps.commands.init import create

HEALTHY = ("erm", "irmv1", "vrex", "mm_rex", "rvp", "groupdro", "irm_games", "ib_irm", "fishr", "coral")
SMALL = (
    *("dataset.source=embedded", "dataset.n_train=200", "dataset.test_p_e=[0.1,0.9]", "backbone.width=16"),
    *("training.steps=300", "device=cpu", "stack=1"),
)
STALL_SECONDS = 20
SECONDS_A_KILL = 15.0
"""Mean seconds between two kills."""

CRASH, EXCEPTION = "crash", "exception"
STALLED = f"the worker died 2 times while training this trial (it made no step for {STALL_SECONDS} s"
DIED = "the worker died 2 times while training this trial (killed, out of memory, or a crash)"
EXPECTED: dict[str, dict[str, tuple[str, str] | None]] = {
    "poisoner.Poisoner": {
        **dict.fromkeys(("dtype", "folder", "umask", "variables", "stdout", "torch_threads", "threads", "fork")),
        "gradients": (EXCEPTION, "RuntimeError: "),
    },
    "rogue.Rogue": {
        "leave": (EXCEPTION, "the trial's own code called sys.exit(0)"),
        "exit_with_3": (CRASH, DIED),
        "interrupt": (EXCEPTION, "KeyboardInterrupt"),
        "unforeseen": (EXCEPTION, "Unforeseen: not foreseen"),
        "mute": (EXCEPTION, "Mute: (no message: Mute.__str__ raised ValueError)"),
        "surrogates": (EXCEPTION, "RuntimeError: no such file: ?.png"),
        "long": (EXCEPTION, f"RuntimeError: {'x' * 4000}"),
        "hang": (CRASH, STALLED),
        "hang_in_c": (CRASH, "the worker died 2 times while training this trial (it made no step for"),
    },
}
"""By class of the project and deed: the kind of the failure and how its message begins; None: it completes."""
FILES = {"result.json", "history.jsonl", "log.txt"}


@dataclass
class Round:
    """One sweep, and what was seen of it.

    Attributes
    ----------
    written
        What identifies each result file, when it was first seen.
    wrong
        What was not as it should be, in words.
    """

    desk: Desk
    seed: int
    rng: random.Random
    kills: int = 0
    looks: int = 0
    written: dict[str, tuple[int, int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def run(self, deadline: float) -> Answer:
        """Issue the sweep, kill its workers at random, and wait for its end."""
        methods = [*HEALTHY, *(f"bad_{deed}" for deeds in EXPECTED.values() for deed in deeds)]
        self.rng.shuffle(methods)
        next_kill = time.monotonic() + self.rng.expovariate(1 / SECONDS_A_KILL)
        with _server() as (server, port):
            logger = ("logger=mlflow", f"logger.tracking_uri=http://127.0.0.1:{port}")
            command = self.desk.start(
                *("launch", "-m", f"method={','.join(methods)}", f"seed={self.seed}", *SMALL, *logger),
                *(f"results={self.desk.results}", f"stall_seconds={STALL_SECONDS}", "checkpoint_seconds=0.2"),
                "hydra.launcher.slots=2",
                command=("-m", "irm_sweeps"),
            )
            while command.poll() is None and time.monotonic() < deadline:
                if self.desk.workers():
                    server.shutdown()
                if time.monotonic() > next_kill:
                    self.kills += self._kill_a_worker()
                    next_kill = time.monotonic() + self.rng.expovariate(1 / SECONDS_A_KILL)
                self._look()
                time.sleep(0.1)
            server.shutdown()
        return self.desk.answer(command, max(1, deadline - time.monotonic()))

    def _kill_a_worker(self) -> int:
        """Kill a worker at random, unless a worker has died on its trial before: twice is a failure of the trial."""
        for pid in self.rng.sample(workers := self.desk.workers(), len(workers)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                held = [trial_id for trial_id, holder in self.desk.holders().items() if holder == pid]
                spared = not held or any(_deaths(self.desk.results / trial_id) for trial_id in held)
                os.kill(pid, signal.SIGCONT if spared else signal.SIGKILL)
                if not spared:
                    return 1
        return 0

    def _look(self) -> None:
        for path in self.desk.results.glob("*/result.json"):
            found = path.stat()
            known = self.written.setdefault(path.parent.name, (found.st_ino, found.st_mtime_ns))
            if known != (found.st_ino, found.st_mtime_ns):
                self.wrong.append(f"{path.parent.name}: its result was written again")
        self.looks += 1
        self.wrong += untrue_status(self.desk)

    def check(self, answer: Answer, alone: Mapping[str, Any]) -> None:
        """Compare what the sweep has left with what each trial should come to."""
        self._look()
        results = self.desk.in_store()
        self._check_answer(answer, Counter(result["status"] for result in results.values()))
        for trial_id, result in results.items():
            line = f"{trial_id} ({result['config']['method']})"
            deed, target = result["config"]["method"].get("deed"), result["config"]["method"]["_target_"]
            expected = EXPECTED[target.removeprefix("methods.")][deed] if deed else None
            if trial_id in alone and outcome(result) != outcome(alone[trial_id]):
                self.wrong.append(f"{line}: {outcome(result)}, alone {outcome(alone[trial_id])}")
            self.wrong += [f"{line}: {problem}" for problem in _problems(result, expected)]
            if strays := {path.name for path in (self.desk.results / trial_id).iterdir()} - FILES:
                self.wrong.append(f"{line}: left {sorted(strays)}")
            if (ends := self.desk.log(trial_id).count(f" {result['status']}\n")) != 1:
                self.wrong.append(f"{line}: its log has {ends} ends")
        if missing := alone.keys() - results.keys():
            self.wrong.append(f"no result: {missing}")
        if len(results) != len(HEALTHY) + sum(map(len, EXPECTED.values())):
            self.wrong.append(f"{len(results)} results")

    def _check_answer(self, answer: Answer, statuses: Mapping[str, int]) -> None:
        in_words = ", ".join(f"{statuses[status]} {status}" for status in ("completed", "failed"))
        if answer.code != 1 or in_words not in answer.out or "Traceback" in answer.err:
            self.wrong.append(f"{in_words} in the store, and the command said: {answer}")
        status = json.loads(irm_sweeps("status", "--json", "--results", str(self.desk.results)).out)
        told = {word: status[word] for word in ("completed", "failed", "diverged", "running", "damaged")}
        true = {"completed": statuses["completed"], "failed": statuses["failed"], "diverged": 0}
        if status["state"] != "done" or told != {**true, "running": [], "damaged": []}:
            self.wrong.append(f"{in_words} in the store, and the status said: {status['state']}, {told}")


def _problems(result: Mapping[str, Any], expected: tuple[str, str] | None) -> Iterator[str]:
    if expected is None:
        if result["status"] != "completed":
            yield f"{result['status']}: {str(result.get('error'))[:1000]}"
    elif result["status"] != "failed":
        yield f"{result['status']}, and not failed"
    elif result["error"]["kind"] != expected[0] or not result["error"]["message"].startswith(expected[1]):
        yield f"failed by {result['error']['kind']}: {result['error']['message'][:1000]}"


def _deaths(folder: Path) -> int:
    """Return how many workers died on a trial, by its claims."""
    return max((json.loads(path.read_text())["deaths"] for path in folder.glob("claim.*.json")), default=0)


class _Experiments(BaseHTTPRequestHandler):
    """Answers as an MLflow server without experiments."""

    def do_GET(self) -> None:
        body = b'{"experiments": []}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextmanager
def _server() -> Iterator[tuple[HTTPServer, int]]:
    """Serve in a thread until `shutdown`; then the port is closed."""
    server = HTTPServer(("127.0.0.1", 0), _Experiments)

    def serve() -> None:
        with server:
            server.serve_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server, server.server_port
    thread.join()


def make_project(folder: Path) -> None:
    """Write a user's project with the bad methods."""
    create(folder)
    for target, deeds in EXPECTED.items():
        module = target.partition(".")[0]
        shutil.copyfile(SUPPORT / f"{module}.py", folder / "methods" / f"{module}.py")
        for deed in deeds:
            lines = [f"_target_: methods.{target}", "risk: mean", f"deed: {deed}"]
            (folder / "conf" / "method" / f"bad_{deed}.yaml").write_text("\n".join(lines) + "\n")


def train_alone(desk: Desk, seed: int) -> dict[str, Any]:
    """Train the healthy trials in one process in which nothing else runs; return their results."""
    command = desk.start(
        *("launch", "-m", f"method={','.join(HEALTHY)}", f"seed={seed}", *SMALL, f"results={desk.results}"),
        "hydra/launcher=inprocess",
        command=("-m", "irm_sweeps"),
    )
    answer = desk.answer(command)
    assert answer.code == 0, answer
    return desk.in_store()


def left_processes(folder: Path) -> list[int]:
    """Return the pids of the processes that were started from a round's folder, by their environment."""
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"GATE={folder}/".encode() in (path / "environ").read_bytes() and is_running(int(path.name)):
                pids.append(int(path.name))
    return pids


def soak(folder: Path, seed: int, minutes: float) -> list[str]:
    """Disturb one sweep, print a line on it, and return what went wrong, in words."""
    project, began = folder / "project", time.monotonic()
    desk, undisturbed = Desk(folder / "round", project), Desk(folder / "alone", project)
    make_project(project)
    for own in (desk, undisturbed):
        own.folder.mkdir()
        own.gate.touch()  # the project's methods are as fast as they can
    alone = train_alone(undisturbed, seed)
    own_round = Round(desk, seed, random.Random(seed))
    try:
        answer = own_round.run(time.monotonic() + 60 * minutes)
        own_round.check(answer, alone)
        eventually(lambda: not left_processes(desk.folder), "no process is left", 30)
    finally:
        desk.end()
    begun = desk.times_trained()
    statuses = Counter(result["status"] for result in desk.in_store().values())
    broken = sum("the logger" in desk.log(trial_id) for trial_id in begun)
    print(
        f"round {seed}: {len(alone)} healthy trials among {len(begun)}: {dict(statuses)}, {sum(begun.values())} "
        f"trainings begun, {own_round.kills} workers killed, {broken} trials without their logger, "
        f"{own_round.looks} looks, {len(own_round.wrong)} wrong, in {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return own_round.wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="begin rounds for so long; 0: one round")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--round-minutes", type=float, default=40, help="give a round up after")
    options = parser.parse_args(arguments)
    end, seed, wrong = time.monotonic() + 60 * options.minutes, options.seed, list[str]()
    while seed == options.seed or time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="irm_sweeps_soak.", ignore_cleanup_errors=True) as name:
            wrong += soak(Path(name), seed, options.round_minutes)
        seed += 1
    print(
        "\n".join(wrong) or "every healthy trial is right and was completed once; every bad one failed with its reason"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
