"""What stands below a picture: which trials are not in a mean, and what its axes cannot show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from irm_sweeps.analysis.figures.picture import Curve, Lack, Picture
from irm_sweeps.analysis.figures.plots import is_broken
from irm_sweeps.analysis.figures.scales import Range, view_of_means
from irm_sweeps.wording import count

_ENDINGS = {
    "running": "still running (>)",
    "stopped": "stopped half-way (|)",
    "diverged": "diverged (x)",
    "failed": "failed (x)",
    "completed": "not finite on the way",
}


def caption(picture: Picture, places: dict[str, float], shown: Range) -> str:
    """Return the picture's own caption, and a sentence for all that a reader might miss."""
    curves = [curve for curve in picture.curves if not curve.reference]
    sentences = [picture.caption, mixed(curves), left_out(curves), _strands(curves), *_unshown(curves, shown)]
    if picture.figure.log_x and is_broken(places):
        sentences.append("0 stands left of the break: a logarithmic axis has none.")
    return " ".join(sentence for sentence in sentences if sentence)


def left_out(curves: Sequence[Curve]) -> str:
    """Return which curves are without some of their trials, and why: not run is another thing than not selected."""
    words = []
    for label in dict.fromkeys(curve.label for curve in curves):
        lacks: dict[str, list[str]] = {}
        for curve in (curve for curve in curves if curve.label == label):
            for place, lack in curve.lacks.items():
                lacks.setdefault(lack.in_words, []).append(place)
        for text, places in lacks.items():
            where = ", ".join(dict.fromkeys(place for place in places if place))
            words.append(f"{label}{f' ({where})' if where else ''}: {text}")
    return f"Left out: {'; '.join(words)}." if words else ""


def mixed(curves: Sequence[Curve]) -> str:
    """Return of which curves a mean is over trials of several versions of this package or of the data."""
    where: dict[str, dict[str, list[str]]] = {}
    for curve in curves:
        for place, words in curve.mixed.items():
            for text in words:
                where.setdefault(text, {}).setdefault(curve.label, []).append(place)
    sentences = []
    for text, by_label in where.items():
        labels = [
            f"{label} ({', '.join(named)})" if (named := [place for place in dict.fromkeys(places) if place]) else label
            for label, places in by_label.items()
        ]
        sentences.append(f"Means over {text}: {', '.join(labels)}.")
    return " ".join(sentences)


def rules_without_choice(curves: Sequence[Curve]) -> list[Lack]:
    """Return the lacks of trials that have run to the end, and of which the rule chose no step."""
    return [lack for curve in curves for lack in curve.lacks.values() if lack.is_of_rule]


def _strands(curves: Sequence[Curve]) -> str:
    endings: dict[str, Counter[str]] = {}
    for label in dict.fromkeys(curve.label for curve in curves):
        by_panel = [Counter(s.ending for s in curve.strands) for curve in curves if curve.label == label]
        endings[label] = max(by_panel, key=lambda counts: counts.total())
    words = [
        f"{label}: {', '.join(f'{n} {_ENDINGS.get(ending, ending)}' for ending, n in counts.items())}"
        for label, counts in endings.items()
        if counts
    ]
    return f"Thin lines: seeds that are in no mean ({'; '.join(words)})." if words else ""


def _unshown(curves: Sequence[Curve], shown: Range) -> Iterator[str]:
    """Yield what is cut off, or has no place on the axis."""
    hidden = [(c.label, sum(not shown.has(s.mean) for s in c.measured.values()), len(c.measured)) for c in curves]
    if words := [f"{label} at {n} of {count(of, 'point')}" for label, n, of in hidden if n]:
        yield f"A logarithmic axis has no 0 or less: not shown are {', '.join(words)}."
    if not shown.logarithmic and view_of_means(curves):
        seeds = [value for c in curves for strand in c.strands for value in strand.values.values()]
        yield f"Single seeds leave the picture: they go from {min(seeds):.3g} to {max(seeds):.3g}."
    spreads = [(s.mean, s.sd or 0.0) for c in curves for s in (*c.measured.values(), *c.published.values())]
    if any(shown.is_cut(mean, sd) for mean, sd in spreads):
        if shown.logarithmic:
            yield "Where mean \N{MINUS SIGN} sd is 0 or less, the spread is drawn above the mean only."
        else:
            ends = [f"{end:g}" for end in (shown.lowest, shown.highest) if abs(end) != float("inf")]
            yield f"Spreads are cut at {' and '.join(ends)}, which no value can pass."
