"""Kill, at random moments of sweeps, a worker, the launcher or all of them; then compare every result.

    python tests/faults/soak.py --moments 50 --seed 0

Solo trials, stacks and CIFAR-MNIST trials, a sweep of each. They are slow until every moment has come, and trained
once more in another store and without disturbance. Exits with 1 if a result is missing or differs in status, steps,
metrics or the sha256 of its parameters (of stacks, which a death takes apart: by more than rounding), if a trial was
trained by two workers or after it was done, if `irm-sweeps status` said what was not so, or if a sweep ended before
its moments had come.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "support")]  # pytest's own settings do this for the tests

from archives import write_archives
from commands import ROGUE, Desk, eventually, launch, numbers, outcome
from irm_sweeps.commands.sweep_status import sweep_status
from irm_sweeps.store.manifest import read_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names

VICTIMS = ("worker", "launcher", "both")
SECONDS_A_KILL = 2.0
"""Mean seconds from a worker's coming to work to the next kill."""


def sweeps(data_dir: Path, moments: int) -> dict[str, list[str]]:
    """Three sweeps, each long enough for its share of the moments (a half, a quarter) while their steps take 0.1 s."""
    many = math.ceil(moments * SECONDS_A_KILL)
    steps = f"training.steps={10 * many}"
    common = ["+method.deed=none", "device=cpu", "checkpoint_seconds=0.2"]
    digits = [override for override in ROGUE if override != "+method.deed=none"]
    return {
        "solo": [*digits, *common, "training.steps=12", f"seed=range(0,{many})"],
        "stack": [*digits, *common, steps, "training.precision=float64", "seed=range(0,8)", "stack=4"],
        "cifar": [
            *("dataset=cifar_mnist", f"data_dir={data_dir}", "dataset.n_train=40", "dataset.n_test=20"),
            *("dataset.resolution=native", "backbone=mlp", "backbone.width=8", "training.batch_size=8"),
            *("method=erm", "method._target_=rogue.Rogue", steps),
            *(*common, "seed=range(0,2)"),
        ],
    }


@dataclass
class Soak:
    """One sweep, and what was done to it.

    Attributes
    ----------
    moments
        Kills after which the sweep is left in peace.
    killed
        The pids of the workers that were killed.
    untrue
        What `irm-sweeps status` said and was not so.
    """

    desk: Desk
    overrides: Sequence[str]
    moments: int
    rng: random.Random
    kills: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(VICTIMS, 0)))
    killed: set[int] = field(default_factory=set)
    untrue: list[str] = field(default_factory=list)
    commands: int = 0
    looks: int = 0

    def run(self, trials: int, deadline: float) -> bool:
        """Disturb the sweep until the moments are over, and let it end; False if it has not by the deadline."""
        command = self._issue()
        while not self._done(trials):
            if time.monotonic() > deadline:
                return False
            if command.poll() is not None:
                # Killed, or it ended with trials that were given up after too many deaths: the next one retries them.
                command = self._issue()
            elif self.kills.total() < self.moments:
                self._strike(command, deadline)
            else:
                self.desk.gate.touch()
            self._look()
            time.sleep(0.1)
        return command.wait(max(1, deadline - time.monotonic())) == 0

    def _issue(self) -> subprocess.Popen[str]:
        self.commands += 1
        return self.desk.sweep(*self.overrides)

    def _strike(self, command: subprocess.Popen[str], deadline: float) -> None:
        """Kill at a moment drawn anew: of every five, four come when a worker is at work, one whenever it likes."""
        anyhow = self.rng.random() < 0.2
        while not (anyhow or self.desk.workers()):
            if command.poll() is not None or time.monotonic() > deadline:
                return
            self._look()
            time.sleep(0.1)
        end = time.monotonic() + self.rng.expovariate(1 / SECONDS_A_KILL)
        while time.monotonic() < end:
            self._look()
            time.sleep(0.05)
        # Each kind of victim is due equally often, in an order that nobody foresees.
        name = self.rng.choice([name for name in VICTIMS if self.kills[name] == min(self.kills.values())])
        workers = self.desk.workers()
        victims = {"worker": [self.rng.choice(workers)] if workers else [], "launcher": [command.pid]}
        victims["both"] = [command.pid, *workers]
        if command.poll() is None and victims[name]:
            for pid in victims[name]:
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(pid, signal.SIGKILL)
            self.kills[name] += 1
            self.killed |= set(victims[name]) & set(workers)

    def _look(self) -> None:
        """Ask for the status, and compare with what was so before and after."""
        self.looks += 1
        self.untrue += untrue_status(self.desk)

    def _done(self, trials: int) -> bool:
        results = self.desk.in_store().values()
        return len(results) == trials and all(result["status"] == "completed" for result in results)

    def trained_twice(self) -> list[str]:
        """Return the trials that a worker began though the one before it lived, or though they were done, in words."""
        lines = []
        for trial_id in self.desk.times_trained():
            text = self.desk.log(trial_id)
            pids = [int(pid) for pid in re.findall(r"stack of .* in process (\d+) on", text)]
            if alive := set(pids[:-1]) - self.killed:
                lines.append(f"{trial_id}: begun again though {alive} lived")
            if "stack of" in text.partition(" completed\n")[2]:
                lines.append(f"{trial_id}: begun again though it was done")
        return lines

    def report(self) -> str:
        """Return what was done and survived."""
        starts = self.desk.times_trained()
        resumed = sum(self.desk.log(trial_id).count("resumed at step") for trial_id in starts)
        strays = [p for p in self.desk.results.glob("*/*") if p.name.startswith((".", "claim.", "checkpoint."))]
        kills = ", ".join(f"{self.kills[name]} x {name}" for name in VICTIMS)
        return (
            f"{len(starts)} trials, killed {kills}; {self.commands} commands, {sum(starts.values())} trainings begun, "
            f"{resumed} resumed from a checkpoint; {len(strays)} stray files; status true {self.looks} times"
        )


def untrue_status(desk: Desk) -> list[str]:
    """Return what the status of a store's newest sweep says and is not so, in words."""

    def results() -> set[str]:
        return {trial_id for trial_id in manifest.trials if (desk.results / trial_id / "result.json").exists()}

    def claims() -> set[Path]:
        return set(desk.results.glob("*/claim.*.json"))

    store = Store(desk.results)
    if not (names := sweep_names(store)):
        return []
    manifest = read_manifest(store, names[-1])
    done, claimed, held = results(), claims(), set(desk.holders())
    status = sweep_status(store, manifest)
    claimed_after, held_after, finished = claims(), set(desk.holders()), results()
    between = {path.parent.name for path in claimed_after - claimed} | (finished - done)
    running = {entry.trial_id for entry in status.running}
    lines = []
    if not len(done) <= status.done <= len(finished) or status.damaged:
        lines.append(f"{status.done} done of {len(done)} to {len(finished)}, damaged {status.damaged}")
    if not (held & held_after) - finished <= running <= held | held_after | between:
        lines.append(f"{sorted(running)} running, held {sorted(held)}, then {sorted(held_after)}")
    return lines


def differences(disturbed: Desk, undisturbed: Desk) -> list[str]:
    """Return what is not as in a sweep that nobody disturbed, in words."""
    found, expected = disturbed.in_store(), undisturbed.in_store()
    lines = [f"{trial_id}: no result" for trial_id in expected.keys() - found.keys()]
    lines += [f"{trial_id}: a result too many" for trial_id in found.keys() - expected.keys()]
    for trial_id in expected.keys() & found.keys():
        own, other = found[trial_id], expected[trial_id]
        if len(other["provenance"]["stack"]) == 1:
            equal = outcome(own) == outcome(other)
        else:
            here, there = numbers(own), numbers(other)
            equal = here.keys() == there.keys() and all(math.isclose(here[k], there[k], rel_tol=1e-9) for k in here)
        if not equal:
            lines.append(f"{trial_id}: {outcome(own)}, undisturbed {outcome(other)}")
    return sorted(lines)


def soak(folder: Path, name: str, overrides: Sequence[str], moments: int, seed: int, seconds: float) -> list[str]:
    """Disturb one sweep, print a line on it, and return what went wrong, in words."""
    undisturbed, disturbed = Desk(folder / f"{name}.undisturbed"), Desk(folder / name)
    for desk in (undisturbed, disturbed):
        desk.folder.mkdir()
    answer = launch("-m", f"results={undisturbed.results}", *overrides)
    assert answer.code == 0, answer
    own = Soak(disturbed, overrides, moments, random.Random(f"{name} {seed}"))
    began = time.monotonic()
    try:
        finished = own.run(len(undisturbed.in_store()), began + seconds)
        eventually(lambda: not disturbed.workers(), "the workers have ended")
    finally:
        disturbed.end()
    print(f"{name}: {own.report()}, in {time.monotonic() - began:.0f} s", flush=True)
    wrong = [*differences(disturbed, undisturbed), *own.trained_twice(), *own.untrue]
    if not finished:
        wrong.insert(0, f"{name}: not done within {seconds:.0f} s")
    elif own.kills.total() < moments:
        wrong.insert(0, f"{name}: done after {own.kills.total()} of {moments} moments")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=60, help="give a sweep up after")
    parser.add_argument("--seed", type=int, default=0, help="of the killer")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    os.environ.pop("GATE", None)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="irm_sweeps_soak.") as name:
        folder = Path(name)
        data_dir = write_archives(folder / "data")
        shares = {"solo": math.ceil(options.moments / 2), "stack": options.moments // 4}
        shares["cifar"] = options.moments - sum(shares.values())
        for sweep, overrides in sweeps(data_dir, options.moments).items():
            wrong += soak(folder, sweep, overrides, shares[sweep], options.seed, 60 * options.minutes)
    print("\n".join(wrong) or "every result equals that of an undisturbed sweep")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
