"""Trials of which several stores have results with other numbers: only one of them can be shown."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from irm_sweeps.store.reader import Reader
from irm_sweeps.store.result import Result
from irm_sweeps.wording import count, first


class Disagreements:
    """Notes results that another store contradicts; times, machines and failures contradict nothing."""

    def __init__(self) -> None:
        self._differences: dict[tuple[Path, Path], dict[str, float]] = defaultdict(dict)

    def choose(self, found: Sequence[tuple[Reader, Result]]) -> tuple[Reader, Result]:
        """Return the first completed result of a trial, else its first, and note the others that contradict it."""
        chosen = next((one for one in found if one[1].status == "completed"), found[0])
        for reader, result in found:
            if result is not chosen[1]:
                self.note((chosen[0].root, chosen[1]), (reader.root, result))
        return chosen

    def note(self, shown: tuple[Path, Result], other: tuple[Path, Result]) -> None:
        """Note two results of one trial, each with its store, if their numbers differ."""
        if "failed" not in (shown[1].status, other[1].status) and (difference := difference_of(shown[1], other[1])):
            self._differences[shown[0], other[0]][shown[1].trial_id] = difference

    def lines(self) -> Iterator[str]:
        """Yield a line for each two stores that disagree."""
        for (shown, other), differences in self._differences.items():
            largest = max(differences.values())
            by = f", by up to {largest:.2g}" if math.isfinite(largest) else ""
            named = first(sorted(differences))
            yield (
                f"{count(len(differences), 'result')} in {other} with other numbers than in {shown}{by}: {named} "
                f"(irm-sweeps reproduce ID --results {shown} tells whether that one can be repeated)"
            )


def difference_of(one: Result, other: Result) -> float:
    """Return the largest difference of two results' numbers: infinite where they do not have the same ones."""
    if one.metrics == other.metrics and one.status == other.status:
        return 0.0
    numbers, others = _numbers(one), _numbers(other)
    if one.status != other.status or numbers.keys() != others.keys():
        return math.inf
    largest = 0.0
    for key, value in numbers.items():
        if value != (another := others[key]):
            largest = max(largest, math.inf if value is None or another is None else abs(value - another))
    return largest or math.inf


def _numbers(result: Result) -> dict[tuple[str, ...], float | None]:
    """Return every number of a result by selection rule, split, environment and measure."""
    return {
        (rule, split, environment, measure): value
        for rule, evaluation in result.metrics.items()
        for split, environment, scores in evaluation.environments()
        for measure, value in scores.measures.items()
    }
