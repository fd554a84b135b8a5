"""The report's sections on all trials of a data set: what search adds to results, and whether it tests invariance."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.figures import accuracy_line, budget, metrics, store_wide
from irm_sweeps.analysis.figures.general import setting_of
from irm_sweeps.analysis.figures.measuring import Measuring
from irm_sweeps.analysis.figures.series import Series, of_store
from irm_sweeps.analysis.report.sections import data_uri
from irm_sweeps.analysis.selection_rules import honest
from irm_sweeps.analysis.statistics.search_budget import expected_best
from irm_sweeps.analysis.tables.notes import made_by
from irm_sweeps.errors import UserError
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.wording import written

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results

MOST = 6
"""Largest number of data sets that have sections: those with the most trials."""


@dataclass(frozen=True)
class CurveSection:
    """A title, the answer in words, and the picture as a data URI, empty where it would show too much."""

    title: str
    answer: str
    picture: str


def curve_sections(
    results: Results, select: str | None = None, *, trusted: bool = False, trial_ids: Collection[str] | None = None
) -> list[CurveSection]:
    """Return for each data set of the stores the budget curve and the accuracy line, where it has them.

    Parameters
    ----------
    select
        Selection rule of the line; None: the honest one.
    trusted
        See `Trial.from_config`.
    trial_ids
        Of which trials; None: of all.
    """
    series, _ = of_store(results, select or "last", trusted=trusted)
    groups: dict[str, list[Series]] = {}
    for one in series:
        trials = [trial for trial in one.trials if trial_ids is None or trial.id in trial_ids]
        if trials:
            key = json.dumps(trials[0].canonical["dataset"], sort_keys=True)
            groups.setdefault(key, []).append(replace(one, trials=trials))
    names = dict(zip(groups, _names([json.loads(key) for key in groups]), strict=True))
    largest = sorted(groups, key=lambda key: -sum(len(one.trials) for one in groups[key]))[:MOST]
    return [section for key in largest for section in _sections(names[key], groups[key], select, results)]


def _names(datasets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the name that chooses each data set, with the fields in which it differs from others of that name."""
    choices = [choice_name("dataset", config) for config in datasets]
    names = []
    for choice, config in zip(choices, datasets, strict=True):
        alike = [other for other_choice, other in zip(choices, datasets, strict=True) if other_choice == choice]
        differing = [key for key in config if any(other.get(key) != config[key] for other in alike)]
        names.append(" ".join([choice, *(f"{key}={written(config[key])}" for key in differing)]))
    return names


def _sections(name: str, found: Sequence[Series], select: str | None, results: Results) -> Iterator[CurveSection]:
    """Yield the sections of a data set; with one backbone, its series are named by their methods."""
    rule = select or honest(*(one.trials for one in found))
    one_backbone = len({one.name for one in found}) == len(found)
    series = [replace(one, rule=rule, task="" if one_backbone else one.task) for one in found]
    inside, shifted = metrics.DEFAULT
    by_rule = [{rule: budget.searches([one], results, rule, shifted) for rule in budget.RULES} for one in series]
    searched = [one for one, searches in zip(series, by_rule, strict=True) if any(searches.values())]
    if searched:
        metric = shifted.metrics(searched[0].trials[0], {})[0]
        answer = _search_answer(metric, by_rule)
        title = f"How much of a result is search? {name}"
        refusal = _refusal("budget", searched, results)
        curves = {rule: [search for searches in by_rule for search in searches[rule]] for rule in budget.RULES}
        trials = [trial for one in searched for trial in one.trials]
        unit, versions = metrics.unit(metric.rpartition("/")[2], trials), made_by(results, (t.id for t in trials))
        drawn = b"" if refusal else budget.draw(curves, metric, unit, title, "svg", setting_of(searched), versions)
        picture = data_uri(drawn) if drawn else ""
        yield CurveSection(title, answer + refusal, picture)
    try:
        panels = accuracy_line.points(series, results, inside, shifted)
    except UserError:  # a regression
        return
    if fit := next(map(accuracy_line.fit_of, panels.values()), None):
        title = f"Can the data set test invariance? {name}"
        measuring = Measuring(series, results, metrics.DEFAULT)
        rules = measuring.caption("each trial is scored {step}")
        said = accuracy_line.said(fit, fit.n)
        refusal = _refusal("line", series, results)
        svg = b"" if refusal else accuracy_line.draw(panels, measuring.titles, rules, title, "svg", setting_of(series))
        yield CurveSection(title, f"{said[0].upper()}{said[1:]}.{refusal}", data_uri(svg) if svg else "")


def _search_answer(metric: str, by_rule: Sequence[Mapping[str, Sequence[budget.SearchCurve]]]) -> str:
    """Return what the best setting has and what a random one, of the series where they are farthest apart.

    Parameters
    ----------
    by_rule
        The searches of each series, by selection rule.
    """
    found: dict[str, dict[str, tuple[int, float, float]]] = {}
    for rule in budget.RULES:
        for search in (search for searches in by_rule for search in searches[rule]):
            by, reported = ([sum(row) / len(row) for row in rows] for rows in (search.chosen_by, search.reported))
            one, best = (expected_best(by, reported, k) for k in (1, len(by)))
            found.setdefault(search.label, {})[rule] = (len(by), one, best)
    label, rules = max(found.items(), key=lambda item: max(abs(best - one) for _, one, best in item[1].values()))
    unit, decimals = (" %", 1) if metric.endswith("/accuracy") else ("", 3)
    settings = next(iter(rules.values()))[0]
    random = {rule: f"{one:.{decimals}f}{unit}" for rule, (_, one, _) in rules.items()}
    chosen = {rule: f"{best:.{decimals}f}{unit}" for rule, (_, _, best) in rules.items()}
    among = f", the largest step of {len(found)} methods" if len(found) > 1 else ""
    return (
        f"{metric}: of {label} a random setting is expected to have {_by_rule(random)}, the best of {settings} "
        f"drawn at random {_by_rule(chosen, always=True)}{among}."
    )


def _by_rule(texts: Mapping[str, str], *, always: bool = False) -> str:
    """Return `41.0 % by val and 45.2 % by oracle`: the rules score trials at other steps; where equal, one text."""
    one, *others = dict.fromkeys(texts.values())
    return " and ".join(f"{text} by {rule}" for rule, text in texts.items()) if always or others else one


def _refusal(curves: str, series: Sequence[Series], results: Results) -> str:
    """Return why the command draws no such picture, what it would draw being too much; empty if it does."""
    try:
        store_wide.check(curves, series, results)
    except UserError as error:
        return f" No picture: {error}."
    return ""
