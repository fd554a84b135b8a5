"""The sentence under a sweep's table: its best setting by training environments, and by the test oracle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from irm_sweeps.analysis.sweeps.environment_groups import EnvironmentColumn, Group
from irm_sweeps.analysis.sweeps.rows import SettingRow
from irm_sweeps.analysis.tables.cell_text import with_spread
from irm_sweeps.wording import count

_MOST_DATASETS = 6
"""Largest number of datasets whose best settings are named."""


def merit(row: SettingRow, group: Group, columns: Sequence[EnvironmentColumn]) -> float | None:
    """Return what settings are ranked by: the mean over a group's columns, the higher the better; None if not ranked.

    A setting is ranked if all its seeds are measured. Of a regression the merit is minus the mean risk.
    """
    summaries = [row.summary(column) for column in columns if column.group == group]
    means = [summary.mean for summary in summaries if summary is not None]
    if not row.is_complete or not means:
        return None
    mean = sum(means) / len(means)
    return -mean if row.measure == "risk" else mean


def honest_group(rows: Sequence[SettingRow], columns: Sequence[EnvironmentColumn]) -> Group:
    """Return the images of training environments that settings are ranked by: held-out ones if all settings have some.

    This is the rule of `objective=auto`.
    """
    held_out = [column for column in columns if column.group == "val"]
    return "val" if held_out and all(row.values.get(held_out[0]) for row in rows if row.n) else "train"


def sentences(rows: Sequence[SettingRow], columns: Sequence[EnvironmentColumn]) -> Iterator[str]:
    """Yield what is best, on each dataset config where there are several, and how many settings are not ranked."""
    by_dataset: dict[str, list[SettingRow]] = {}
    for row in rows:
        by_dataset.setdefault(json.dumps(row.dataset, sort_keys=True), []).append(row)
    several = [group for group in by_dataset.values() if sum(row.is_complete for row in group) > 1]
    group = honest_group(rows, columns)
    if several and len(by_dataset) == 1:
        yield f"Best by {_rule(rows, group)}: {_both(rows, group, columns)}."
    elif len(several) == 1:
        yield f"Best of the settings on the same data, by {_rule(rows, group)}: {_both(several[0], group, columns)}."
    elif several:
        yield f"Best of the settings on the same data, by {_rule(rows, group)}:"
        yield from (f"- {_both(same, group, columns)}." for same in several[:_MOST_DATASETS])
        if len(several) > _MOST_DATASETS:
            yield f"- and on {len(several) - _MOST_DATASETS} more dataset configs."
    left = [row for row in rows if not row.is_complete]
    if left and len(rows) > 1:
        names = f": {left[0].name}" if len(left) == 1 else ""
        yield f"Not ranked, since seeds have no value: {count(len(left), 'setting')}{names}."


def _rule(rows: Sequence[SettingRow], group: Group) -> str:
    """Return what settings are ranked by, in words."""
    measures = dict.fromkeys(row.measure for row in rows if row.measure)
    what = " or ".join("accuracy" if measure == "accuracy" else "lowest risk" for measure in measures)
    if group == "val":
        return f"{what} on held-out images of the training environments"
    hint = "; dataset.n_val=N holds some back" if all("n_val" in row.dataset for row in rows) else ""
    return f"{what} on the training images (none are held out{hint})"


def _both(rows: Sequence[SettingRow], group: Group, columns: Sequence[EnvironmentColumn]) -> str:
    """Return the best setting of the honest rule, and that of the test oracle where an environment is shifted."""
    honest = _named(rows, group, columns)
    if not any(column.group == "shifted" for column in columns):
        return honest
    return f"{honest}; by the test oracle, which looks at the shifted environment: {_named(rows, 'shifted', columns)}"


def _named(rows: Sequence[SettingRow], group: Group, columns: Sequence[EnvironmentColumn]) -> str:
    """Return the best setting with its shifted environments, `vrex lam=10 (shifted 0.9: 45.7 ± 6.0)`."""
    ranked = [(value, row) for row in rows if (value := merit(row, group, columns)) is not None]
    if not ranked:
        return "none"
    best = max(value for value, _ in ranked)
    equal = [row for value, row in ranked if value == best]
    shown = [column for column in columns if column.group == "shifted"] or columns[:1]
    numbers = [
        f"{column.label}: {with_spread(summary, equal[0].decimals)}"
        for column in shown
        if (summary := equal[0].summary(column))
    ]
    ties = f", the first of {len(equal)} that are equal" if len(equal) > 1 else ""
    return f"{equal[0].name} ({', '.join(numbers)}){ties}"
