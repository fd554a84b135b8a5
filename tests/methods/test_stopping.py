"""meta-IRM's stopping rules on made-up evaluations."""

from __future__ import annotations

from dataclasses import replace

import pytest

from irm_sweeps.methods.method import Check

CHECKS = [
    # Steps 10 ... 50; the spread over validation risks falls to 0 at 30, that over all images at 40.
    Check(10, [0.70, 0.60], [0.5, 0.5], [0.69, 0.61], held_back=[0.1, 0.1]),
    Check(20, [0.66, 0.62], [0.5, 0.5], [0.64, 0.63], held_back=[0.1, 0.1]),
    Check(30, [0.62, 0.58], [0.5, 0.5], [0.60, 0.60], held_back=[0.1, 0.1]),
    Check(40, [0.59, 0.591], [0.5, 0.5], [0.60, 0.591], held_back=[0.1, 0.1]),
    Check(50, [0.55, 0.552], [0.5, 0.5], [0.54, 0.522], held_back=[0.1, 0.1]),
]


@pytest.mark.parametrize(
    ("rule", "on", "threshold", "warm_up", "step"),
    [
        ("none", "val", 1.0, 0, None),
        ("first_below", "val", 0.001, 0, 30),
        ("first_below", "val", 0.006, 0, 20),
        ("first_below", "val", 0.006, 25, 30),
        ("first_below", "val", 1e-9, 0, 30),
        ("lowest_risk", "val", 0.006, 0, 40),
        ("lowest_risk", "val", 0.02, 0, 50),
        # 0.9 * 0.59 + 0.1 * 0.60 = 0.591 and 0.9 * 0.591 + 0.1 * 0.591 = 0.591: equal over all images.
        ("first_below", "merged", 1e-9, 0, 40),
        ("lowest_risk", "merged", 0.003, 0, 50),
        ("first_below", "merged", 0.003, 0, 40),
        # The four values of step 40 have a standard deviation of .0041, those of step 50 of .0119.
        ("first_below", "pooled", 0.0045, 0, 40),
        ("lowest_risk", "pooled", 0.0045, 0, 40),
        ("lowest_risk", "pooled", 0.0035, 0, None),
    ],
)
def test_which_evaluation_it_chooses(rule, on, threshold, warm_up, step, make_trial) -> None:
    method = make_trial(
        "method=meta_irm",
        f"method.stop_rule={rule}",
        f"method.stop_on={on}",
        f"method.stop_threshold={threshold}",
        f"method.stop_warmup={warm_up}",
    ).method
    chosen = method.stop(CHECKS)
    assert (None if chosen is None else CHECKS[chosen].step) == step


def test_without_held_out_images_the_training_risks_decide(make_trial) -> None:
    checks = [replace(c, val_risks=[]) for c in CHECKS]
    for on in ("val", "pooled", "merged"):
        method = make_trial(
            "method=meta_irm",
            f"method.stop_on={on}",
            "method.stop_rule=first_below",
            "method.stop_threshold=0.001",
            "method.stop_warmup=0",
        ).method
        assert checks[method.stop(checks)].step == 40


def test_the_loop_tells_how_much_is_held_back(make_trial, training) -> None:
    run = training(make_trial("dataset.n_train=45", "dataset.n_val=5"))
    assert run.data.held_back == pytest.approx([0.1, 0.1])
    assert training(make_trial()).data.held_back == [0, 0]
