"""A sweep's table in no format yet: a row for each setting, a column for each group of environments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irm_sweeps.analysis.selection_rules import ADVICE, STEPS
from irm_sweeps.analysis.sweeps.best_setting import honest_group, merit, sentences
from irm_sweeps.analysis.sweeps.environment_groups import Datasets, EnvironmentColumn
from irm_sweeps.analysis.sweeps.rows import SettingRow, rows
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.sweeps.trials import SweepTrials


@dataclass(frozen=True)
class SweepTable:
    """The table of a sweep.

    Attributes
    ----------
    title
        Name of the sweep, and how the numbers are made.
    answer
        The sentences on the best settings, and on those that are not ranked.
    fill
        The command that trains what is not run; empty if everything is, or no command is known.
    rule
        Selection rule of the trials.
    """

    name: str
    title: str
    columns: Sequence[EnvironmentColumn]
    rows: Sequence[SettingRow]
    answer: Sequence[str]
    fill: str
    rule: str = "last"

    def best(self, n: int) -> list[SettingRow]:
        """Return the n best settings by the honest rule, the best first; those that are not ranked come last."""
        group = honest_group(self.rows, self.columns)

        def rank(row: SettingRow) -> tuple[bool, float]:
            value = merit(row, group, self.columns)
            return value is None, -(value or 0.0)

        return sorted(self.rows, key=rank)[:n]


def sweep_table(sweep: SweepTrials, results: Results, rule: str, datasets: Datasets) -> SweepTable:
    """Return the table of a sweep under a selection rule."""
    table_rows, columns = rows(sweep, results, rule, datasets)
    missing = sum(row.states.get("missing", 0) for row in table_rows)
    return SweepTable(
        name=sweep.name,
        title=_title(sweep.name, table_rows, rule),
        columns=columns,
        rows=table_rows,
        answer=[*sentences(table_rows, columns), *_not_selected(table_rows, rule)],
        fill=sweep.fill if missing else "",
        rule=rule,
    )


def _title(name: str, table_rows: Sequence[SettingRow], rule: str) -> str:
    """Return `sweep-0123abcd: accuracy in %, mean ± sd over the seeds, at the end of training`."""
    measures = dict.fromkeys(row.measure for row in table_rows if row.measure)
    texts = [{"accuracy": "accuracy in %"}.get(measure, measure) for measure in measures]
    if not texts:
        nothing = f"nothing selected by rule {rule}" if _unselected(table_rows) else "nothing measured"
        return f"{name}: {count(len(table_rows), 'setting')}, {nothing}"
    seeds = max(sum(row.states.values()) for row in table_rows)
    pooled = ", mean ± sd over the seeds" if seeds > 1 else ""
    return f"{name}: {' or '.join(texts)}{pooled}, {STEPS[rule]}"


def _unselected(table_rows: Sequence[SettingRow]) -> int:
    """Return the number of trials that are done and of which the selection rule chose no evaluation."""
    return sum(row.states.get("unselected", 0) for row in table_rows)


def _not_selected(table_rows: Sequence[SettingRow], rule: str) -> Iterator[str]:
    """Yield what to do about such trials."""
    if n := _unselected(table_rows):
        advice = ADVICE.get(rule, "--select last shows the end of training")
        yield f"Not selected: {count(n, 'trial')} done, of which rule {rule} chose no evaluation: {advice}."


def commands(table: SweepTable, sweep: SweepTrials) -> list[str]:
    """Return the command that trains what is missing, and what failed again; none if nothing is."""
    if not sweep.fill:
        return []
    if any(row.states.get("failed", 0) for row in table.rows):
        return [f"{sweep.fill} rerun=failed"]
    return [table.fill] if table.fill else []
