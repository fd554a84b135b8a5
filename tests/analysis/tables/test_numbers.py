"""The numbers of tables made from synthetic results: means, verdicts, several stores, chosen settings."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import synthetic_store as synthetic
from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.readings import Reading
from irm_sweeps.analysis.settings import Setting, choose
from irm_sweeps.analysis.tables.builder import Builder
from irm_sweeps.analysis.tables.cell_text import MARKS
from irm_sweeps.compose import compose
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.training.rule_names import RULE_NAMES
from irm_sweeps.training.selection import RULES
from irm_sweeps.trial import Trial
from table_words import BAE, FEW, by_seed, records


def test_cells_are_mean_and_sd_of_the_seeds(show, demo, tmp_path):
    found = synthetic.fill(tmp_path / "results", demo, "vrex", by_seed)
    cells = records(show("--paper", "demo", "--format", "csv"))
    for environment in ("0.1", "0.2", "0.9"):
        values = [100 * by_seed(trial, environment) for trial in found]
        cell = cells["vrex", f"p_e = {environment}"]
        assert float(cell["mean"]) == pytest.approx(np.mean(values), rel=1e-12)
        assert float(cell["sd"]) == pytest.approx(np.std(values, ddof=1), rel=1e-12)
        assert cell["n"] == "3"
        assert cell["metric"] == f"test/{environment}/accuracy"
        assert f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f} (n=3)" in show("--paper", "demo")


def test_verdicts_are_welchs_test_against_the_published_cell(show, bae, tmp_path):
    found = synthetic.fill(tmp_path / "results", bae, "irmv1", by_seed)
    cells = records(show(*BAE, "--format", "csv"))
    for environment, (mean, sd) in zip(("0.1", "0.2", "0.9"), bae.rows["irmv1"].published, strict=True):
        values = [100 * by_seed(trial, environment) for trial in found]
        p = stats.ttest_ind_from_stats(
            np.mean(values), np.std(values, ddof=1), 10, mean, sd, 10, equal_var=False
        ).pvalue
        cell = cells["irmv1", f"p_e = {environment}"]
        assert float(cell["p_value"]) == pytest.approx(p, rel=1e-9)
        assert float(cell["difference"]) == pytest.approx(np.mean(values) - mean, rel=1e-9)
        assert [cell[f"published_{what}"] for what in ("mean", "sd", "n")] == [str(mean), str(sd), "10"]
        low, high = float(cell["difference_low"]), float(cell["difference_high"])
        within = -2 <= low <= high <= 2
        assert cell["verdict"] == ("equivalent" if within else "differs" if p < 0.05 else "undecided")
        assert (low + high) / 2 == pytest.approx(np.mean(values) - mean, rel=1e-9)
        assert (low <= 0 <= high) == (p >= 0.05)
        apart = f"{np.mean(values) - mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        own = f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f} (n=10)"
        text = re.sub(" +", " ", show(*BAE))
        for printed in (own, f"{mean} ± {sd} {MARKS[cell['verdict']]}", apart, cell["verdict"]):
            assert f"| {printed} |" in text
        assert p <= float(cell["p_holm"]) <= 3 * p
    assert {cells["irmv1", f"p_e = {e}"]["verdict"] for e in ("0.1", "0.9")} == {"equivalent", "differs"}
    assert "Multiple comparisons: 3 tests" in text
    assert "0.15 of them" in text
    below = [cell for cell in cells.values() if cell["p_value"] and float(cell["p_value"]) < 0.05]
    left = [cell for cell in below if float(cell["p_holm"]) < 0.05]
    assert f"{len(below)} have; {len(left)} with Holm's correction" in text


def test_two_seeds_are_too_few_for_a_verdict(show, bae, tmp_path):
    synthetic.fill(tmp_path / "results", bae, "erm", by_seed, ["seed=range(0,2)"])
    cell = records(show(*BAE, "seed=range(0,2)", "--format", "csv"))["erm", "p_e = 0.1"]
    assert (cell["n"], cell["verdict"], cell["p_value"]) == ("2", "undecided", "")


def test_rows_that_nobody_measures_show_what_is_published(show):
    cells = records(show(*BAE, "--format", "csv"))
    assert cells["random", "p_e = 0.9"]["published_mean"] == "50.0"
    assert cells["random", "p_e = 0.9"]["command"] == cells["random", "p_e = 0.9"]["verdict"] == ""


def test_footer_says_how(show, bae):
    text = show(*BAE)
    for words in (
        "ddof 1",
        "Selection rule last",
        "Welch",
        "95 %",
        "lies within ± 2 points",
        "n = 10 trials",
        bae.source,
    ):
        assert words in text
    other = show(*BAE, "--select", "oracle", FEW)
    assert "Selection rule oracle" in other
    assert "The paper file's rule is last" in other
    assert f"Overrides on top of the paper file: {FEW}" in other


def test_the_penalty_weight_of_a_row_is_said(show, demo, tmp_path):
    for row in ("erm", "vrex"):
        synthetic.fill(tmp_path / "results", demo, row, by_seed)
    cells = records(show("--paper", "demo", "--format", "csv"))
    assert (cells["vrex", "p_e = 0.1"]["lam"], cells["vrex", "p_e = 0.1"]["setting"]) == ("10000.0", "")
    assert cells["erm", "p_e = 0.1"]["lam"] == ""
    assert "Penalty weight lam: V-REx 10000." in show("--paper", "demo")


def test_every_selection_rule_has_words():
    assert {*RULES, "stop"} == set(RULE_NAMES) == set(selection_rules.STEPS) == set(selection_rules.SETTINGS)


def test_the_place_of_the_weights_makes_no_other_setting():
    """Seeds of one setting, whose weights lay elsewhere on another machine: nothing is chosen, so no rule for it."""
    words = ["dataset=cifar_mnist", "dataset.n_val=10", "backbone=resnet18", "backbone.weights=none"]
    trial = Trial.from_config(compose(words))
    backbones = [trial.backbone.model_copy(update={"weights_path": path}) for path in ("/here", "/there")]
    assert selection_rules.honest([trial.model_copy(update={"backbone": one}) for one in backbones]) == "last"
    others = [trial.model_copy(update={"training": trial.training.model_copy(update={"l2": l2})}) for l2 in (0.1, 0.2)]
    assert selection_rules.honest(others) == "val"


def test_stores_are_put_together(show, demo, tmp_path):
    a, b, c = synthetic.trials_of(demo, "erm")
    here, there = tmp_path / "here", tmp_path / "there"
    synthetic.write(here, synthetic.failed(a, "no"), synthetic.completed(b, by_seed))
    synthetic.write(there, synthetic.completed(a, by_seed), synthetic.completed(c, by_seed))
    command = ["--paper", "demo", "--format", "csv"]
    for argv in (["--results", "here", "there"], ["--results", "there", "--results", "here"]):
        cell = records(show(*command, *argv))["erm", "p_e = 0.1"]
        assert (cell["n"], cell["note"]) == ("3", "")
    assert records(show(*command, "--results", "here"))["erm", "p_e = 0.1"]["n"] == "1"


def test_a_store_that_is_not_there_is_an_empty_one(show):
    text = show("--paper", "demo", "--results", "nowhere")
    assert "missing [1]" in text
    assert "results=nowhere" in text
    assert "skipped nowhere: no such store" in show.stderr


def test_overrides_after_the_stores_are_overrides(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed, [FEW])
    text = show("--paper", "demo", "--results", "results", FEW, "--select", "oracle")
    assert "(n=4)" in text


@pytest.fixture
def three_lams(demo, tmp_path):
    """V-REx at three penalty weights: 10 is best on validation images, 100 on p_e = 0.9, 1 on p_e = 0.1."""
    user = ["lam=1,10,100"]
    test = {1.0: (0.80, 0.10), 10.0: (0.70, 0.50), 100.0: (0.60, 0.60)}
    validation = {1.0: 0.71, 10.0: 0.79, 100.0: 0.65}

    def accuracy(trial, environment):
        low, high = test[trial.lam]
        return (low if environment < "0.5" else high) + 0.001 * trial.seed

    trials = synthetic.trials_of(demo, "vrex", user)
    results = [synthetic.completed(t, accuracy, validation[t.lam] + 0.01 * t.seed) for t in trials]
    synthetic.write(tmp_path / "results", *results)
    return user


@pytest.mark.parametrize(
    ("rule", "environment", "mean", "lam"),
    [
        ("val", "0.1", 70.1, "10"),
        ("val", "0.9", 50.1, "10"),
        ("oracle", "0.1", 80.1, "1"),
        ("oracle", "0.9", 60.1, "100"),
        ("last", "0.9", 60.1, "100"),
    ],
)
def test_one_setting_is_chosen_by_the_rule(show, three_lams, rule, environment, mean, lam):
    text = show("--paper", "demo", "--select", rule, "--format", "csv", *three_lams)
    cell = records(text)["vrex", f"p_e = {environment}"]
    assert cell["n"] == "3"
    assert float(cell["mean"]) == pytest.approx(mean)
    assert f"setting: lam={lam} of 1, 10, 100" in cell["note"]
    assert (cell["setting"], cell["lam"]) == (f"lam={lam}", f"{lam}.0")
    mark = "" if rule == "val" else ", chosen on test"
    shown = show("--paper", "demo", "--select", rule, *three_lams)
    assert f"{mean:.1f} ± 0.1 (n=3)" in shown
    assert re.search(rf"\*setting\*.*\| lam={lam}{mark} ", shown)
    assert ("chosen on test" in cell["note"]) == (rule != "val")
    assert "Of several hyperparameter settings" in shown
    assert ("tuned on the test environment" in shown) == (rule != "val")


@pytest.mark.parametrize(("rule", "lam", "mean"), [("val", 10, 3.0), ("last", 100, 1.0)])
def test_a_regression_s_setting_has_the_lowest_risk(rule, lam, mean, tmp_path):
    """The metric is the mean over environments; results have no accuracy."""
    paper = load_paper("linear_unit_tests")
    test, val = {1: 5.0, 10: 3.0, 100: 1.0}, {1: 0.9, 10: 0.4, 100: None}
    user = ["lam=1,10,100", "seed=range(0,3)"]
    for trial in synthetic.trials_of(paper, "irmv1", user):
        result = synthetic.completed(trial, lambda *_: None)
        scores = {
            "val": {"0": {"risk": val[trial.lam]}, "1": {"risk": 0.5}},
            "test": {"0": {"risk": test[trial.lam] - 1}, "1": {"risk": test[trial.lam] + 1}},
        }
        result["metrics"] = {name: {"step": 1, "scores": scores} for name in ("last", "val")}
        synthetic.write(tmp_path, result)
    builder = Builder(paper, [tmp_path], rule, user)
    cell = builder.cell("irmv1", paper.rows["irmv1"], 0)
    assert (cell.measured.mean, cell.measured.n, cell.decimals) == (mean, 3, 3)
    assert f"setting: lam={lam} of 1, 10, 100" in cell.notes[0].text


def test_a_setting_without_results_cannot_be_chosen(show, demo, tmp_path):
    trials = [t for t in synthetic.trials_of(demo, "vrex", ["lam=1,10"]) if t.lam == 1]
    synthetic.write(tmp_path / "results", *(synthetic.completed(t, by_seed) for t in trials))
    cell = records(show("--paper", "demo", "--format", "csv", "lam=1,10"))["vrex", "p_e = 0.1"]
    assert cell["n"] == "3"
    assert "setting: lam=1 of 1, 10; of 2 settings, 1 with results" in cell["note"]
    assert "no result yet: 3 of 6 trials" in cell["note"]
    assert "provisional while trials are missing or failed" in cell["note"]


@pytest.fixture
def two_lams(demo, tmp_path):
    """V-REx at lam 1 (.70, .71, .69) and at 10 (.73, then what is asked for): the trials of 10, and a cell."""
    trials = synthetic.trials_of(demo, "vrex", ["lam=1,10"])
    better = [trial for trial in trials if trial.lam == 10]

    def accuracy(trial, environment):
        return 0.73 if trial.lam == 10 else (0.70, 0.71, 0.69)[trial.seed]

    def cell(show, *others):
        own = [synthetic.completed(trial, accuracy, 0.8) for trial in trials if trial.lam == 1 or trial.seed == 0]
        synthetic.write(tmp_path / "results", *own, *others)
        return records(show("--paper", "demo", "--format", "csv", "lam=1,10"))["vrex", "p_e = 0.9"]

    return better, cell


def test_a_setting_whose_other_seeds_diverged_is_passed_over(show, two_lams):
    (_, b, c), cell = two_lams
    found = cell(show, synthetic.diverged(b, 7), synthetic.diverged(c, 9))
    assert (found["setting"], found["n"]) == ("lam=1", "3")
    assert float(found["mean"]) == pytest.approx(70)
    assert "of 2 settings, 1 with all their seeds" in found["note"]
    assert "passed over, without a value of every seed: lam=10 (1 of 3: 2 diverged)" in found["note"]
    assert "provisional" not in found["note"]


def test_a_setting_that_has_not_run_yet_is_passed_over_for_now(show, two_lams):
    (_, b, _), cell = two_lams
    found = cell(show, synthetic.failed(b, "no"))
    assert found["setting"] == "lam=1"
    assert "lam=10 (1 of 3: 1 not run, 1 failed); provisional while trials are missing" in found["note"]


def test_once_it_has_run_it_speaks_for_the_cell(show, two_lams):
    (_, *others), cell = two_lams
    found = cell(show, *(synthetic.completed(trial, lambda *_: 0.73, 0.8) for trial in others))
    assert (found["setting"], found["n"], float(found["mean"])) == ("lam=10", "3", pytest.approx(73))
    assert "setting: lam=10 of 1, 10" in found["note"]
    assert "of 2 settings" not in found["note"]
    assert "passed over" not in found["note"]


def test_validation_passes_a_setting_over_too(show, two_lams, tmp_path):
    """Under `val`, with a higher held-out accuracy of its one seed."""
    (a, b, c), cell = two_lams
    cell(show, synthetic.diverged(b, 7), synthetic.diverged(c, 9))
    synthetic.write(tmp_path / "results", synthetic.completed(a, lambda *_: 0.73, 0.99))
    text = show("--paper", "demo", "--format", "csv", "--select", "val", "lam=1,10")
    assert records(text)["vrex", "p_e = 0.9"]["setting"] == "lam=1"


OUTCOMES = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=3, max_size=3)


@given(st.lists(OUTCOMES, min_size=2, max_size=4), st.sampled_from(["accuracy", "risk", "ece"]))
def test_the_choice_is_among_those_with_a_value_of_every_seed(grid, measure):
    """None: the seed diverged; the first of the best of them wins."""
    chosen = choose(_made(grid, "diverged"), "last", f"test/0.9/{measure}")
    sign = 1 if measure == "accuracy" else -1
    complete = {i: sign * sum(seeds) for i, seeds in enumerate(grid) if None not in seeds}
    best = max(complete, key=complete.__getitem__, default=None)
    assert (None if chosen is None else chosen.differs["i"]) == best


def _made(grid, without_a_value):
    return [
        Setting({"i": i}, [Reading(None, without_a_value if v is None else "measured", v) for v in seeds])
        for i, seeds in enumerate(grid)
    ]


def test_one_survivor_of_five_does_not_beat_five():
    five, survivor = [0.6] * 5, [0.75, None, None, None, None]
    for reason in ("diverged", "failed", "unselected", "missing"):
        assert choose(_made([survivor, five], reason), "last", "test/0.9/accuracy").differs == {"i": 1}


def test_nothing_is_chosen_while_every_setting_has_lost_a_seed():
    grid = [[0.75, None, 0.7], [0.6, None, None]]
    for reason in ("diverged", "failed", "unselected"):
        assert choose(_made(grid, reason), "last", "test/0.9/accuracy") is None
    assert choose(_made(grid, "missing"), "last", "test/0.9/accuracy").differs == {"i": 0}


def test_a_single_setting_is_no_choice():
    (only,) = made = _made([[0.75, None, None]], "diverged")
    assert choose(made, "last", "test/0.9/accuracy") is only


def test_a_cell_without_a_complete_setting_says_so(show, demo, tmp_path):
    for trial in synthetic.trials_of(demo, "vrex", ["lam=1,10"]):
        lost = synthetic.diverged(trial, 7) if trial.seed == 1 else synthetic.completed(trial, by_seed)
        synthetic.write(tmp_path / "results", lost)
    cell = records(show("--paper", "demo", "--format", "csv", "lam=1,10"))["vrex", "p_e = 0.9"]
    assert (cell["n"], cell["mean"]) == ("0", "")
    assert "diverged, left out: 2 of 6 trials" in cell["note"]
    assert "no complete setting [" in show("--paper", "demo", "lam=1,10")


def test_several_keys_may_differ(show, demo, tmp_path):
    user = ["lam=1,10", "optimizer.lr=0.1,0.01"]
    synthetic.fill(tmp_path / "results", demo, "vrex", lambda t, e: 0.5 + t.optimizer.lr + t.lam / 100, user)
    cell = records(show("--paper", "demo", "--format", "csv", *user))["vrex", "p_e = 0.1"]
    assert "setting: optimizer.lr=0.1, lam=10; of 4 settings" in cell["note"]
    assert float(cell["mean"]) == pytest.approx(70)


def test_a_method_without_penalty_has_one_setting(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed, ["lam=1,10"])
    cell = records(show("--paper", "demo", "--format", "csv", "lam=1,10"))["erm", "p_e = 0.1"]
    assert (cell["n"], cell["note"]) == ("3", "")


def test_validation_needs_validation_images(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    text = show("--paper", "demo", "--select", "val")
    assert "unselected" not in text
    assert re.search(r"ERM +\| not selected \[", text)
    assert "no evaluation under selection rule val (run and tabulate with dataset.n_val=N" in text


def test_a_lost_seed_is_counted_in_the_cell(show, demo, tmp_path):
    first, *others = synthetic.trials_of(demo, "vrex")
    synthetic.write(tmp_path / "results", synthetic.diverged(first, 7))
    synthetic.write(tmp_path / "results", *(synthetic.completed(trial, by_seed) for trial in others))
    assert re.search(r"V-REx \[\d\] +(\| \S+ ± \S+ \(n=2 of 3\) +){3}\|", show("--paper", "demo"))


def test_a_script_can_fail_on_a_verdict(show, demo, bae, tmp_path, capsys):
    synthetic.fill(tmp_path / "results", bae, "erm", by_seed)
    assert "differs" in {cell["verdict"] for cell in records(show(*BAE, "--format", "csv")).values()}
    for words, code in (("differs", 1), ("missing", 1), ("undecided", 0)):
        if code == 0:
            show(*BAE, "paper.only=[erm]", "--fail-on", words)
            continue
        with pytest.raises(SystemExit) as stop:
            show(*BAE, "--fail-on", words)
        assert stop.value.code == code
    for argv, hint in (([*BAE, "--fail-on", "maybe"], "none of differs"), (["--fail-on", "differs"], "of which paper")):
        with pytest.raises(SystemExit) as stop:
            show(*argv)
        assert stop.value.code == 2
        assert hint in capsys.readouterr().err
