"""Paired differences over common seeds, from a frame of `load_results`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.statistics.two_means import holm
from irm_sweeps.analysis.tables.paired import compare
from irm_sweeps.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

_PLACES = ["rule", "split", "environment"]


def paired_differences(frame: pd.DataFrame, against: str, measure: str = "accuracy") -> pd.DataFrame:
    """Return the difference of each setting to one of them over the seeds that both have, in each environment.

    Rows of the result: every other setting, under each selection rule, in each split and environment of the frame.

    Columns
        `setting`, `rule`, `split`, `environment`;
        `pairs`: the number k of seeds with a finite value on both sides; `difference`: the mean of d = setting -
        against over them, in the unit of the frame (accuracy in [0, 1], risk in nats or squared units); `low` and
        `high`: the bounds of `mean(d) ± t sd(d) / sqrt(k)`, the 95 % interval of the paired t-test; `p`: its two-sided
        p-value; `p_holm`: with Holm's correction for all rows of the result, so keep only those rows of the frame that
        you ask about;
        `verdict`: `higher`, `lower`, `no difference shown`, or `too few seeds` (fewer than 3 pairs).

    Parameters
    ----------
    frame
        What `load_results` returns, or some of its rows.
    against
        A name in the column `setting`.
    measure
        `accuracy` or `risk`.

    Raises
    ------
    UserError
        It is no frame, has no rows, lacks a column or this setting, or has two trials of one setting and seed.
    """
    import pandas as pd

    _check(frame, against, measure)
    pairs = list(_verdicts(frame.dropna(subset=measure), against, measure))
    result = pd.DataFrame(
        pairs, columns=["setting", *_PLACES, "pairs", "difference", "low", "high", "p", "p_holm", "verdict"]
    )
    tested = result["p"].notna()
    result.loc[tested, "p_holm"] = holm(list(result.loc[tested, "p"]))
    numbers = ["difference", "low", "high", "p", "p_holm"]
    return result.astype(dict.fromkeys(numbers, "float64"))


def _check(frame: Any, against: str, measure: str) -> None:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise UserError(
            f"paired_differences: {frame!r} is a {type(frame).__name__}: give a frame, e.g. "
            f"paired_differences(load_results(...), against={against!r})"
        )
    for column in ("setting", "seed", *_PLACES, measure):
        if column not in frame:
            known = ", ".join(map(str, frame.columns[:8]))
            raise UserError(f"paired_differences: the frame has no column {column!r}; it has {known}, ...")
    settings = list(frame["setting"].unique())
    if not settings:
        raise UserError("paired_differences: the frame has no rows: no trial is done, or none was kept of them")
    if against not in settings:
        raise UserError(
            f"against={against!r}: the frame has no such setting{did_you_mean(against, settings)}; "
            f"settings: {', '.join(settings)}"
        )
    scored = frame.dropna(subset=measure)
    twice = scored[scored.duplicated(["setting", "seed", *_PLACES])]
    if len(twice):
        one = twice.iloc[0]
        raise UserError(
            f"setting {one['setting']!r} has two trials with seed {one['seed']}, as results of several versions of a "
            "class have: keep one of them, by trial_id"
        )


def _verdicts(frame: pd.DataFrame, against: str, measure: str) -> Iterator[tuple[Any, ...]]:
    """Yield a row of the result for each place and setting; without `p_holm`."""
    for place, rows in frame.groupby(_PLACES, sort=False, observed=True):
        by_setting = {
            str(setting): dict(zip(own["seed"], map(float, own[measure]), strict=True))
            for setting, own in rows.groupby("setting", sort=False)
        }
        theirs = by_setting.pop(against, {})
        for setting, mine in by_setting.items():
            verdict = compare(mine, theirs)
            low, high = verdict.interval or (None, None)
            yield setting, *place, verdict.pairs, verdict.difference, low, high, verdict.p, None, verdict.word
