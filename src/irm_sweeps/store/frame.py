"""Results as a pandas DataFrame, for notebooks: every number of a store, tidy and typed."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import is_there
from irm_sweeps.files.typed_paths import from_home
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.naming.leaves import leaves
from irm_sweeps.naming.names import setting_names
from irm_sweeps.process_state.garbage import collector_paused
from irm_sweeps.store.archive import open_reader
from irm_sweeps.store.disagreements import Disagreements
from irm_sweeps.store.later_fields import without_places
from irm_sweeps.store.reader import Problem, Reader
from irm_sweeps.store.result import Result
from irm_sweeps.wording import count, first

if TYPE_CHECKING:
    import pandas as pd


TYPES: dict[str, Any] = {
    "trial_id": "string",
    "status": "category",
    "setting": "string",
    "dataset": "string",
    "backbone": "string",
    "method": "string",
    "optimizer": "string",
    "lam": "float64",
    "seed": "int64",
    "rule": "category",
    "step": "Int64",
    "split": "category",
    "environment": "string",
    "risk": "float64",
    "accuracy": "float64",
    "ece": "float64",
    "diverged_at": "Int64",
    "error": "string",
    "seconds": "float64",
    "stack_size": "Int64",
    "finished": "datetime64[s, UTC]",
    "device": "string",
    "commit": "string",
    "store": "string",
}
"""The columns that every frame has, with their types, in this order; those of the config follow."""


def load_results(path: str | Path = "results", *more: str | Path) -> pd.DataFrame:
    """Return the results of one store, or of several put together; an archive of `irm-sweeps pack` is one too.

    One row per trial, selection rule, split and environment. A diverged or failed trial has one row, whose
    `rule`, `split`, `environment`, `risk`, `accuracy` and `ece` are missing. Of a trial that several stores have, a
    completed result is preferred.

    Columns (see `TYPES` for their types)
        `trial_id`, `status` (completed, diverged, failed), `store` (the directory or archive it was read from);
        `setting`: a name of all but the seed, in which results of several settings differ, e.g. `irmv1 lam=100 lr=0.1`;
        `dataset`, `backbone`, `method`, `optimizer`: the names that choose them, e.g. `irmv1` (without a YAML, the
        class; it is `method._target_`); `lam` (NaN where the method has no penalty weight), `seed`;
        `rule` (last, val, oracle, stop: which evaluation speaks for the trial), `step` (of that evaluation, in
        updates), `split` (train, val, test), `environment`, `risk` (nats; of a regression the mean squared error),
        `accuracy` (in [0, 1]), `ece` (expected calibration error, in [0, 1]; missing in results from before it was
        measured);
        `diverged_at` (updates), `error` (message of a failed trial);
        `seconds` (wall time of its stack), `stack_size`, `finished`, `device`, `commit`;
        and the whole config under dotted names, e.g. `optimizer.lr`, `training.steps`, `dataset.p_e`. Lists are JSON
        text, `"[0.2, 0.1]"`, and so is a column whose values are of several kinds. What a trial's method does not have
        is missing. A field that was added after the trial ran has the value that it was trained with.

    Warns about files that are damaged; their names are in `frame.attrs["problems"]`. Warns too where two stores have
    results of a trial with different numbers, of which the first completed one is in the frame.

    Raises
    ------
    UserError
        A path is neither a directory nor an archive, or something given is no path.
    """
    with collector_paused():
        results, problems, disagreements = _read([_place(root) for root in (path, *more)])
        frame = _frame(results)
    if problems:
        warnings.warn(f"left out: {count(len(problems), 'damaged result')}: {first(problems, 1)}", stacklevel=2)
    for line in disagreements:
        warnings.warn(f"left out: {line}", stacklevel=2)
    frame.attrs["problems"] = problems
    return frame


def _place(root: object) -> Path:
    if not isinstance(root, str | os.PathLike):
        raise UserError(f"load_results: {root!r:.100} is no path: several stores are load_results(ONE, OTHER)")
    return from_home(root, "load_results")


def _frame(results: Sequence[tuple[Path, Result]]) -> pd.DataFrame:
    """Return the rows of results, each with the store it is from."""
    import pandas as pd

    settings = setting_names([without_places(result.config) for _, result in results])
    columns = _ConfigColumns()
    rows = [_trial(root, result, name, columns) for (root, result), name in zip(results, settings, strict=True)]
    trials = pd.DataFrame(rows, dtype=object)
    scores = pd.DataFrame(
        [(i, *row) for i, (_, result) in enumerate(results) for row in _scores(result)],
        columns=["trial", "rule", "step", "split", "environment", "risk", "accuracy", "ece"],
    )
    trials = trials.reindex(columns=list(dict.fromkeys([*TYPES, *trials.columns])))
    for name in trials.columns:
        trials[name] = trials[name].astype(TYPES[name]) if name in TYPES else _typed(trials[name])
    frame = trials.take(scores.pop("trial").to_numpy(dtype=int)).reset_index(drop=True)
    for name in scores.columns:
        frame[name] = scores[name].astype(TYPES[name])
    return frame


def _read(roots: Sequence[Path]) -> tuple[list[tuple[Path, Result]], list[str], list[str]]:
    """Return one result per trial with the store it is from, what could not be read, and where stores disagree."""
    found: dict[str, list[tuple[Reader, Result]]] = {}
    disagreements = Disagreements()
    problems = []
    for root in roots:
        if not is_there(root):
            raise UserError(f"{root}: no such directory; give the one that launch.py had as results=, or an archive")
        reader = open_reader(root)
        for result in reader.results():
            if isinstance(result, Problem):
                problems.append(result.reason)
            else:
                found.setdefault(result.trial_id, []).append((reader, result))
    chosen = [(reader.root, result) for reader, result in map(disagreements.choose, found.values())]
    return chosen, problems, list(disagreements.lines())


class _ConfigColumns:
    """The columns of configs; those of a part that many configs share are made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, Any]] = {}

    def of(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the choices of a config and its values under dotted names, but for those in `TYPES`."""
        columns: dict[str, Any] = {}
        for group, values in config.items():
            key = group, repr(values)
            if (own := self._known.get(key)) is None:
                own = self._known[key] = self._of_part(group, values)
            columns |= own
        return columns

    def _of_part(self, group: str, values: Any) -> dict[str, Any]:
        choice = {group: choice_name(group, values)} if group in COMPONENTS else {}
        return {**choice, **{key: _json(value) for key, value in leaves({group: values}) if key not in TYPES}}


def _trial(root: Path, result: Result, setting: str, columns: _ConfigColumns) -> dict[str, Any]:
    """Return what a trial's rows have in common."""
    git = result.provenance.git
    return {
        "trial_id": result.trial_id,
        "status": result.status,
        "setting": setting,
        "lam": result.config.get("lam"),
        "seed": result.config["seed"],
        "diverged_at": result.diverged_at,
        "error": (result.error.message or None) if result.error else None,
        "seconds": result.timing.seconds,
        "stack_size": result.timing.stack_size,
        "finished": result.timing.finished,
        "device": result.hardware.device,
        "commit": git.commit if git else None,
        "store": str(root),
        **columns.of(result.config),
    }


def _scores(result: Result) -> Iterator[tuple[Any, ...]]:
    """Yield rule, step, split, environment, risk, accuracy and ece; one row of nothing where there are none."""
    if not result.metrics:
        yield (None,) * 7
    for rule, evaluation in result.metrics.items():
        for split, environment, scores in evaluation.environments():
            yield rule, evaluation.step, split, environment, scores.risk, scores.accuracy, scores.ece


def _json(value: Any) -> Any:
    """Return a list as JSON text, anything else as it is."""
    return json.dumps(value) if isinstance(value, list) else value


def _typed(column: pd.Series[Any]) -> pd.Series[Any]:
    """Give a config's column the type that all of its values have."""
    kinds = {type(value) for value in column.dropna()}
    if not kinds:
        return column.astype("float64")
    if kinds <= {bool}:
        return column.astype("boolean")
    if kinds <= {int}:
        return column.astype("Int64")
    if kinds <= {int, float}:
        return column.astype("float64")
    if kinds <= {str}:
        return column.astype("string")
    return column.map(json.dumps, na_action="ignore").astype("string")
