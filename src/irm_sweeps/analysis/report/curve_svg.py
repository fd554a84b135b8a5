"""Curves of running trials as small charts: points for a page's inline SVG, computed without a drawing library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from irm_sweeps.store.history import HistoryRow

WIDTH, HEIGHT = 320, 120
"""Units of a chart's plotting area."""
MOST_POINTS = 200
"""Most points of a line; of more, evenly spaced ones are drawn, and the last."""
MOST_LINES = 6
"""Most lines of a chart; of more, the first are drawn and the last: of test environments that is the shifted one."""
MOST_CHARTS = 4
"""Most charts of a trial."""

PER_ENVIRONMENT = ("risks", "accuracies")
"""Logged quantities with a value for each training environment; those of other lists have numbers only."""

T = TypeVar("T")
CurvePoints = Mapping[int, float]
"""A quantity by step."""


@dataclass(frozen=True)
class Chart:
    """A quantity over the steps, with a line for each environment.

    Attributes
    ----------
    lines
        Name of each line, empty where it is the only one, with its points as SVG's `points` has them.
    last
        The last value of each line, as text.
    low, high
        Ends of the vertical axis, as text.
    first_step, last_step
        Ends of the horizontal axis.
    """

    title: str
    lines: Sequence[tuple[str, str]]
    last: Sequence[str]
    low: str
    high: str
    first_step: int
    last_step: int

    @property
    def words(self) -> str:
        """What the chart shows, in a sentence: for whom it is read aloud."""
        ends = ", ".join(f"{name} {value}".strip() for (name, _), value in zip(self.lines, self.last, strict=True))
        return f"{self.title}, steps {self.first_step} to {self.last_step}; last: {ends}"


def charts(rows: Sequence[HistoryRow]) -> list[Chart]:
    """Return the charts of a trial's history: evaluations first, then what was logged, in the order of the rows."""
    found = {**_evaluated(rows), **_logged(rows)}
    drawn = (_chart(title, lines) for title, lines in found.items())
    return [chart for chart in drawn if chart is not None][:MOST_CHARTS]


def _logged(rows: Sequence[HistoryRow]) -> dict[str, dict[str, dict[int, float]]]:
    """Return by logged quantity, by the number of its value where it has several: its values by step."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        for quantity, value in row.logged.items():
            values = value if isinstance(value, list) else [value]
            prefix = "environment " if quantity in PER_ENVIRONMENT else ""
            for number, one in _drawn(list(enumerate(values, start=1))):
                if _is_finite(one):
                    name = f"{prefix}{number}" if len(values) > 1 else ""
                    lines = found.setdefault(_titled(quantity, len(values)), {})
                    lines.setdefault(name, {})[row.step] = float(one)
    return found


def _evaluated(rows: Sequence[HistoryRow]) -> dict[str, dict[str, dict[int, float]]]:
    """Return by split the accuracy in %, or the risk, of each environment by step."""
    found: dict[str, dict[str, dict[int, float]]] = {}
    for row in rows:
        for split, by_environment in (row.scores or {}).items():
            for environment, scores in _drawn(list(by_environment.items())):
                measure = "accuracy" if scores.accuracy is not None else "risk"
                value = scores.accuracy if scores.accuracy is not None else scores.risk
                quantity = f"{split} accuracy, %" if measure == "accuracy" else f"{split} risk"
                title = _titled(quantity, len(by_environment))
                if value is not None and _is_finite(value):
                    scaled = 100 * value if measure == "accuracy" else value
                    found.setdefault(title, {}).setdefault(environment, {})[row.step] = scaled
    return found


def _drawn(lines: Sequence[T]) -> Sequence[T]:
    """Return those of a chart's lines that are drawn."""
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], lines[-1]]


def _titled(quantity: str, lines: int) -> str:
    """Return a chart's title, which says how many of its lines are drawn if not all are."""
    return quantity if lines <= MOST_LINES else f"{quantity} ({MOST_LINES} of {lines})"


def _is_finite(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _chart(title: str, lines: Mapping[str, CurvePoints]) -> Chart | None:
    """Return a chart; None where no line has two points."""
    if not any(len(line) > 1 for line in lines.values()):
        return None
    steps = [step for line in lines.values() for step in line]
    values = [value for line in lines.values() for value in line.values()]
    box = (min(steps), max(steps), min(values), max(values))
    return Chart(
        title=title,
        lines=[(name, " ".join(_points(line, box))) for name, line in lines.items()],
        last=[f"{line[max(line)]:.4g}" for line in lines.values()],
        low=f"{box[2]:.3g}",
        high=f"{box[3]:.3g}",
        first_step=box[0],
        last_step=box[1],
    )


def _points(line: CurvePoints, box: tuple[int, int, float, float]) -> Iterator[str]:
    first, last, low, high = box
    steps = sorted(line)
    stride = max(1, math.ceil(len(steps) / MOST_POINTS))
    for step in dict.fromkeys([*steps[::stride], steps[-1]]):
        x = WIDTH * (step - first) / max(1, last - first)
        share = (line[step] / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5  # halves: no overflow
        yield f"{x:.1f},{HEIGHT * (1 - share):.1f}"
