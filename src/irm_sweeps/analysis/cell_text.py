"""The few words that stand in a printed cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from irm_sweeps.analysis.notes import spelled
from irm_sweeps.analysis.statistics import Summary
from irm_sweeps.analysis.table import Cell
from irm_sweeps.wording import count

NOTHING = "–"
"""Where there is no such number."""

_TINY = 0.0001


def measured_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3 (n=10)`, with the setting if one was chosen, or why there is no such number."""
    if cell.measured is None:
        return cell.state or NOTHING
    chosen = f"; {spelled(cell.chosen)}" if cell.settings > 1 else ""
    return f"{_with_spread(cell.measured, cell.decimals)} (n={cell.measured.n}{chosen})"


def published_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3`, or a dash."""
    return _with_spread(cell.published, cell.decimals) if cell.published else NOTHING


def difference_text(cell: Cell) -> str:
    """Return `-1.3 [-2.0, -0.5]`, the difference and its interval, with ` (7 pairs)` where these are not the cell's n.

    Each has its sign, `-0.0` too: a bound says on which side of 0 it is. Nothing to compare: nothing.
    """
    verdict = cell.verdict
    if verdict is None:
        return ""
    words = []
    if verdict.difference is not None:
        words.append(_signed(verdict.difference, cell.decimals))
    if verdict.interval is not None:
        low, high = (_signed(bound, cell.decimals) for bound in verdict.interval)
        words.append(f"[{low}, {high}]")
    if verdict.pairs is not None and (cell.measured is None or verdict.pairs != cell.measured.n):
        words.append(f"({count(verdict.pairs, 'pair')})")
    return " ".join(words)


def _signed(value: float, decimals: int) -> str:
    """Return `+0.3` or `-0.0`; 0 itself, of whichever sign, is `+0.0`."""
    return f"{value or 0.0:+.{decimals}f}"


def verdict_text(cell: Cell) -> str:
    """Return the verdict; nothing where nothing can be compared."""
    return cell.verdict.word if cell.verdict else ""


def p_text(cell: Cell) -> str:
    """Return the two p-values; nothing where nothing is tested."""
    if cell.verdict is None or cell.verdict.p is None:
        return ""
    return f"p = {cell.verdict.p:.3g}; Holm's p = {cell.verdict.p_holm:.3g}"


def p_values_text(cell: Cell) -> str:
    """Return `0.012 (0.036)`: the p-value, and with Holm's correction; nothing where nothing is tested."""
    if cell.verdict is None or cell.verdict.p is None or cell.verdict.p_holm is None:
        return ""
    return f"{_small(cell.verdict.p)} ({_small(cell.verdict.p_holm)})"


def _small(p: float) -> str:
    """Return a p-value, of which no digits are worth printing where it is tiny."""
    return f"{p:.3g}" if p >= _TINY else f"<{_TINY:.4f}"


def _with_spread(summary: Summary, decimals: int) -> str:
    mean = f"{summary.mean:.{decimals}f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{decimals}f}"


@dataclass(frozen=True)
class Kind:
    """Something that stands beside a measured value.

    Attributes
    ----------
    heading
        What stands above it; `in_full`: on a page, where there is room.
    text
        The words of a cell.
    """

    heading: str
    text: Callable[[Cell], str]
    in_full: str


KINDS = {
    "published": Kind("published", published_text, "published"),
    "difference": Kind("difference", difference_text, "difference [95 % interval]"),
    "p": Kind("p (Holm)", p_values_text, "p (with Holm's correction)"),
    "verdict": Kind("verdict", verdict_text, "verdict"),
}
"""All there are, by the names that `table.Table.beside` has."""
