"""Trials of which several stores have results with other numbers: only one of them can be shown."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from irm_sweeps.store.reader import Reader
from irm_sweeps.store.result import Result
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import count, first

Differences = Mapping[str, float]
"""The largest difference of two results' numbers by measure, `{"accuracy": 0.006}`."""
NOT_COMPARABLE: Differences = {"": math.inf}
"""Of results that do not have the same numbers, or of which one cannot be read."""


class Disagreements:
    """Notes results that another store contradicts; times, machines and failures contradict nothing."""

    def __init__(self) -> None:
        self._differences: dict[tuple[Path, Path], dict[str, Differences]] = defaultdict(dict)

    def choose(self, found: Sequence[tuple[Reader, Result]]) -> tuple[Reader, Result]:
        """Return the first completed result of a trial, else its first, and note the others that contradict it."""
        chosen = next((one for one in found if one[1].status == "completed"), found[0])
        for reader, result in found:
            if result is not chosen[1]:
                self.note((chosen[0].root, chosen[1]), (reader.root, result))
        return chosen

    def note(self, shown: tuple[Path, Result], other: tuple[Path, Result]) -> None:
        """Note two results of one trial, each with its store, if their numbers differ."""
        if "failed" not in (shown[1].status, other[1].status) and (found := differences_of(shown[1], other[1])):
            self._differences[shown[0], other[0]][shown[1].trial_id] = found

    def lines(self) -> Iterator[str]:
        """Yield a line for each two stores that disagree."""
        for (shown, other), differences in self._differences.items():
            ids = sorted(differences)
            again = looking("reproduce", ids[0], results=shown)
            by = by_up_to(differences.values())
            yield (
                f"{count(len(ids), 'result')} in {other} with other numbers than in {shown}{by}: {first(ids)} "
                f"({again} tells whether that in {shown} can be repeated)"
            )


def differences_of(one: Result, other: Result) -> Differences:
    """Return the largest difference of two results' numbers by measure: none where all are the same.

    It is infinite where one of the two has no such number.
    """
    if one.metrics == other.metrics and one.status == other.status:
        return {}
    numbers, others = _numbers(one), _numbers(other)
    if one.status != other.status or numbers.keys() != others.keys():
        return NOT_COMPARABLE
    largest: dict[str, float] = {}
    for key, value in numbers.items():
        if value != (another := others[key]):
            difference = math.inf if value is None or another is None else abs(value - another)
            largest[key[-1]] = max(largest.get(key[-1], 0.0), difference)
    return largest or NOT_COMPARABLE


def by_up_to(differences: Iterable[Differences]) -> str:
    """Return the largest differences in words, `, accuracy by up to 0.6 points`; empty if any is infinite.

    An accuracy is a share of 1 in a result, and in per cent where people read it.
    """
    largest: dict[str, float] = {}
    for one in differences:
        largest |= {measure: max(value, largest.get(measure, 0.0)) for measure, value in one.items()}
    if not all(map(math.isfinite, largest.values())):
        return ""
    points = {"accuracy": (100, " points")}
    return "".join(
        f", {measure} by up to {scale * value:.2g}{unit}"
        for measure, value in sorted(largest.items())
        for scale, unit in [points.get(measure, (1, ""))]
    )


def _numbers(result: Result) -> dict[tuple[str, ...], float | None]:
    """Return every number of a result by selection rule, split, environment and measure."""
    return {
        (rule, split, environment, measure): value
        for rule, evaluation in result.metrics.items()
        for split, environment, scores in evaluation.environments()
        for measure, value in scores.measures.items()
    }
