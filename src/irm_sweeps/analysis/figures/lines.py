"""Which trials make a line of a general picture: from a paper file, from overrides, or from a whole store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.notes import spelled
from irm_sweeps.analysis.options import filling
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.table_builder import Builder
from irm_sweeps.typed_commands import launching

if TYPE_CHECKING:
    from pathlib import Path

    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Line:
    """Trials of one method on one task: one dataset and one backbone, fields and all.

    Attributes
    ----------
    name
        What it is: a paper file's label of the row, or the method.
    variant
        Which task, in the words that set it apart from the others; empty where there is one.
    rule
        Selection rule.
    fill, rerun
        Commands that run what is missing, and what failed; None where they are not known.
    """

    name: str
    variant: str
    trials: Sequence[Trial]
    rule: str
    fill: str | None
    rerun: str | None

    @property
    def label(self) -> str:
        """As in the legend."""
        return f"{self.name}, {self.variant}" if self.variant else self.name


Lines = tuple[list[Line], list[str]]
"""Lines, and what is said of those that cannot be."""


def of_paper(builder: Builder) -> Lines:
    """Return a line for every row that has trials, or several where its columns are several tasks."""
    rows, remarks = builder.runnable()
    lines: list[Line] = []
    for name, own in rows.items():
        row = builder.paper.rows[name]
        commands = builder.command(name), builder.command(name, "rerun=failed")
        lines += _split([(row.label, trial) for trial in own.values()], builder.rule_for(row), commands)
    return lines, remarks


def of_overrides(user: Sequence[str], stores: Sequence[Path], rule: str) -> Lines:
    """Return a line for every method and task of the sweep that these overrides make.

    Raises
    ------
    UserError
        As `launch.py -m` with the same overrides would.
    """
    from irm_sweeps.sweep.grid import trials

    own = [word for word in user if not word.lstrip("+~").startswith(("hydra.", "hydra/"))]
    fill = launching(*filling(stores[0], own))
    return _split([(_method(trial), trial) for trial in trials(own).values()], rule, (fill, f"{fill} rerun=failed")), []


def of_store(results: Results, rule: str, *, trusted: bool = False) -> Lines:
    """Return a line for every method and task that the stores hold a result of; `trusted`: see `Trial.from_config`."""
    from irm_sweeps.errors import UserError
    from irm_sweeps.trial import Trial

    found, remarks = [], []
    for result in results.everything():
        try:
            trial = Trial.from_config(result.config, trusted=trusted)
        except UserError as error:
            remarks.append(f"skipped trial {result.trial_id}: this version cannot read its config: {error}")
            continue
        if trial.id == result.trial_id:
            found.append(trial)
        else:
            remarks.append(f"skipped trial {result.trial_id}: this version reads its config as trial {trial.id}")
    return _split([(_method(trial), trial) for trial in sorted(found, key=_in_order)], rule, (None, None)), remarks


def _in_order(trial: Trial) -> tuple[Any, ...]:
    """Order a store's trials as a grid would: methods without a penalty weight first, numbers by size."""
    task = [(v, "") if isinstance(v, int | float) else (0, json.dumps(v)) for v in _task(trial).values()]
    return trial.method.uses_lam, _method(trial), task, trial.lam or 0.0, trial.seed


def _method(trial: Trial) -> str:
    return type(trial.method).__name__


def _split(trials: Sequence[tuple[str, Trial]], rule: str, commands: tuple[str | None, str | None]) -> list[Line]:
    """Sort named trials by name and task; tasks are told apart by what is not the same in all of them."""
    groups: dict[tuple[str, str], list[Trial]] = {}
    tasks: dict[str, Mapping[str, Any]] = {}
    for name, trial in trials:
        task = _task(trial)
        text = json.dumps(task, sort_keys=True)
        tasks.setdefault(text, task)
        groups.setdefault((name, text), []).append(trial)
    words = dict(zip(tasks, _apart(list(tasks.values())), strict=True))
    return [Line(own, words[text], found, rule, *commands) for (own, text), found in groups.items()]


def _task(trial: Trial) -> dict[str, Any]:
    """Return class and fields of dataset and backbone; an unset field has the value that it stands for."""
    task: dict[str, Any] = {}
    for group in ("dataset", "backbone"):
        part = getattr(trial, group)
        task[group] = type(part).__name__
        fields = part.model_dump(mode="json", exclude={"target", *part.place_fields()})
        task.update({f"{group}.{key}": value for key, value in fields.items()})
    return task


def _apart(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return for each task the classes and fields that set it apart from others, fields only within a class."""
    words = []
    for task in tasks:
        said: dict[str, Any] = {}
        classes = []
        for group in ("dataset", "backbone"):
            if any(other[group] != task[group] for other in tasks):
                classes.append(task[group])
            alike = [other for other in tasks if other[group] == task[group]]
            keys = [key for key in task if key.startswith(f"{group}.")]
            said.update({key: task[key] for key in keys if any(other.get(key) != task[key] for other in alike)})
        words.append(", ".join([*classes, *([spelled(said)] if said else [])]))
    return words
