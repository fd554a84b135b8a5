"""Which trials make a series: from a paper file, from overrides, or from a whole store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.running import running_configs
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.analysis.tables.notes import spelled
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.typed_commands import launching
from irm_sweeps.wording import first

if TYPE_CHECKING:
    from pathlib import Path

    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.result import Result
    from irm_sweeps.trial import Trial

TASK = ("dataset", "backbone", "optimizer", "training")
"""The parts of a trial that make its task in a whole store: all but the method, `lam` and the seed."""

Command = Callable[..., str]
"""From further overrides to the command that runs the trials; empty where it is not known."""


@dataclass(frozen=True)
class Series:
    """Trials that are drawn as one line, one kind of bar or one row of a heat map.

    Attributes
    ----------
    name
        A paper file's label of the row, or the method.
    rule
        Selection rule.
    task
        Dataset and backbone, in the words that set them apart from those of other series; empty where there is one.
    """

    name: str
    trials: Sequence[Trial]
    rule: str
    command: Command
    task: str = ""

    @property
    def label(self) -> str:
        """As in the legend."""
        return f"{self.name}, {self.task}" if self.task else self.name


def of_row(builder: Builder, name: str) -> Series:
    """Return all trials of a paper's row.

    Raises
    ------
    UnknownChoice
        This version lacks something that the row names.
    """
    row = builder.paper.rows[name]
    return Series(
        row.label, list(builder.row_trials(row).values()), builder.rule_for(row), partial(builder.command, name)
    )


def of_paper(builder: Builder) -> tuple[list[Series], list[str]]:
    """Return a series for each row that has trials and each task of its columns, and a remark on each other row."""
    names, remarks = builder.runnable()
    series: list[Series] = []
    for row in (of_row(builder, name) for name in names):
        series += _by_task([(row.name, trial) for trial in row.trials], row.rule, row.command)
    return series, remarks


def of_overrides(user: Sequence[str], stores: Sequence[Path], rule: str) -> list[Series]:
    """Return a series for each method and task of the sweep that these overrides make.

    Raises
    ------
    UserError
        As `launch.py -m` with the same overrides would.
    """
    from irm_sweeps.sweep.grid import trials

    overrides = [word for word in user if not word.lstrip("+~").startswith(("hydra.", "hydra/"))]
    command = launching(*overrides_into(folder_to_fill(stores), overrides))
    named = [(_method(trial), trial) for trial in trials(overrides).values()]
    return _by_task(named, rule, lambda *more: " ".join([command, *more]))


def of_store(results: Results, rule: str, *, trusted: bool = False) -> tuple[list[Series], list[str]]:
    """Return a series for each method and task that the stores hold, and a remark on each trial that is skipped.

    What is being trained counts too. Nobody typed these trials as one search, so that only those that are the same but
    for `lam` and the seed are compared with each other: other hyperparameters of a method are part of its name, those
    of optimizer and training part of the task.

    `trusted`: see `Trial.from_config`.
    """
    configs = {result.trial_id: result.config for result in results.everything()}
    trials, remarks = _trials_of({**running_configs(results.readers), **configs}, results, trusted)
    own: dict[str, list[Trial]] = {}
    for trial in sorted(trials, key=_as_in_a_grid):
        own.setdefault(_method(trial), []).append(trial)
    named = [(name, trial) for method, alike in own.items() for name, trial in _named(method, alike)]
    return _by_task(named, rule, lambda *_: "", TASK), remarks


def _named(method: str, trials: Sequence[Trial]) -> list[tuple[str, Trial]]:
    """Name a method's trials by it and its hyperparameters that differ."""
    words = told_apart(trials, ("method",))
    return [(", ".join(word for word in (method, own) if word), t) for own, t in zip(words, trials, strict=True)]


def of_manifest(
    manifest: Manifest, results: Results, rule: str, *, trusted: bool = False
) -> tuple[list[Series], list[str]]:
    """Return a series for each method and task of a sweep that was launched, and a remark on each trial as above."""
    trials, remarks = _trials_of(manifest.trials, results, trusted)
    named = [(_method(trial), trial) for trial in trials]
    return _by_task(named, rule, lambda *more: " ".join([manifest.command, *more])), remarks


def _trials_of(
    configs: Mapping[str, Mapping[str, Any]], results: Results, trusted: bool
) -> tuple[list[Trial], list[str]]:
    """Return the trials of stored configs by id, and remarks on those that this version reads otherwise: by reason."""
    from irm_sweeps.errors import UserError
    from irm_sweeps.trial import Trial
    from irm_sweeps.user_code.modules import foreign_targets

    trials: list[Trial] = []
    skipped: dict[str, list[str]] = {}
    for trial_id, config in configs.items():
        try:
            trial = Trial.from_config(config, trusted=trusted)
        except UserError as error:
            foreign = not trusted and foreign_targets(config)
            hint = "; add --trust if it is yours or of somebody you trust"
            reason = f"{error}{hint}" if foreign else f"this version cannot read its config: {error}"
            skipped.setdefault(reason, []).append(trial_id)
            continue
        if trial.id == trial_id:
            trials.append(trial)
        else:
            skipped.setdefault(_why_another(results.of(trial_id), trial), []).append(trial_id)
    return trials, [f"skipped {_some(ids)}: {reason}" for reason, ids in skipped.items()]


def _some(trial_ids: Sequence[str]) -> str:
    """Return `trial ID`, or `12 trials (ID, ID, ID, ...)`."""
    if len(trial_ids) == 1:
        return f"trial {trial_ids[0]}"
    return f"{len(trial_ids)} trials ({first(trial_ids)})"


def _why_another(result: Result | None, trial: Trial) -> str:
    """Return why a stored config is, as read now, that of another trial."""
    from irm_sweeps.store.earlier_code import other_code

    if result and (changed := other_code(result, trial)):
        return f"done by an earlier version of {', '.join(changed)}"
    return f"this version reads its config as trial {trial.id}"


def _as_in_a_grid(trial: Trial) -> tuple[Any, ...]:
    """Order a store's trials as a grid would: methods without a penalty weight first, numbers by size."""
    values = _facts(trial, ("dataset", "backbone")).values()
    task = [(v, "") if isinstance(v, int | float) else (0, json.dumps(v)) for v in values]
    return trial.method.uses_lam, _method(trial), task, trial.lam or 0.0, trial.seed


def _method(trial: Trial) -> str:
    return choice_name("method", trial.config["method"])


def _by_task(
    named: Sequence[tuple[str, Trial]], rule: str, command: Command, groups: Sequence[str] = ("dataset", "backbone")
) -> list[Series]:
    """Group named trials by name and task; a task is described by what is not the same in all of them."""
    tasks = told_apart([trial for _, trial in named], groups)
    grouped: dict[tuple[str, str], list[Trial]] = {}
    for (name, trial), task in zip(named, tasks, strict=True):
        grouped.setdefault((name, task), []).append(trial)
    return [Series(name, trials, rule, command, task) for (name, task), trials in grouped.items()]


def told_apart(trials: Sequence[Trial], groups: Sequence[str]) -> list[str]:
    """Return for each trial the classes and fields of some parts that are not the same in all trials."""
    facts = [_facts(trial, groups) for trial in trials]
    texts = [json.dumps(one, sort_keys=True) for one in facts]
    different = dict(zip(texts, facts, strict=True))
    words = dict(zip(different, _differences(list(different.values())), strict=True))
    return [words[text] for text in texts]


def _facts(trial: Trial, groups: Sequence[str]) -> dict[str, Any]:
    """Return class and fields of some parts of a trial; an unset field has the value that it stands for."""
    facts: dict[str, Any] = {}
    for group in groups:
        part = getattr(trial, group)
        has_class = "_target_" in trial.config[group]
        facts[group] = choice_name(group, trial.config[group]) if has_class else group
        places = part.place_fields() if has_class else ()
        fields = part.model_dump(mode="json", exclude={"target", *places})
        facts.update({f"{group}.{key}": value for key, value in fields.items()})
    return facts


def _differences(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return for each task the classes and fields that set it apart from others, fields only within a class."""
    words = []
    groups = [key for key in tasks[0] if "." not in key] if tasks else []
    for task in tasks:
        fields: dict[str, Any] = {}
        classes = []
        for group in groups:
            if any(other[group] != task[group] for other in tasks):
                classes.append(task[group])
            alike = [other for other in tasks if other[group] == task[group]]
            keys = [key for key in task if key.startswith(f"{group}.")]
            fields.update({key: task[key] for key in keys if any(other.get(key) != task[key] for other in alike)})
        words.append(", ".join([*classes, *([spelled(fields)] if fields else [])]))
    return words
