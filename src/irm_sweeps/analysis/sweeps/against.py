"""A sweep's table in which each setting is compared with one of them, paired by seed."""

from __future__ import annotations

from dataclasses import replace

from irm_sweeps.analysis.statistics.two_means import multiple_comparisons
from irm_sweeps.analysis.tables.paired import compare, how_lines
from irm_sweeps.analysis.tables.table import Cell, Table, adjusted
from irm_sweeps.errors import UserError, did_you_mean


def against_setting(table: Table, setting: str) -> Table:
    """Return a sweep's table with each setting compared with the one of this name.

    Raises
    ------
    UserError
        There is no such setting, or no other.
    """
    names = [cells[0].row for _, cells in table.rows if cells]
    option = f"--against {setting}"
    if setting not in names:
        listed = ", ".join(names) or "nothing is measured"
        raise UserError(f"{option}: {table.name} has no such setting{did_you_mean(setting, names)}; settings: {listed}")
    if len(names) == 1:
        raise UserError(f"{option}: {table.name} has no other setting to compare with it")
    references = next(cells for _, cells in table.rows if cells[0].row == setting)

    def compared(cell: Cell, reference: Cell) -> Cell:
        if cell.row == setting or cell.measured is None or reference.measured is None:
            return cell
        return replace(cell, verdict=compare(cell.by_seed, reference.by_seed))

    rows = adjusted(
        [(label, [compared(*pair) for pair in zip(cells, references, strict=True)]) for label, cells in table.rows]
    )
    verdicts = [cell.verdict for _, cells in rows for cell in cells if cell.verdict]
    many = multiple_comparisons(verdicts, f"no setting differed from {setting}")
    return replace(
        table,
        name=f"{table.name}_against_{setting}",
        title=f"{table.title}; compared with {setting}",
        rows=rows,
        footer=[*how_lines(setting, verdicts), *([many] if many else []), *table.footer],
        comparison_columns=("difference", "p", "verdict"),
        against=setting,
    )
