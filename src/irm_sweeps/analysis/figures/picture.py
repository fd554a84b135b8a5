"""The values that are drawn: curves, and the picture that they make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from irm_sweeps.analysis.statistics import Summary

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Figure


@dataclass(frozen=True)
class Curve:
    """A line, a kind of bar or a row of a heat map, in one panel. Accuracies are in per cent.

    Attributes
    ----------
    measured, published
        By place on the horizontal axis: test environment, number of the config, step, task or column of a table.
    remarks
        What is left out, and which setting is shown.
    panel
        Title of the panel it is drawn in; None: the only one, or all.
    reference
        Whether there is nothing to measure: chance level, say, or the optimum.
    """

    label: str
    measured: Mapping[str, Summary] = field(default_factory=dict)
    published: Mapping[str, Summary] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    panel: str | None = None
    reference: bool = False


@dataclass(frozen=True)
class Picture:
    """All that is drawn in one file.

    Attributes
    ----------
    figure
        Title, kind and axes; of a heat map, only the title is used.
    measure
        What the curves are of, where the figure does not name its vertical axis: `accuracy`, `risk` or `pwcca`.
    caption
        Stands below: the selection rules, in words.
    columns
        Of a heat map: its columns from left to right.
    """

    figure: Figure
    curves: Sequence[Curve]
    measure: str
    caption: str = ""
    columns: Sequence[str] = ()
