"""The sampling error of a test set that all trials of a cell share: the spread of the trials does not show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from irm_sweeps.analysis.settings import Setting
from irm_sweeps.analysis.tables.notes import Note
from irm_sweeps.analysis.tables.table import Cell

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Row

_ROUNDING = 1e-3
"""Largest distance of an accuracy from a whole number of examples, in examples; accuracies are exact to 1e-5."""


def shared_examples(setting: Setting, declared: int | None) -> tuple[int | None, list[Note]]:
    """Return the size of the test set that all trials of a setting share, None if unknown or not shared, and notes.

    The paper file declares the size for its trials; overrides on top of it may change the test set. With
    `dataset.data_seed=null` each trial draws its test set. If accuracies are no multiples of 1 / declared, the test set
    has another size, which is unknown, and a note says so.
    """
    if declared is None or setting.readings[0].trial.canonical["dataset"].get("data_seed", declared) is None:
        return None, []
    counts = [declared * value for value in setting.values]
    if all(abs(count - round(count)) < _ROUNDING for count in counts):
        return declared, []
    return None, [
        Note(
            f"accuracies are no multiples of 1/{declared}, the size of the one test set in the paper file: "
            "it is another, whose sampling error is not in the interval and the verdict"
        )
    ]


def redrawn(rows: Iterable[Row], overrides: Sequence[str]) -> str:
    """Return the line on test sets that overrides make each trial draw for itself; empty if they do not."""
    data_seeds = [word for word in overrides if word.lstrip("+").startswith("dataset.data_seed=")]
    if not data_seeds or not data_seeds[-1].endswith("=null") or not any(any(row.one_test_set) for row in rows):
        return ""
    return (
        "Test sets: with dataset.data_seed=null each trial draws its own from the same pool of examples; the spread of "
        "the trials does not show the sampling error of that pool."
    )


def included(cells: Iterable[Cell]) -> str:
    """Return the line on the errors of shared test sets that the comparison includes; empty if it includes none."""
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


def excluded(cells: Iterable[Cell]) -> str:
    """Return the line that the comparison excludes the error of a shared test set; empty if no cell has one."""
    sizes = sorted({cell.measured.examples for cell in cells if cell.measured and cell.measured.examples})
    if not sizes:
        return ""
    return (
        f"One test set: all trials of a cell share one drawn test set (examples: {' or '.join(map(str, sizes))}). Its "
        "sampling error is not in the interval: difference and verdict are about this test set, not about others."
    )
