"""One test set for all trials of a cell: its sampling error, which the spread of the trials does not show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from irm_sweeps.analysis.notes import Note
from irm_sweeps.analysis.readings import Setting
from irm_sweeps.analysis.table import Cell

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Row

_ROUNDING = 1e-3
"""How far from a whole number of examples an accuracy may be, in examples; stored accuracies are exact to 1e-5."""


def examples(chosen: Setting, said: int | None) -> tuple[int | None, list[Note]]:
    """Return the size of the test set that all trials of a setting share, None if each has its own, and notes.

    The paper file says it of its own trials; overrides on top of it may have made others. With `dataset.data_seed=null`
    each trial draws its data. A test set of another size betrays itself by accuracies that are no multiples of
    1 / size; then nothing is known of it, and a note says so.
    """
    if said is None or chosen.readings[0].trial.canonical["dataset"].get("data_seed", said) is None:
        return None, []
    counts = [said * value for value in chosen.values]
    if all(abs(count - round(count)) < _ROUNDING for count in counts):
        return said, []
    return None, [
        Note(
            f"accuracies are no multiples of 1/{said}, the size of the one test set in the paper file: it is another, "
            "whose sampling error is not in the interval and the verdict"
        )
    ]


def drawn_anew(rows: Iterable[Row], user: Sequence[str]) -> str:
    """Say what the trials still share where overrides make each draw the test set anew; nothing: they do not."""
    said = [word for word in user if word.lstrip("+").startswith("dataset.data_seed=")]
    if not said or not said[-1].endswith("=null") or not any(any(row.one_test_set) for row in rows):
        return ""
    return (
        "Test sets: with dataset.data_seed=null each trial draws its own from the same pool of examples; the spread of "
        "the trials does not show the sampling error of that pool."
    )


def left_out(cells: Iterable[Cell]) -> str:
    """Say that the sampling error of these cells' test set is in no comparison of them; nothing: they have none."""
    sizes = sorted({cell.measured.examples for cell in cells if cell.measured and cell.measured.examples})
    if not sizes:
        return ""
    return (
        f"One test set: all trials of a cell share one drawn test set (examples: {' or '.join(map(str, sizes))}). Its "
        "sampling error is not in the interval: difference and verdict are about this test set, not about others."
    )


def told(cells: Iterable[Cell]) -> str:
    """Say which sampling errors are in the differences of these cells, by which formula; nothing: none is."""
    pairs = [(cell.measured.examples, cell.published.examples) for cell in cells if cell.measured and cell.published]
    sides = []
    for i, where in enumerate(("here", "in print")):
        if sizes := sorted({size for pair in pairs if (size := pair[i])}):
            sides.append(f"{where} {' or '.join(map(str, sizes))}")
    if not sides:
        return ""
    return (
        f"One test set: all trials of a cell share one drawn test set (examples: {', '.join(sides)}), which their ± "
        "does not show. The squared standard error of the difference is sd^2/n of both sides plus m(100 - m)/examples "
        "of each such test set, m the mean in %, with examples - 1 degrees of freedom in Welch's formula."
    )
