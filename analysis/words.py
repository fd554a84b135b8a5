"""The few words that stand in a printed cell."""

from __future__ import annotations

from layout import Cell
from notes import spelled
from verdict import Summary


def measured_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3 (n=10)`, with the setting if one was chosen, or why there is no such number."""
    if cell.measured is None:
        return cell.state or "–"
    chosen = f"; {spelled(cell.chosen)}" if cell.settings > 1 else ""
    return f"{_with_spread(cell.measured, cell.decimals)} (n={cell.measured.n}{chosen})"


def published_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3`, or a dash."""
    return _with_spread(cell.published, cell.decimals) if cell.published else "–"


def difference_text(cell: Cell) -> str:
    """Return `-1.3 [-2.0, -0.5]`: measured minus published, and the interval; nothing to compare: nothing."""
    if cell.verdict is None:
        return ""
    difference = f"{cell.verdict.difference:+z.{cell.decimals}f}"
    if cell.verdict.interval is None:
        return difference
    low, high = (f"{bound:+z.{cell.decimals}f}" for bound in cell.verdict.interval)
    return f"{difference} [{low}, {high}]"


def verdict_text(cell: Cell) -> str:
    """Return the verdict; nothing where nothing can be compared."""
    return cell.verdict.word if cell.verdict else ""


def p_text(cell: Cell) -> str:
    """Return the two p-values; nothing where nothing is tested."""
    if cell.verdict is None or cell.verdict.p is None:
        return ""
    return f"p = {cell.verdict.p:.3g}; Holm's p = {cell.verdict.p_holm:.3g}"


def _with_spread(summary: Summary, decimals: int) -> str:
    mean = f"{summary.mean:.{decimals}f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{decimals}f}"
