"""Courses of training: the mean of the seeds that have a value at every step, and each other seed on its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from irm_sweeps.analysis.figures.picture import Strand
from irm_sweeps.analysis.statistics.two_means import Summary, summarize


@dataclass(frozen=True)
class Course:
    """What one trial logged of a quantity while it trained.

    Attributes
    ----------
    values
        By step; a value that is not finite is left out.
    ending
        As `Strand.ending`.
    """

    values: Mapping[int, float]
    ending: str


def mean_and_strands(courses: Sequence[Course]) -> tuple[dict[str, Summary], list[Strand]]:
    """Return the mean by step, over the same seeds at every step, and the seeds that are not in it.

    A mean whose seeds change on the way would jump where one ends. So a seed that diverged, failed, is still being
    trained or lacks a value at a step where another completed seed has one is a strand of its own.
    """
    steps = sorted({step for course in courses if course.ending == "completed" for step in course.values})
    whole = [course for course in courses if course.ending == "completed" and len(course.values) == len(steps)]
    mean = {str(step): summarize([course.values[step] for course in whole]) for step in steps} if whole else {}
    others = [course for course in courses if course not in whole and course.values]
    return mean, [Strand({str(step): v for step, v in c.values.items()}, c.ending) for c in others]


def said(courses: Sequence[Course]) -> str:
    """Return how many seeds are strands and why; empty if none are."""
    _, strands = mean_and_strands(courses)
    counts = Counter(strand.ending for strand in strands)
    why = {"completed": "without a finite value at every step", "stopped": "stopped half-way"}
    words = [f"{n} {why.get(ending, ending)}" for ending, n in counts.items()]
    return f"drawn as far as they go, and in no mean: {', '.join(words)}" if words else ""
