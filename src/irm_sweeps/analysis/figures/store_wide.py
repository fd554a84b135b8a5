"""Pictures of a whole store: which of them can be read, and what to type where the trials are too unlike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from irm_sweeps.analysis.figures.series import TASK
from irm_sweeps.errors import UserError
from irm_sweeps.wording import count, first, written

if TYPE_CHECKING:
    from irm_sweeps.analysis.figures.series import Series
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.trial import Trial

MOST_LINES = 9
"""Most methods, with their hyperparameters, that a picture shows: each has a marker of its own."""
MOST_TASKS = {"lam": 4, "training": 4, "heatmap": 12, "budget": 4, "line": 12}
"""Picture -> most tasks of a store that it shows; a task has panels, a column or lines of its own."""
_MOST_VALUES = 4


def check(curves: str, series: Sequence[Series], results: Results) -> None:
    """Check that a store's trials fit into one picture.

    Raises
    ------
    UserError
        They differ in too many keys besides those that the picture shows; the message names them.
    """
    tasks, names = len({one.task for one in series}), len({one.name for one in series})
    trials = [trial for one in series for trial in one.trials]
    lines = 0 if curves == "line" else len(series) if curves == "budget" else names
    if tasks > MOST_TASKS[curves]:
        what, differs = f"{tasks} tasks, and it shows {MOST_TASKS[curves]}", _differing(trials, TASK)
    elif lines > MOST_LINES:
        what, differs = f"{lines} lines, and it shows {MOST_LINES}", _differing(trials, ["method"])
    else:
        return
    raise UserError(
        f"--curves {curves}: the store has {what}: they differ in {differs}; restrict the picture: {_how(results)}"
    )


def _differing(trials: Sequence[Trial], groups: Iterable[str]) -> str:
    """Return the keys in which trials differ, with their values; where classes differ, not the fields of these."""
    from irm_sweeps.sweep.labels import differences

    rows = differences(trials)
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key.partition(".")[0] in groups]
    words = []
    for key in (key for key in keys if "." not in key or key.partition(".")[0] not in keys):
        found = [row[key] for row in rows if key in row]
        if all(isinstance(value, int | float) for value in found):
            found.sort()
        values = list(dict.fromkeys(map(written, found)))
        short = [value.rpartition(".")[2] if "." not in key else value for value in values]
        words.append(f"{key} ({first(short, _MOST_VALUES)})")
    left = [count(len(words) - _MOST_VALUES, "more key")] if len(words) > _MOST_VALUES else []
    return ", ".join([*words[:_MOST_VALUES], *left])


def _how(results: Results) -> str:
    from irm_sweeps.store.sweeps import sweep_names

    names = [name for reader in results.readers for name in sweep_names(reader)]
    sweep = [f"to a sweep, e.g. --sweep {names[-1]}"] if names else []
    overrides = "or to the trials that overrides make, e.g. method=irmv1,vrex lam=1,10 seed=0,1 training.steps=500"
    return ", ".join([*sweep, "to a paper with --paper NAME", overrides])
