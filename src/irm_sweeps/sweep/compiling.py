"""Which trials train as compiled programs: with `compile=true` all, with `compile=auto` some kinds.

Whether a trial can be compiled is said by `Trial.check_compiles`, whether a worker does it by `RunSettings.compiled`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.stacks import Machine, footprint_if_known
from irm_sweeps.trial import Trial, by_kind
from irm_sweeps.wording import count

SAVED = 0.001
"""Seconds that a tiny step is shorter compiled, on a CPU (docs/performance.md)."""
COMPILING = 5.0
"""Seconds that a program takes to compile."""
GAIN = 2
"""Times the seconds of compiling that its steps have to save."""


@dataclass(frozen=True)
class Choice:
    """Whether a kind's trials are compiled, unless their step turns out not to be tiny, and why."""

    trials: Sequence[Trial]
    compiled: bool
    why: str


def choose(trials: Iterable[Trial], machine: Machine) -> dict[str, Choice]:
    """Return the choice for each kind of trial; no data is looked at.

    Parameters
    ----------
    trials
        All trials of the sweep, done or not, so that a launch that continues it chooses the same.
    """
    return {kind: Choice(own, *_chosen(own, machine)) for kind, own in by_kind(trials).items()}


def check_compiles(trials: Iterable[Trial], settings: Settings) -> None:
    """Check that every trial can be trained compiled, if the settings have `compile=true`.

    Raises
    ------
    UserError
        One cannot.
    """
    if settings.compile is True:
        for trial in trials:
            trial.check_compiles()


def kinds_to_compile(trials: Iterable[Trial], settings: Settings, machine: Machine) -> list[str]:
    """Return the kinds of which a worker compiles those with tiny steps; none without `compile=auto`."""
    if settings.compile != "auto":
        return []
    return [kind for kind, choice in choose(trials, machine).items() if choice.compiled]


def looked_at(choices: Mapping[str, Choice], data_dir: Path) -> dict[str, Choice]:
    """Return the choices as a worker will make them: this draws the data of a trial of each kind to compile."""
    return {kind: _looked_at(choice, data_dir) if choice.compiled else choice for kind, choice in choices.items()}


def lines(choices: Mapping[str, Choice]) -> Iterator[str]:
    """Yield one line for each choice and reason."""
    reasons: Counter[tuple[bool, str]] = Counter()
    for choice in choices.values():
        reasons[choice.compiled, choice.why] += len(choice.trials)
    for (compiled, why), n in reasons.items():
        yield f"compile=auto: {str(compiled).lower()} for {count(n, 'trial')}: {why}"


def _chosen(trials: Sequence[Trial], machine: Machine) -> tuple[bool, str]:
    first = trials[0]
    if machine.on_gpu:
        return False, "what it gains on a GPU was not measured"
    try:
        first.check_compiles()
    except UserError:
        return False, "they cannot be compiled"
    # An epoch has one step at least.
    steps = (first.training.steps or first.training.epochs or 0) * math.ceil(len(trials) / machine.workers)
    needed = math.ceil(GAIN * COMPILING / SAVED) * _programs(first)
    if steps < needed:
        return False, f"compiling repays from {needed:,} steps on, and a worker does {steps:,}"
    return True, f"a worker does {steps:,} steps, and compiling repays from {needed:,} on"


def _looked_at(choice: Choice, data_dir: Path) -> Choice:
    footprint = footprint_if_known(choice.trials[0], data_dir)
    if footprint is None:
        return Choice(choice.trials, True, f"{choice.why}, if one is tiny: their data could not be looked at")
    size = f"{footprint.flop / 1e6:,.3g} MFLOP" if footprint.tiny else f"{footprint.flop / 1e9:,.3g} GFLOP"
    if not footprint.tiny:
        return Choice(choice.trials, False, f"a step of {size} gains nothing")
    return Choice(choice.trials, True, f"a step has {size}; {choice.why}")


def _programs(trial: Trial) -> int:
    """Return the number of a trial's programs: one for each kind of move in each stage."""
    environments = len((trial.dataset.announced or {}).get("train", ()))
    usual = trial.method.moves(0, environments)
    stages = [stage for stage in trial.method.stages() if not stage.numbers_only]
    moves = [(stage.name, usual if stage.moves is None else stage.moves) for stage in stages]
    if all(stage.begins for stage in stages):
        moves.append(("", usual))
    return len({(name, tuple(move.players)) for name, own in moves for move in own})
