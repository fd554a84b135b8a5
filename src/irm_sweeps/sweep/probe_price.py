"""From what a probe has measured to a price: seconds from, to, and the words for them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from irm_sweeps.sweep.probe import Measured
from irm_sweeps.wording import count

QUARTILES_FROM = 4
"""With so many steps, a range is that of the middle half; with fewer, of all."""
_UNITS = (("s", 1), ("min", 60), ("h", 3600))


def stack_seconds(measured: Measured) -> tuple[float, float, bool]:
    """Return the seconds of a stack, from and to, and whether it takes longer than that.

    Set-up, steps and evaluations count. Where only the first step was seen, which also warms up, all steps are as long;
    where none ended, each takes at least as long as was waited for it.
    """
    set_up = measured.set_up or 0.0
    steps = measured.steps or 0
    if not measured.step:
        each = measured.first_step if measured.first_step is not None else measured.waited
        seconds = set_up + steps * each
        return seconds, seconds, measured.first_step is None
    (low, high), (least, most) = _all_steps(measured, steps), middle(measured.evaluation)
    return set_up + low + measured.evaluations * least, set_up + high + measured.evaluations * most, False


def _all_steps(measured: Measured, steps: int) -> tuple[float, float]:
    """Return the seconds of all steps, from and to: those of a stage are as long as the ones that were seen of it."""
    each = {0: middle(measured.step), **{first: middle(seen) for first, seen in measured.stages.items()}}
    firsts = sorted(each)
    lengths = [end - first for first, end in zip(firsts, [*firsts[1:], steps], strict=True)]
    low, high = (
        sum(length * each[first][side] for first, length in zip(firsts, lengths, strict=True)) for side in (0, 1)
    )
    return low, high


def middle(values: Sequence[float]) -> tuple[float, float]:
    """Return the quartiles of a few measurements, or the least and the largest of fewer; zeros of none."""
    if len(values) < QUARTILES_FROM:
        return (min(values), max(values)) if values else (0.0, 0.0)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def said(measured: Measured, bound: float) -> str:
    """Return what the probe measured: `12 steps here of 21 ms, evaluation .3 s`, or how far it came."""
    if not measured.step:
        if measured.first_step is None:
            return f"no step ended within {bound:.0f} s"
        return f"1 step here, the first, of {_short(measured.first_step)}: no other ended within {bound:.0f} s"
    evaluation = f", evaluation {_short(statistics.median(measured.evaluation))}" if measured.evaluation else ""
    evaluation += f", {count(len(measured.stages), 'later stage')} apart" if measured.stages else ""
    set_up, median = _short(measured.set_up or 0.0), _short(statistics.median(measured.step))
    ended = f", ended after {bound:.0f} s" if measured.waited else ""
    return f"{count(len(measured.step), 'step')} here, median {median}{evaluation}, set-up {set_up}{ended}"


def _short(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def span(low: float, high: float) -> str:
    """Return e.g. `18-25 s`, `9-13 min`, or `2.5 h` where both ends are the same to so many digits."""
    unit, size = next(((name, size) for name, size in _UNITS if high < 120 * size), _UNITS[-1])
    first, last = (_digits(seconds / size) for seconds in (low, high))
    return f"{last} {unit}" if first == last else f"{first}-{last} {unit}"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.095 else f"{value:.1g}"
