"""Kill, for as long as a sweep lasts, a random worker or the launcher every few seconds; then compare every result.

    python tests/soak.py --trials 200 --minutes 15 --seed 0

The same trials are trained once more, in another store and without disturbance. Exits with 1 if a result is
missing or differs in status, steps, metrics or the sha256 of its parameters.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import torch

from commands import SMALL, Desk, launch, outcomes

CHECKPOINT_SECONDS = 0.2


@dataclass
class Soak:
    """One sweep, and what was done to it.

    Attributes
    ----------
    steps
        Of each trial: enough that most kills hit one that is being trained.
    pause
        Mean seconds between two kills.
    most
        Kills after which the sweep is left in peace.
    """

    folder: Path
    trials: int
    steps: int
    pause: float
    most: int
    rng: random.Random
    kills: Counter[str] = field(default_factory=Counter)
    commands: int = 0

    def __post_init__(self) -> None:
        self.desk = Desk(self.folder)
        self.desk.gate.touch()

    @property
    def overrides(self) -> list[str]:
        return [
            *SMALL,
            "method=irmv1",
            "method.anneal=5",
            "training.batch_size=16",
            f"training.steps={self.steps}",
            f"seed=range(0,{self.trials})",
            f"checkpoint_seconds={CHECKPOINT_SECONDS}",
        ]

    def run(self, deadline: float) -> bool:
        """Disturb the sweep until it is done; False if it is not by the deadline."""
        command = self._issue()
        while not self._done():
            self._wait(self.rng.expovariate(1 / self.pause), deadline)
            if time.monotonic() > deadline:
                return False
            if command.poll() is not None:
                # Killed, or it ended with trials that were given up after too many deaths: the next one retries them.
                command = self._issue()
            elif self.kills.total() < self.most and (workers := self.desk.workers()):
                victim, name = self.rng.choice([(command.pid, "launcher"), *((pid, "worker") for pid in workers)])
                self._kill(victim, name)
        command.wait(60)
        return True

    def _issue(self) -> subprocess.Popen[str]:
        self.commands += 1
        return self.desk.sweep(*self.overrides)

    def _kill(self, pid: int, name: str) -> None:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills[name] += 1

    def _wait(self, seconds: float, deadline: float) -> None:
        end = min(time.monotonic() + seconds, deadline)
        while time.monotonic() < end and not self._done():
            time.sleep(0.1)

    def _done(self) -> bool:
        results = self.desk.in_store().values()
        return len(results) == self.trials and all(result["status"] == "completed" for result in results)

    def differences(self, undisturbed: Desk) -> list[str]:
        """Return what is not as in a sweep that nobody disturbed, in words."""
        found, expected = outcomes(self.desk.in_store()), outcomes(undisturbed.in_store())
        lines = [f"{trial_id}: no result" for trial_id in expected.keys() - found.keys()]
        lines += [f"{trial_id}: a result too many" for trial_id in found.keys() - expected.keys()]
        for trial_id in expected.keys() & found.keys():
            for name, value in expected[trial_id].items():
                if found[trial_id][name] != value:
                    lines.append(f"{trial_id}: {name} is {found[trial_id][name]}, undisturbed {value}")
        return sorted(lines)

    def report(self, seconds: float) -> str:
        """Return what was done and survived."""
        starts = self.desk.times_trained()
        resumed = sum(self.desk.log(trial_id).count("resumed at step") for trial_id in starts)
        strays = [p for p in self.desk.results.glob("*/*") if p.name.startswith((".", "claim.", "checkpoint."))]
        return (
            f"{self.trials} trials of {self.steps} steps in {seconds:.0f} s: killed {self.kills['worker']} workers and "
            f"{self.kills['launcher']} launchers; {self.commands} commands, {sum(starts.values())} trainings begun, "
            f"{resumed} resumed from a checkpoint; {len(strays)} stray files"
        )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--steps", type=int, default=600, help="of each trial")
    parser.add_argument("--minutes", type=float, default=15, help="give up after")
    parser.add_argument("--pause", type=float, default=4, help="mean seconds between kills")
    parser.add_argument("--kills", type=int, default=10**9, help="at most")
    parser.add_argument("--seed", type=int, default=0, help="of the killer")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="irm_sweeps_soak.") as name:
        (Path(name) / "undisturbed").mkdir()
        (Path(name) / "soak").mkdir()
        rng = random.Random(options.seed)
        soak = Soak(Path(name) / "soak", options.trials, options.steps, options.pause, options.kills, rng)
        undisturbed = Desk(Path(name) / "undisturbed")
        try:
            began = time.monotonic()
            finished = soak.run(began + 60 * options.minutes)
            print(soak.report(time.monotonic() - began), flush=True)
            if not finished:
                print(f"not done within {options.minutes:g} minutes: {len(soak.desk.in_store())} results")
                return 1
            answer = launch("-m", f"results={undisturbed.results}", *soak.overrides)
            if answer.code:
                print(f"the undisturbed sweep failed: {answer.err}")
                return 1
            differences = soak.differences(undisturbed)
        finally:
            soak.desk.end()
    print("\n".join(differences) or f"all {options.trials} results equal those of an undisturbed sweep")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
