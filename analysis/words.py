"""The few words that stand in a printed cell."""

from __future__ import annotations

from layout import Cell
from verdict import Summary


def measured_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3 (n=10)`, or why there is no such number."""
    if cell.measured is None:
        return cell.state or "–"
    return f"{_with_spread(cell.measured, cell.decimals)} (n={cell.measured.n})"


def published_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3`, or a dash."""
    return _with_spread(cell.published, cell.decimals) if cell.published else "–"


def verdict_text(cell: Cell) -> str:
    """Return the verdict; nothing where nothing can be compared."""
    if cell.verdict is None:
        return ""
    if cell.verdict.word == "differs":
        return f"differs ({cell.verdict.difference:+.{cell.decimals}f})"
    return cell.verdict.word


def _with_spread(summary: Summary, decimals: int) -> str:
    mean = f"{summary.mean:.{decimals}f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{decimals}f}"
