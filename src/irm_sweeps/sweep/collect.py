"""From a command line's overrides to the trials of a sweep, its settings and its label."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from irm_sweeps.config import Config, Settings
from irm_sweeps.errors import UserError
from irm_sweeps.overrides.launch_line import addressed_to_trials
from irm_sweeps.overrides.paired_axes import members
from irm_sweeps.sweep.grid import each_choice, expand, is_group
from irm_sweeps.sweep.objective import check_objective
from irm_sweeps.sweep.paper import Paper
from irm_sweeps.sweep.warnings import lam_without_effect
from irm_sweeps.trial import Trial

SEEDS = ("seeds", "max_seeds")
"""The settings that say which trials run."""


def collect(overrides: Sequence[str]) -> tuple[dict[str, Trial], Settings, str]:
    """Return a sweep's trials by id, its settings and its label, from command-line overrides.

    A paper file among the overrides contributes the trials of its rows; the other overrides then apply to all
    of them. Rows that this version cannot run, and a `lam` without effect, are named on stderr.

    Raises
    ------
    UserError
        An override is wrong, or the settings differ within the sweep.
    """
    of_papers = [o for o in overrides if o.lstrip("+").startswith(("paper=", "paper."))]
    if of_papers:
        return _from_papers(of_papers, [o for o in overrides if o not in of_papers])
    configs = list(expand(overrides))
    known: dict[tuple[str, str], Config] = {}
    trials = [Trial.from_config(config, known=known) for config in configs]
    settings = common_settings(configs)
    for warning in lam_without_effect(configs, trials):
        print(warning, file=sys.stderr)
    return {trial.id: trial for trial in trials}, settings, "sweep"


def _from_papers(of_papers: Sequence[str], others: Sequence[str]) -> tuple[dict[str, Trial], Settings, str]:
    """Return the trials of paper files, the settings, and the files' names; `others` apply to every trial."""
    # A choice that does not exist is a mistake in `others`, not a row that this version lacks.
    for _ in expand([axis for o in others for axis in members(o) if is_group(axis.partition("=")[0])]):
        pass
    trials: dict[str, Trial] = {}
    configs, names = [], []
    for name, config in _paper_configs(addressed_to_trials(of_papers), _settings_only(others)):
        paper = Paper.from_config(config["paper"], name)
        configs.append(config)
        names.append(name)
        trials_of_paper, unavailable = paper.all_trials(others)
        for row, reason in unavailable.items():
            print(f"{paper.name}: row {row} is left out: {reason}", file=sys.stderr)
        trials.update(trials_of_paper)
    label = "+".join(dict.fromkeys(names))
    if not trials:
        raise UserError(f"paper={label}: none of the rows can be run")
    return trials, common_settings(configs), label


def _paper_configs(of_papers: Sequence[str], settings: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name that each paper file is chosen by, and its config."""
    choices = [override for override in of_papers if override.startswith("paper=")]
    keys = [override for override in of_papers if override not in choices]
    for choice, name in (one for override in choices for one in each_choice(override)):
        for config in expand([choice, *keys, *settings]):
            yield name, config


def of_trials(overrides: Sequence[str]) -> list[str]:
    """Return the overrides that say which trials a sweep has, `paper=` and `seeds=` included, as they were typed."""
    words = [word.removeprefix("++") for word in overrides]  # `addressed_to_trials` puts it there
    return [word for word in words if not _is_setting(word) or word.partition("=")[0] in SEEDS]


def _settings_only(overrides: Sequence[str]) -> list[str]:
    return [override for override in overrides if _is_setting(override)]


def _is_setting(override: str) -> bool:
    return override.partition("=")[0].lstrip("+~").partition(".")[0] in Settings.model_fields


def common_settings(configs: Sequence[Mapping[str, Any]]) -> Settings:
    """Return the settings that all trials of a sweep share.

    Raises
    ------
    UserError
        A setting has several values, or one that is not valid.
    """
    given = {
        repr({name: config[name] for name in Settings.model_fields if name in config}): config for config in configs
    }
    distinct = {str(s): s for s in map(Settings.from_config, given.values())}
    if len(distinct) != 1:
        raise _several_values(list(distinct.values()))
    settings = next(iter(distinct.values()))
    check_objective(settings.objective)
    return settings


def _several_values(settings: Sequence[Settings]) -> UserError:
    """Return the error for a sweep over settings; it names those that differ."""
    differing = []
    for name in Settings.model_fields:
        values = list(dict.fromkeys(str(getattr(one, name)) for one in settings))
        if len(values) > 1:
            differing.append(f"{name}={','.join(values)}: {name} takes one value for all trials of a sweep")
    return UserError("; ".join(differing) + ": launch one sweep for each")
