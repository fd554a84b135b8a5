"""The values that are drawn: curves, and the picture that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from irm_sweeps.analysis.readings import Status
from irm_sweeps.analysis.statistics.two_means import Summary

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Figure


@dataclass(frozen=True)
class Lack:
    """The trials that have no value where others of the same mean have one.

    Attributes
    ----------
    rule
        Selection rule.
    counts
        Number of trials by status, the measured ones too.
    """

    rule: str
    counts: Mapping[Status, int]

    @classmethod
    def of(cls, statuses: Iterable[Status], rule: str) -> Lack | None:
        """Count statuses; None where all are measured."""
        counts = Counter(statuses)
        return cls(rule, counts) if counts.keys() - {"measured"} else None

    @property
    def is_of_rule(self) -> bool:
        """Whether trials have run to the end, and the rule chose no step of them."""
        return bool(self.counts.get("unselected"))

    @property
    def in_words(self) -> str:
        """How many, of how many, and why: `2 of 3 trials not run`."""
        total = sum(self.counts.values())
        words = [(n, self._why(status)) for status, n in self.counts.items() if status != "measured"]
        return ", ".join(f"{n} of {total} trials {why}" for n, why in words)

    @property
    def in_short(self) -> str:
        """Why, for a cell without any value."""
        return ", ".join(self._why(status) for status in self.counts)

    def _why(self, status: Status) -> str:
        other: dict[Status, str] = {
            "missing": "not run",
            "unselected": f"run, but rule {self.rule} chose no step",
            "unknown metric": "not measured",
            "unreadable": "not readable",
        }
        return other.get(status, status)


@dataclass(frozen=True)
class Strand:
    """One seed's course of training that is no part of the mean, since it does not have a value at every step.

    Attributes
    ----------
    values
        By step.
    ending
        Why it ends: `running`, `stopped` (nobody is at work on it), `diverged`, `failed`, or `completed`, with values
        that are not finite on the way.
    """

    values: Mapping[str, float]
    ending: str


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
    strands
        Over training: the seeds that are drawn on their own.
    lacks
        By place, or for all places under an empty name, the trials without a value.
    mixed
        By place in the same way, what a mean is over several of: `2 versions of irm_sweeps`.
    """

    label: str
    measured: Mapping[str, Summary] = field(default_factory=dict)
    published: Mapping[str, Summary] = field(default_factory=dict)
    remarks: Sequence[str] = ()
    panel: str | None = None
    reference: bool = False
    strands: Sequence[Strand] = ()
    lacks: Mapping[str, Lack] = field(default_factory=dict)
    mixed: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def is_drawn(self) -> bool:
        """Whether anything of it was measured."""
        return bool(self.measured or self.strands)


@dataclass(frozen=True)
class Picture:
    """All that is drawn in one file.

    Attributes
    ----------
    figure
        Title, kind and axes; of a heat map, only the title is used.
    measure
        What the curves are of: `accuracy`, `risk`, `ece` or `pwcca`.
    unit
        What an axis of it is called, where the figure does not name its vertical axis.
    caption
        Stands below: the selection rules, in words.
    columns
        Of a heat map: its columns from left to right.
    setting
        Stands above: what all trials have in common, as it is typed; empty where the figure's title says it.
    side_by_side
        Number of panels in a row of panels; 0: all.
    """

    figure: Figure
    curves: Sequence[Curve]
    measure: str
    unit: str
    caption: str = ""
    columns: Sequence[str] = ()
    setting: str = ""
    side_by_side: int = 0
