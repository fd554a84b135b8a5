"""The texts of a printed cell: its measured mean, and each column of the comparison beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from irm_sweeps.analysis.statistics.two_means import Summary, Verdict, Word
from irm_sweeps.analysis.tables.notes import CHOSEN_ON_TEST, spelled
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.wording import count

NOTHING = "–"
"""Printed where a number does not exist."""

MARKS: Mapping[Word, str] = {
    "equivalent": "≈",
    "differs": "≠",
    "undecided": "?",
    "higher": "↑",
    "lower": "↓",
    "no difference shown": "~",
    "too few seeds": "?",
}
"""Verdict -> its sign in a cell."""

_SMALLEST_P = 0.0001
"""Smaller p-values are printed as `<0.0001`."""


def measured_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3 (n=10; lam=10)`, with the setting if one was chosen, or why nothing is measured."""
    chosen = setting_text(cell)
    return f"{short_text(cell)[:-1]}; {chosen})" if chosen else short_text(cell)


def short_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3 (n=10)`, `(n=9 of 10)` if some seeds that ran have no value, or why nothing is measured."""
    return " ".join(filter(None, (mean_text(cell), n_text(cell))))


def mean_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3`, or why nothing is measured."""
    return with_spread(cell.measured, cell.decimals) if cell.measured else cell.state or NOTHING


def n_text(cell: Cell) -> str:
    """Return `(n=10)`, or `(n=9 of 10)` if some seeds that ran have no value; empty if nothing is measured."""
    if cell.measured is None:
        return ""
    of = f" of {cell.measured.n + cell.lost}" if cell.measured.n and cell.lost else ""
    return f"(n={cell.measured.n}{of})"


def setting_text(cell: Cell) -> str:
    """Return `lam=10, chosen on test`, the setting of the mean and how it was chosen; empty if there was one only."""
    if cell.measured is None or cell.settings == 1:
        return ""
    return f"{spelled(cell.chosen)}{f', {CHOSEN_ON_TEST}' * cell.chosen_on_test}"


def mark_text(cell: Cell) -> str:
    """Return the sign of the verdict; empty if nothing is compared."""
    return MARKS[cell.verdict.word] if cell.verdict else ""


def legend(table: Table) -> str:
    """Return `≈ equivalent, ≠ differs`, the signs in a table; empty without any."""
    words = {cell.verdict.word for cell in table.cells if cell.verdict}
    return ", ".join(f"{mark} {word}" for word, mark in MARKS.items() if word in words)


def published_text(cell: Cell) -> str:
    """Return `88.6 ± 0.3`, or a dash."""
    return with_spread(cell.published, cell.decimals) if cell.published else NOTHING


def difference_text(cell: Cell) -> str:
    """Return `-1.3 [-2.0, -0.5]`, the difference and its interval; empty if nothing is compared.

    ` (7 pairs)` follows if the number of pairs differs from the cell's n. Each number has its sign, also `-0.0`, so
    that a bound shows on which side of 0 it lies.
    """
    verdict = cell.verdict
    if verdict is None:
        return ""
    words = _difference(verdict, cell.decimals)
    if verdict.pairs is not None and (cell.measured is None or verdict.pairs != cell.measured.n):
        words.append(f"({count(verdict.pairs, 'pair')})")
    return " ".join(words)


def _difference(verdict: Verdict, decimals: int) -> list[str]:
    words = []
    if verdict.difference is not None:
        words.append(_signed(verdict.difference, decimals))
    if verdict.interval is not None:
        low, high = (_signed(bound, decimals) for bound in verdict.interval)
        words.append(f"[{low}, {high}]")
    return words


def rerun_text(cell: Cell) -> str:
    """Return `70.4 ± 0.8 (n=8)`, what the published code gave; empty where it was not run again."""
    return f"{with_spread(cell.rerun, cell.decimals)} (n={cell.rerun.n})" if cell.rerun else ""


def rerun_difference_text(cell: Cell) -> str:
    """Return `-0.1 [-1.0, +0.9]`, the difference from what the published code gave; empty if nothing is compared."""
    return " ".join(_difference(cell.rerun_verdict, cell.decimals)) if cell.rerun_verdict else ""


def rerun_verdict_text(cell: Cell) -> str:
    """Return the verdict on that difference; empty if nothing is compared."""
    return cell.rerun_verdict.word if cell.rerun_verdict else ""


def _signed(value: float, decimals: int) -> str:
    """Return `+0.3` or `-0.0`; 0 and -0 are both `+0.0`."""
    return f"{value or 0.0:+.{decimals}f}"


def verdict_text(cell: Cell) -> str:
    """Return the verdict, `undecided (needs n=14)` if a number of trials would decide it; empty without comparison."""
    if cell.verdict is None:
        return ""
    return cell.verdict.word + (f" (needs n={cell.verdict.needs})" if cell.verdict.needs else "")


def p_text(cell: Cell) -> str:
    """Return both p-values and the power in words, for a tooltip; empty if nothing is tested."""
    if cell.verdict is None or cell.verdict.p is None:
        return ""
    notices = cell.verdict.notices
    power = f"; would notice a difference of {notices:.{cell.decimals}f}" if notices else ""
    return f"p = {cell.verdict.p:.3g}; Holm's p = {cell.verdict.p_holm:.3g}{power}"


def p_values_text(cell: Cell) -> str:
    """Return `0.012 (0.036)`, the p-value and Holm's adjusted p-value; empty if nothing is tested."""
    if cell.verdict is None or cell.verdict.p is None or cell.verdict.p_holm is None:
        return ""
    return f"{_p(cell.verdict.p)} ({_p(cell.verdict.p_holm)})"


def _p(p: float) -> str:
    return f"{p:.3g}" if p >= _SMALLEST_P else f"<{_SMALLEST_P:.4f}"


def with_spread(summary: Summary, decimals: int) -> str:
    """Return `88.6 ± 0.3`, or the mean alone where there is no standard deviation."""
    mean = f"{summary.mean:.{decimals}f}"
    return mean if summary.sd is None else f"{mean} ± {summary.sd:.{decimals}f}"


@dataclass(frozen=True)
class ComparisonColumn:
    """One fact of a comparison.

    Attributes
    ----------
    heading
        What it is called in tables.
    text
        Returns the text of a cell.
    page_heading
        What it is called on an HTML page, which has more room.
    apart
        Whether it is printed in a table of its own, rather than in the cell below what is measured.
    """

    heading: str
    text: Callable[[Cell], str]
    page_heading: str
    apart: bool = True


COMPARISON_COLUMNS = {
    "published": ComparisonColumn("published", published_text, "published", apart=False),
    "difference": ComparisonColumn("difference", difference_text, "difference [95 % interval]"),
    "p": ComparisonColumn("p (Holm)", p_values_text, "p (with Holm's correction)"),
    "verdict": ComparisonColumn("verdict", verdict_text, "verdict"),
    "rerun": ComparisonColumn("published code, rerun", rerun_text, "published code, rerun"),
    "rerun_difference": ComparisonColumn("difference from it", rerun_difference_text, "difference from it"),
    "rerun_verdict": ComparisonColumn("verdict on it", rerun_verdict_text, "verdict on it"),
}
"""Every such fact, by its name in `table.Table.comparison_columns`."""

SETTING = ComparisonColumn("setting", setting_text, "setting")
"""The chosen setting of each cell, which the table apart has too."""
