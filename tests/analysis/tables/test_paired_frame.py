"""`irm_sweeps.paired_differences`: settings of a frame compared with one of them, seed by seed."""

from __future__ import annotations

import pandas as pd
import pytest
import scipy.stats

import irm_sweeps
import synthetic_store as synthetic
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.grid import trials

pytestmark = pytest.mark.usefixtures("composed_once")

NOISE = [0.0, 0.02, -0.01, 0.03]


@pytest.fixture
def frame(tmp_path):
    """Two methods on four seeds; V-REx lacks the last one."""

    def accuracy(trial, environment):
        better = 0.05 + NOISE[trial.seed] if "rex" in str(trial.method.target) else 0.0
        return 0.4 + 0.1 * trial.seed + (better if environment == "0.9" else 0.0)

    found = trials(["method=erm,vrex", "seed=range(0,4)", "dataset.source=embedded"]).values()
    for trial in found:
        lost = trial.seed == 3 and "rex" in str(trial.method.target)
        synthetic.write(tmp_path, synthetic.diverged(trial, 4) if lost else synthetic.completed(trial, accuracy))
    return irm_sweeps.load_results(tmp_path)


def test_differences_are_those_of_the_paired_t_test(frame):
    (vrex,) = [name for name in frame["setting"].unique() if name.startswith("vrex")]
    found = irm_sweeps.paired_differences(frame, "erm")
    assert set(found["setting"]) == {vrex}
    assert len(found) == 2 * (9 + 2), "rules by environments"
    row = found.query("rule == 'last' and split == 'test' and environment == '0.9'").iloc[0]
    test = scipy.stats.ttest_1samp([0.05 + noise for noise in NOISE[:3]], 0)
    assert (row["pairs"], row["verdict"]) == (3, "higher")
    assert (row["difference"], row["p"]) == (pytest.approx(0.05 + 0.01 / 3), pytest.approx(test.pvalue))
    assert (row["low"], row["high"]) == pytest.approx(test.confidence_interval(0.95))
    assert row["p_holm"] == pytest.approx(min(1, 22 * test.pvalue)), "over all rows"
    only = frame.query("rule == 'last' and environment == '0.9'")
    assert irm_sweeps.paired_differences(only, "erm").iloc[0]["p_holm"] == pytest.approx(test.pvalue)
    back = irm_sweeps.paired_differences(only, vrex).iloc[0]
    assert (back["setting"], back["difference"], back["verdict"]) == ("erm", pytest.approx(-row["difference"]), "lower")
    risk = irm_sweeps.paired_differences(only, "erm", "risk").iloc[0]
    assert (risk["difference"], risk["p"], risk["verdict"]) == (0, 1, "no difference shown")


def test_mistakes(frame):
    for wrong, against, said in (
        (frame, "ern", "did you mean `erm`"),
        (frame.drop(columns="rule"), "erm", "no column 'rule'"),
        (pd.concat([frame, frame]), "erm", "two trials with seed 0"),
        (frame[:0], "erm", "the frame has no rows"),
        ("results", "erm", r"'results' is a str: give a frame, e.g. paired_differences\(load_results\("),
    ):
        with pytest.raises(UserError, match=said):
            irm_sweeps.paired_differences(wrong, against)
