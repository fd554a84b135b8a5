"""The tables, from results that are made up: numbers, notes, formats and mistakes."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "analysis"))

import rules
import synthetic_store as synthetic
import tables
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.training.selection import RULES
from layout import Builder

ROOT = Path(__file__).parents[1]
BAE = ["--paper", "bae2021", "--table", "1"]
FEW = "seed=range(0,4)"


@pytest.fixture(autouse=True, scope="module")
def composed_once():
    with synthetic.composed_once():
        yield


@pytest.fixture(scope="module")
def demo():
    return load_paper("demo")


@pytest.fixture(scope="module")
def bae():
    return load_paper("bae2021_table1")


@pytest.fixture
def show(tmp_path, capsys, monkeypatch):
    """Print a table in an empty folder; return what came out."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> str:
        tables.main(list(argv))
        run.stderr = capsys.readouterr()
        text, run.stderr = run.stderr
        return text

    return run


@pytest.fixture
def refused(show, capsys):
    """Expect one line on stderr and exit code 2; return the line."""

    def run(*argv: str) -> str:
        with pytest.raises(SystemExit) as stop:
            show(*argv)
        text, line = capsys.readouterr()
        assert stop.value.code == 2
        assert text == ""
        assert line.startswith("error: ")
        assert line.count("\n") == 1
        return line

    return run


def records(text: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(text))}


def by_seed(trial, environment):
    """Different in every seed and environment."""
    return 0.7 + 0.01 * float(environment) + 0.003 * (trial.seed * 7 % 10)


# -- numbers ------------------------------------------------------------------------------------------


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
        assert cell["verdict"] == ("differs" if p < 0.05 else "consistent")
        assert [cell[f"published_{what}"] for what in ("mean", "sd", "n")] == [str(mean), str(sd), "10"]
        low, high = float(cell["difference_low"]), float(cell["difference_high"])
        assert (low + high) / 2 == pytest.approx(np.mean(values) - mean, rel=1e-9)
        assert (low <= 0 <= high) == (p >= 0.05)
        apart = f"{np.mean(values) - mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        own = f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f} (n=10)"
        text = re.sub(" +", " ", show(*BAE))
        assert f"{own} | {mean} ± {sd} | {apart} | {cell['verdict']}" in text
        assert p <= float(cell["p_holm"]) <= 3 * p
    assert {cells["irmv1", f"p_e = {e}"]["verdict"] for e in ("0.1", "0.9")} == {"consistent", "differs"}
    assert "Multiple comparisons: 3 tests" in text
    assert "0.15 of them" in text
    differ = [cell for cell in cells.values() if cell["verdict"] == "differs"]
    left = [cell for cell in differ if float(cell["p_holm"]) < 0.05]
    assert f"{len(differ)} do; {len(left)} with Holm's correction" in text


def test_two_seeds_are_too_few_for_a_verdict(show, bae, tmp_path):
    synthetic.fill(tmp_path / "results", bae, "erm", by_seed, ["seed=range(0,2)"])
    cell = records(show(*BAE, "seed=range(0,2)", "--format", "csv"))["erm", "p_e = 0.1"]
    assert (cell["n"], cell["verdict"], cell["p_value"]) == ("2", "too few seeds", "")


def test_rows_that_nobody_measures_show_what_is_published(show):
    cells = records(show(*BAE, "--format", "csv"))
    assert cells["random", "p_e = 0.9"]["published_mean"] == "50.0"
    assert cells["random", "p_e = 0.9"]["command"] == cells["random", "p_e = 0.9"]["verdict"] == ""


def test_footer_says_how(show, bae):
    text = show(*BAE)
    for words in ("ddof 1", "Selection rule last", "Welch", "alpha = 0.05", "n = 10 trials", bae.source):
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
    assert set(rules.STEPS) == set(rules.SETTINGS) == {*RULES, "stop"}


# -- what is missing ----------------------------------------------------------------------------------


def test_every_missing_cell_has_the_command_that_fills_it(show, bae):
    text = show(*BAE)
    body, _, notes = text.partition("- [1]")
    numbered = dict(re.findall(r"- \[(\d+)\] .*?`(.*)`", "- [1]" + notes))
    for name, row in bae.rows.items():
        line = next(line for line in body.splitlines() if line.startswith(f"| {row.label} "))
        numbers = re.findall(r"(?:missing|not available) \[(\d+)\]", line)
        if row.sweep is None:
            assert numbers == []
        else:
            assert len(numbers) == 3
            assert {numbered[n] for n in numbers} == {bae.command(name)}


def test_commands_keep_the_overrides_and_the_store(show, tmp_path):
    (tmp_path / "my results").mkdir()
    text = show("--paper", "demo", "--results", "my results", FEW, "dataset.n_val=100")
    assert f"'paper.only=[erm]' '{FEW}' dataset.n_val=100 'results=my results'`" in text


def test_a_partly_measured_cell_says_what_it_lacks(show, demo, tmp_path):
    trials = synthetic.trials_of(demo, "erm")
    synthetic.write(tmp_path / "results", synthetic.completed(trials[1], by_seed))
    cell = records(show("--paper", "demo", "--format", "csv"))["erm", "p_e = 0.1"]
    assert (cell["n"], cell["sd"]) == ("1", "")
    assert cell["note"] == "no result yet: 2 of 3 trials"
    assert cell["command"] == demo.command("erm")


def test_a_row_whose_method_is_not_there_yet(show, monkeypatch):
    cell = records(show(*BAE, "--format", "csv"))
    lacking = [r for r in cell.values() if "this version has no" in r["note"]]
    for r in lacking:
        assert f"paper.only=[{r['row']}]" in r["command"]
        assert r["n"] == "0"
    assert all(r["row"] not in ("erm", "irmv1", "vrex", "mm_rex", "grayscale") for r in lacking)


def test_an_unknown_method_leaves_the_other_rows_alone(show, demo, tmp_path, monkeypatch):
    broken = demo.rows["irmv1"].model_copy(update={"sweep": ["method=not_yet"]})
    paper = demo.model_copy(update={"rows": {**demo.rows, "irmv1": broken}})
    monkeypatch.setattr(tables, "find_paper", lambda *asked: paper)
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    text = show("--paper", "demo")
    assert "not available [1]" in text
    assert f"this version has no method=not_yet; once it has: `{demo.command('irmv1')}`" in text
    assert "(n=3)" in text


def test_diverged_and_failed_trials_are_counted_and_named(show, demo, tmp_path):
    a, b, c = synthetic.trials_of(demo, "vrex")
    synthetic.write(
        tmp_path / "results",
        synthetic.diverged(a, 120),
        synthetic.failed(b, "RuntimeError: no\nluck"),
        synthetic.completed(c, by_seed),
    )
    cell = records(show("--paper", "demo", "--format", "csv"))["vrex", "p_e = 0.9"]
    assert cell["n"] == "1"
    assert f"diverged, left out: 1 of 3 trials: {a.id} (seed=0) at step 120" in cell["note"]
    assert f"failed, left out: 1 of 3 trials: {b.id} (seed=1) RuntimeError: no luck" in cell["note"]
    assert cell["command"] == demo.command("vrex", ["rerun=failed"])


def test_a_cell_of_which_everything_diverged(show, demo, tmp_path):
    trials = synthetic.trials_of(demo, "vrex", ["seed=range(0,9)"])
    synthetic.write(tmp_path / "results", *(synthetic.diverged(trial, 5) for trial in trials))
    text = show("--paper", "demo", "seed=range(0,9)")
    assert re.search(r"V-REx +\| diverged \[", text)
    assert "9 of 9 trials" in text
    assert "; 4 more" in text


def test_a_value_that_is_not_finite_is_left_out_and_named(show, demo, tmp_path):
    a, b, c = synthetic.trials_of(demo, "erm")
    nothing = synthetic.completed(a, lambda trial, e: None if e == "0.9" else 0.5)
    synthetic.write(tmp_path / "results", nothing, *(synthetic.completed(t, by_seed) for t in (b, c)))
    cells = records(show("--paper", "demo", "--format", "csv"))
    assert cells["erm", "p_e = 0.1"]["n"] == "3"
    assert cells["erm", "p_e = 0.9"]["n"] == "2"
    assert f"not finite, left out: 1 of 3 trials: {a.id}" in cells["erm", "p_e = 0.9"]["note"]


def test_damaged_results_are_named_and_skipped(show, demo, tmp_path):
    *trials, whole = synthetic.fill(tmp_path / "results", demo, "erm", by_seed, ["seed=range(0,11)"])
    good = synthetic.completed(trials[0], by_seed)
    wrong_text = {"last": {"scores": {"test": {"0.1": {"accuracy": "high"}}}}}
    damages = [
        b"",
        b'{"schema": 1, "trial_id"',
        b"[]",
        b"\xff\xfe",
        b'{"a": NaN}',
        {**good, "metrics": [1, 2]},
        {**good, "metrics": {"last": {"scores": None}}},
        {**good, "metrics": wrong_text},
        {**good, "schema": 99},
        {**good, "trial_id": whole.id},
    ]
    for trial, damage in zip(trials, damages, strict=True):
        if isinstance(damage, dict) and damage["trial_id"] != whole.id:
            damage = {**damage, "trial_id": trial.id}
        path = tmp_path / "results" / trial.id / "result.json"
        path.write_bytes(damage if isinstance(damage, bytes) else json.dumps(damage).encode())
    cell = records(show("--paper", "demo", "--format", "csv", "seed=range(0,11)"))["erm", "p_e = 0.1"]
    assert cell["n"] == "1"
    assert "no result yet: 10 of 11 trials" in cell["note"]
    for trial in trials:
        assert len(re.findall(f"skipped .*{trial.id}/result.json", show.stderr)) == 1


def test_an_environment_that_was_not_measured(show, demo, tmp_path):
    trials = synthetic.trials_of(demo, "erm")
    for trial in trials:
        result = synthetic.completed(trial, by_seed)
        del result["metrics"]["last"]["scores"]["test"]["0.9"]
        synthetic.write(tmp_path / "results", result)
    cell = records(show("--paper", "demo", "--format", "csv"))["erm", "p_e = 0.9"]
    assert cell["mean"] == ""
    assert "test/0.9/accuracy not measured" in cell["note"]
    assert "test/0.8/accuracy" in cell["note"]


def test_missing_prints_commands_and_nothing_else(show, demo, tmp_path):
    store = tmp_path / "results"
    synthetic.fill(store, demo, "erm", by_seed)
    a, *_ = synthetic.trials_of(demo, "vrex")
    synthetic.write(store, synthetic.failed(a, "no"))
    rows = [row for row in demo.rows if demo.rows[row].sweep is not None]
    assert show("--paper", "demo", "--missing").splitlines() == [
        demo.command(row, ["rerun=failed"] if row == "vrex" else []) for row in rows if row != "erm"
    ]
    assert show.stderr == ""


def test_missing_prints_nothing_where_nothing_is_missing(show, demo, tmp_path):
    for row in demo.rows:
        synthetic.fill(tmp_path / "results", demo, row, by_seed)
    assert show("--paper", "demo", "--missing") == ""


def test_a_row_that_no_command_can_fill_is_no_command(show, demo, monkeypatch):
    broken = demo.rows["irmv1"].model_copy(update={"sweep": ["method=not_yet"]})
    paper = demo.model_copy(update={"rows": {"irmv1": broken}})
    monkeypatch.setattr(tables, "find_paper", lambda *asked: paper)
    assert show("--paper", "demo", "--missing") == ""
    assert "skipped IRMv1: this version has no method=not_yet" in show.stderr


def test_the_shell_reads_a_missing_command_as_it_is_meant(show, tmp_path):
    (tmp_path / "my results").mkdir()
    lines = show("--paper", "demo", "--missing", "--results", "my results", FEW).splitlines()
    for line, row in zip(lines, load_paper("demo").rows, strict=True):
        words = shlex.split(line)
        assert words[:4] == ["python", "launch.py", "-m", "paper=demo"]
        assert words[4:] == [f"paper.only=[{row}]", FEW, "results=my results"]


# -- several stores -----------------------------------------------------------------------------------


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


# -- several settings ---------------------------------------------------------------------------------


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
    assert f"setting: lam={lam} of 1, 10, 100; of 3 settings" in cell["note"]
    assert (cell["setting"], cell["lam"]) == (f"lam={lam}", f"{lam}.0")
    assert f"{mean:.1f} ± 0.1 (n=3; lam={lam}) [" in show("--paper", "demo", "--select", rule, *three_lams)
    assert ("tuned on the test environment" in cell["note"]) == (rule != "val")
    assert "Of several hyperparameter settings" in show("--paper", "demo", "--select", rule, *three_lams)


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
    assert "setting: lam=1 of 1, 10; of the only setting with results out of 2" in cell["note"]
    assert "no result yet: 3 of 6 trials" in cell["note"]


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
    assert re.search(r"ERM +\| no value \[", text)
    assert "no evaluation under selection rule val (run and tabulate with dataset.n_val=N" in text


# -- formats ------------------------------------------------------------------------------------------


@pytest.fixture
def full(bae, tmp_path):
    """A store in which every kind of cell occurs."""
    store = tmp_path / "results"
    for row in ("erm", "irmv1", "grayscale"):
        synthetic.fill(store, bae, row, by_seed)
    trials = synthetic.trials_of(bae, "vrex")
    synthetic.write(store, synthetic.failed(trials[0], "100% of_the #disk & {more} \\ ~^ → é"))
    return store


def test_markdown_rows_have_equally_many_cells(show, full):
    lines = [line for line in show(*BAE).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 8
    assert {line.count("|") for line in lines} == {14}
    assert len({len(line) for line in lines}) == 1


def test_csv_has_one_line_a_cell(show, full):
    text = show(*BAE, "--format", "csv")
    assert len(records(text)) == 8 * 3 == len(text.splitlines()) - 1
    assert text.splitlines()[0] == (
        "row,column,metric,setting,lam,mean,sd,n,published_mean,published_sd,published_n,difference,difference_low,"
        "difference_high,p_value,p_holm,verdict,note,command"
    )


def test_latex_is_complete_and_escaped(show, full):
    text = show(*BAE, "--format", "latex")
    begun = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    stack = []
    for what, name in begun:
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    assert [name for what, name in begun if what == "begin"] == ["table", "tabular", "minipage"]
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\label{tab:bae2021-table1}"):
        assert text.count(rule) == 1

    inside = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    rows = [line for line in inside.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 * 8 + 2 * 3
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}

    printed = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert set(printed) - set(map(chr, range(128))) == {"é"}
    assert not re.search(r"(?<!\\)[%#]", printed)
    assert "100\\% of\\_the \\#disk \\& \\{more\\} \\textbackslash{} \\textasciitilde{}\\textasciicircum{}" in printed
    assert balanced(printed)
    assert re.sub(r"\$[^$\n]*\$", "", printed).count("$") == 0
    assert r"\textquotesingle{}paper.only={[}vrex{]}\textquotesingle{} rerun=failed}" in printed
    assert r"\quad published & 88.6 $\pm$ 0.3" in printed
    assert re.search(r"\\quad difference & -17\.1 \{\[\}-17\.[0-9], -1[0-9.]+\{\]\}", printed)
    assert r"\quad verdict & differs" in printed


def balanced(text: str) -> bool:
    depth = 0
    for brace in re.sub(r"\\[{}\\]", "", text):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0


def test_html_is_a_page_of_its_own(show, full):
    text = show(*BAE, "--format", "html")

    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.ids, self.targets, self.cells = [], set(), set(), [0]

        def handle_starttag(self, tag, attributes):
            given = dict(attributes)
            if tag not in ("meta", "link", "br", "img"):
                self.open.append(tag)
            assert not {"src", "srcset"} & set(given)
            assert tag not in ("script", "link")
            self.ids.add(given.get("id"))
            if tag == "a":
                self.targets.add(given["href"].removeprefix("#"))
            if tag in ("td", "th"):
                self.cells[-1] += int(given.get("colspan", 1))

        def handle_endtag(self, tag):
            assert self.open.pop() == tag
            if tag == "tr":
                self.cells.append(0)

    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.targets <= page.ids
    assert page.cells == [13] * (2 + 8) + [0]
    assert "#disk &amp; {more}" in text
    assert "http" not in text
    assert ">differs<" in text
    assert "Holm&#39;s p = " in text


def test_output_goes_to_a_file_whose_ending_gives_the_format(show, full, tmp_path):
    assert show(*BAE, "--output", "made/here/table.tex") == "made/here/table.tex\n"
    assert (tmp_path / "made/here/table.tex").read_text() == show(*BAE, "--format", "latex")
    show(*BAE, "--output", "table.txt", "--format", "csv")
    assert (tmp_path / "table.txt").read_text() == show(*BAE, "--format", "csv")


def test_a_table_without_published_cells_is_narrow(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    for form in ("md", "latex", "html"):
        text = show("--paper", "demo", "--format", form)
        assert "published" not in text.lower()
        assert "Welch" not in text


# -- mistakes -----------------------------------------------------------------------------------------


def test_an_unknown_table_lists_what_exists(refused):
    line = refused("--paper", "bae2021", "--table", "99")
    assert "bae2021_table99.yaml" in line
    assert "--paper bae2021 --table 1" in line
    assert "--paper demo" in line
    assert "did you mean `demo`" in refused("--paper", "dmeo")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--paper", "demo", "--format", "pdf"], "invalid choice: 'pdf'"),
        (["--paper", "demo", "--select", "best"], "invalid choice: 'best'"),
        (["--paper", "demo", "--paperr", "x"], "--paperr"),
        ([], "--paper"),
        (["--paper", "demo", "seed"], "'seed' is no override"),
        (["--paper", "demo", "results=elsewhere"], "say --results elsewhere"),
        (["--paper", "demo", "sede=3"], "did you mean `seed`"),
        (["--paper", "demo", "dataset=mnits"], "dataset=mnits: no such dataset"),
        (["--paper", "demo", "--results", "seed=3"], "give at least one directory"),
    ],
)
def test_mistakes_are_one_line(refused, argv, words):
    assert words in refused(*argv)


def test_a_file_is_no_store(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "--results file is a file" in refused("--paper", "demo", "--results", "file")


def test_as_a_command(demo, tmp_path):
    """From another folder, as a user types it."""
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    script = [sys.executable, str(ROOT / "analysis" / "tables.py")]
    done = subprocess.run([*script, "--paper", "demo"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "(n=3)" in done.stdout
    assert done.stderr == ""
    wrong = subprocess.run([*script, "--paper", "nobody"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: --paper nobody: no conf/paper/nobody.yaml")
    assert wrong.stderr.count("\n") == 1


def test_help_is_documentation_and_loads_no_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['tables.py', '--help']\n"
        "import tables\n"
        "try: tables.main()\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "analysis", capture_output=True, text=True, check=True
    )
    for words in ("--paper bae2021 --table 1", "--select", "examples:", "exit codes:", "Welch"):
        assert words in done.stdout
