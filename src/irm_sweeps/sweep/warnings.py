"""Warnings before work: trials that will train, but whose settings say that they are not what was meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from irm_sweeps.config import Settings
from irm_sweeps.methods.method import Pace
from irm_sweeps.sweep.labels import labels
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.stacks import SHARE, footprint_if_known
from irm_sweeps.training.optimizers import Adam
from irm_sweeps.trial import Trial
from irm_sweeps.wording import count, written

NAMED = 3
"""Most trials that a warning names, and most lines of one kind."""
UNKNOWN_MEMORY = 16e9
"""Bytes that a worker is taken to have where its memory cannot be measured here."""


def warnings(trials: Sequence[Trial], settings: Settings, launcher: Launcher) -> Iterator[str]:
    """Yield a line for each kind of trial of which something never acts, or whose full batch does not fit.

    Something is a penalty, a stage, or a stage's change of the optimizer.
    """
    idle: dict[str, list[Trial]] = {}
    full: dict[str, list[Trial]] = {}
    epochs = _Epochs(settings.data_dir)
    for trial in trials:
        if why := _idle_penalty(trial, epochs) or _idle_stages(trial, epochs) or _idle_change(trial):
            idle.setdefault(why, []).append(trial)
        if trial.training.batch_size is None and not trial.backbone.stacks:
            full.setdefault(f"{trial.backbone!r} {trial.dataset.features}", []).append(trial)
    for why, those in list(idle.items())[:NAMED]:
        yield f"warning: {_named(those)}: {why}"
    if full:
        yield from _too_large(list(full.values()), settings, launcher)


def lam_without_effect(configs: Sequence[Mapping[str, Any]], trials: Sequence[Trial]) -> Iterator[str]:
    """Yield a line for each method without a penalty whose trials were given a `lam`, or several.

    One value beside methods that have a penalty is meant for these.

    Parameters
    ----------
    trials
        The trial of each config.
    """
    given: dict[str, list[str]] = {}
    for config, trial in zip(configs, trials, strict=True):
        if not trial.method.uses_lam and config["lam"] is not None:
            values = given.setdefault(type(trial.method).__name__, [])
            if (value := written(config["lam"])) not in values:
                values.append(value)
    alone = not any(trial.method.uses_lam for trial in trials)
    for method, values in given.items():
        if alone or len(values) > 1:
            same = f", so {len(values)} values make the same trial" if len(values) > 1 else ""
            yield f"warning: lam={','.join(values)} has no effect on {method}, which has no penalty weight{same}" + (
                ": leave lam out" if alone else ""
            )


class _Epochs:
    """The steps of an epoch, found out by drawing data: once for all trials of one data set and batch."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._steps: dict[str, int | None] = {}

    def steps(self, trial: Trial) -> int | None:
        """Return the number of steps of an epoch; None if the data cannot be read."""
        key = f"{trial.dataset!r} {trial.training.batch_size} {trial.training.batches}"
        if key not in self._steps:
            from irm_sweeps.training.footprint import steps_per_epoch

            try:
                self._steps[key] = steps_per_epoch(trial, self._data_dir)
            except (Exception, SystemExit):  # the worker that trains it reports the error
                self._steps[key] = None
        return self._steps[key]


def _idle_penalty(trial: Trial, epochs: _Epochs) -> str | None:
    """Return why the trial's penalty, or its game, never acts; None if it does, or where that is not known."""
    field = trial.method.delay
    delay = int(getattr(trial.method, field)) if field else 0
    if not delay or (steps := _steps(trial, delay, epochs)) is None or not 0 < steps <= delay:
        return None
    length = f"training.steps={steps}" if trial.training.epochs is None else count(steps, "step")
    idle = "the penalty never acts, and lam has no effect" if trial.method.uses_lam else "the game never begins"
    return f"{idle}: method.{field}={delay} is not below {length}: give e.g. method.{field}={steps // 3}, or more steps"


def _idle_stages(trial: Trial, epochs: _Epochs) -> str | None:
    """Return which stages of training never begin; None if all do, or where that is not known."""
    begins = {stage.name: stage.begins for stage in trial.method.stages() if not isinstance(stage.begins, float)}
    if not begins or (steps := _steps(trial, max(begins.values()), epochs)) is None:
        return None
    if not (late := [f"{name} at step {first}" for name, first in begins.items() if first >= steps > 0]):
        return None
    verb = "stages never begin" if len(late) > 1 else "a stage never begins"
    return f"{verb} within {count(steps, 'step')} ({', '.join(late)}): give more steps, or shorter stages"


def _idle_change(trial: Trial) -> str | None:
    """Return which stage goes on from Adam to the trial's optimizer where that is Adam too; None if none does.

    A published code that changes its optimizer (PAIR's, with `protocol=released`) has two kinds.
    """
    if not isinstance(trial.optimizer, Adam):
        return None
    before: dict[str, Pace] = {}
    for stage in trial.method.stages():
        for player, pace in (stage.paces or {}).items():
            former = before.get(player) or trial.method.pace(player)
            if (former.optimizer, pace.optimizer) == ("adam", "trial"):
                return (
                    f"from its stage {stage.name} on the trial's optimizer takes the place of Adam, and is Adam too "
                    f"(lr={trial.optimizer.lr:g}): give the one that is meant, e.g. optimizer=sgd optimizer.lr=0.1"
                )
        before |= stage.paces or {}
    return None


def _steps(trial: Trial, delay: int, epochs: _Epochs) -> int | None:
    """Return the number of steps of a trial; None where it is surely above `delay`, or its data cannot be read."""
    passes = trial.training.epochs
    if passes is None or trial.training.batch_size is None:
        return trial.training.steps if passes is None else passes
    if 2 * passes > delay:  # an epoch of minibatches has two steps or more
        return None
    steps = epochs.steps(trial)
    return None if steps is None else passes * steps


def _too_large(kinds: Sequence[Sequence[Trial]], settings: Settings, launcher: Launcher) -> Iterator[str]:
    machine = launcher.machine(settings.device)
    has = UNKNOWN_MEMORY if machine.free is None else machine.free / SHARE
    for trials in kinds[:NAMED]:
        needs = footprint_if_known(trials[0], settings.data_dir)
        if needs is not None and needs.bytes > has:
            free = "" if machine.free is None else f", of {has / 1e9:.0f} GB that a worker has here"
            yield (
                f"warning: {_named(trials)}: training.batch_size=null, all images at once, takes up to "
                f"{needs.bytes / 1e9:.0f} GB{free}: give e.g. training.batch_size=128"
            )


def _named(trials: Sequence[Trial]) -> str:
    """Return the number of trials, and the names of the first."""
    names = list(labels({trial.id: trial for trial in trials[:NAMED]}).values())
    more = [f"{len(trials) - NAMED} more"] if len(trials) > NAMED else []
    return f"{count(len(trials), 'trial')} ({', '.join([*names, *more])})"
