"""Tables whose rows are compared with one of them: `--against ROW`."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

import synthetic_store as synthetic
from irm_sweeps.analysis.statistics.two_means import holm
from irm_sweeps.analysis.tables.paired import PairedComparison
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.paper import load_paper
from table_words import BAE, by_seed, records

DEMO = ["--paper", "demo"]
VREX = [*DEMO, "--against", "vrex"]
CSV = ["--format", "csv"]
ENVIRONMENTS = ("0.1", "0.2", "0.9")


def better(trial, environment):
    """Than `by_seed`, by a point at 0.9 and not at 0.1; a bit differently for each seed."""
    return by_seed(trial, environment) + 0.015 * (float(environment) - 0.15) + 0.002 * (trial.seed * 5 % 3 - 1)


@pytest.fixture
def store(demo, tmp_path):
    """ERM and V-REx by seed, IRMv1 better; nothing of the grayscale row."""
    for row, accuracy in (("erm", by_seed), ("vrex", by_seed), ("irmv1", better)):
        synthetic.fill(tmp_path / "results", demo, row, accuracy)
    return tmp_path / "results"


def values_of(row, demo, accuracy, environment):
    return [100 * accuracy(trial, environment) for trial in synthetic.trials_of(demo, row)]


def test_every_cell_is_the_paired_t_test_of_its_column(show, demo, store):
    cells = records(show(*VREX, *CSV))
    p_values = []
    for environment in ENVIRONMENTS:
        mine, theirs = (
            values_of(row, demo, accuracy, environment) for row, accuracy in (("irmv1", better), ("vrex", by_seed))
        )
        test, cell = stats.ttest_rel(mine, theirs), cells["irmv1", f"p_e = {environment}"]
        p_values.append(test.pvalue)
        assert float(cell["p_value"]) == pytest.approx(test.pvalue, rel=1e-6)
        assert float(cell["difference"]) == pytest.approx(np.mean(mine) - np.mean(theirs), rel=1e-9)
        interval = float(cell["difference_low"]), float(cell["difference_high"])
        assert interval == pytest.approx(test.confidence_interval(0.95), rel=1e-6)
        assert cell["verdict"] == ("higher" if test.pvalue < 0.05 else "no difference shown")
        assert (cell["against"], cell["pairs"], cell["n"]) == ("vrex", "3", "3")
        assert float(cell["mean"]) == pytest.approx(np.mean(mine), rel=1e-12)
    assert {cells["irmv1", f"p_e = {e}"]["verdict"] for e in ENVIRONMENTS} == {"higher", "no difference shown"}
    same = [cells["erm", f"p_e = {e}"] for e in ENVIRONMENTS]
    assert [(cell["p_value"], cell["verdict"]) for cell in same] == [("1.0", "no difference shown")] * 3
    expected = holm([1.0] * 3 + p_values)
    found = [float(cells[row, f"p_e = {e}"]["p_holm"]) for row in ("erm", "irmv1") for e in ENVIRONMENTS]
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_row_itself_and_cells_without_a_value_are_not_compared(show, store):
    cells = records(show(*VREX, *CSV))
    for row in ("vrex", "grayscale"):
        cell = cells[row, "p_e = 0.9"]
        assert {cell[key] for key in ("against", "pairs", "difference", "p_value", "p_holm", "verdict")} == {""}


def test_markdown_shows_difference_p_and_verdict(show, store):
    cells, text = records(show(*VREX, *CSV)), re.sub(" +", " ", show(*VREX))
    cell = cells["irmv1", "p_e = 0.9"]
    low, high = float(cell["difference_low"]), float(cell["difference_high"])
    p, adjusted = float(cell["p_value"]), float(cell["p_holm"])
    difference = f"{float(cell['difference']):+.1f} [{low:+.1f}, {high:+.1f}]"
    for printed in (difference, f"{p:.3g} ({adjusted:.3g})", "higher"):
        assert f"| {printed} |" in text
    assert "(n=3) ↑ |" in text
    assert re.search(r"\| V-REx( \| [\d.]+ ± 1\.1 \(n=3\)){3} \|", text)
    assert text.startswith("**Demo: test accuracy (%) on Colored MNIST, 5,000 embedded digits; compared with V-REx**")
    assert [text.count(f"| *{heading}* |") for heading in ("difference", "p (Holm)", "verdict")] == [2, 2, 2]
    for words in ("the row minus V-REx", "Pairs: by seed", "two-sided paired t-test; alpha = 0.05", "6 tests"):
        assert words in text
    assert "if no row differed from V-REx, 0.3 of them would still have p < 0.05" in text
    for words in ("Welch", "ublished", "One test set", "A setting that was chosen"):
        assert words not in text


def test_tiny_p_values_have_no_digits(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "vrex", by_seed)
    synthetic.fill(tmp_path / "results", demo, "erm", lambda t, e: by_seed(t, e) + 0.125)
    text = re.sub(" +", " ", show(*VREX))
    for heading, printed in (
        ("difference", "+12.5 [+12.5, +12.5]"),
        ("p (Holm)", "<0.0001 (<0.0001)"),
        ("verdict", "higher"),
    ):
        assert f"| *{heading}* | {printed} | {printed} | {printed} |" in text
    assert "No spread: where all differences of a cell are equal" in text


def test_latex_and_html_have_them_too(show, store):
    text = show(*VREX, "--format", "latex", "--details")
    assert r"\label{tab:demo-against-vrex}" in text
    inside = "".join(part.partition(r"\bottomrule")[0] for part in text.split(r"\midrule")[1:])
    rows = [line.split(" & ")[0].split(r"\text")[0] for line in inside.splitlines() if line.endswith(r"\\")]
    compared = [rf"\quad {heading}" for heading in ("difference", "p (Holm)", "verdict")]
    assert rows == ["ERM", "IRMv1", "V-REx", "ERM (grayscale)", "ERM", *compared, "IRMv1", *compared]
    assert r"\quad" not in show(*VREX, "--format", "latex")

    widths = [0]

    class Page(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag in ("td", "th"):
                widths[-1] += int(dict(attributes).get("colspan", 1))

        def handle_endtag(self, tag):
            if tag == "tr":
                widths.append(0)

    page = show(*VREX, "--format", "html")
    Page().feed(page)
    assert widths == [4] * (1 + 4 + 1 + 2) + [0]
    assert '<span class="mark theirs higher" title="higher; p = ' in page
    assert "p (with Holm&#39;s correction)" in page


def test_published_cells_and_rows_that_have_nothing_else_are_not_shown(show, bae, tmp_path):
    for row in ("erm", "irmv1"):
        synthetic.fill(tmp_path / "results", bae, row, by_seed)
    text, cells = show(*BAE, "--against", "erm"), records(show(*BAE, "--against", "erm", *CSV))
    assert "| Random" not in text
    assert "| Optimal" not in text
    assert "88.6" not in text
    assert "Published values, and rows that have nothing else, are not shown." in text
    assert {cell[f"published_{what}"] for cell in cells.values() for what in ("mean", "sd", "n")} == {""}
    assert "published" in show(*BAE), "without the option as ever"


def test_the_number_of_pairs_is_said_where_it_is_not_n(show, demo, tmp_path):
    seeds, root = "seed=range(0,6)", tmp_path / "results"
    synthetic.fill(root, demo, "erm", by_seed, [seeds])
    a, _, *others = synthetic.trials_of(demo, "vrex", [seeds])
    synthetic.write(root, synthetic.diverged(a, 3), *(synthetic.completed(trial, better) for trial in others))
    b, c, *others = synthetic.trials_of(demo, "irmv1", [seeds])
    synthetic.write(root, *(synthetic.diverged(trial, 9) for trial in (b, c)))
    synthetic.write(root, *(synthetic.completed(trial, by_seed) for trial in others))
    cells, text = records(show(*VREX, *CSV, seeds)), show(*VREX, seeds)
    assert [cells[row, "p_e = 0.9"]["pairs"] for row in ("erm", "irmv1")] == ["4", "4"]
    assert [cells[row, "p_e = 0.9"]["n"] for row in ("erm", "irmv1")] == ["6", "4"]
    erm, irmv1 = (line for line in text.splitlines() if line.startswith("| *difference* "))
    assert len(re.findall(r"\] \(4 pairs\) +\|", erm)) == 3
    assert "pairs" not in irmv1
    assert f"diverged, left out: 1 of 6 trials: {a.id}" in text
    assert demo.command("vrex", [seeds]) in text, "seed 1 is not run yet"


@pytest.mark.parametrize(
    ("mine", "theirs", "printed"),
    [
        ((0, 1), (2,), "(0 pairs)"),
        ((0, 1), (1, 2), "+0.0 (1 pair)"),
        ((0, 1), (0, 1), "+0.0 [+0.0, +0.0]"),
    ],
)
def test_too_few_common_seeds(show, demo, tmp_path, mine, theirs, printed):
    for row, seeds in (("erm", mine), ("vrex", theirs)):
        found = [trial for trial in synthetic.trials_of(demo, row) if trial.seed in seeds]
        synthetic.write(tmp_path / "results", *(synthetic.completed(trial, by_seed) for trial in found))
    text = show(*VREX)
    told = re.sub(" +", " ", text)
    assert f"| *difference* | {printed} | {printed} | {printed} |" in told
    assert "| *verdict* | too few seeds | too few seeds | too few seeds |" in told
    assert "p (Holm)" not in told
    assert "Multiple comparisons" not in text
    assert "No spread" not in text
    cell = records(show(*VREX, *CSV))["erm", "p_e = 0.1"]
    assert (cell["verdict"], cell["p_value"]) == ("too few seeds", "")


def test_with_a_row_of_which_nothing_is_measured_yet(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    text = show(*VREX)
    assert re.search(r"\| V-REx +\| missing \[\d\]", text)
    assert demo.command("vrex") in text
    assert {cell["verdict"] for cell in records(show(*VREX, *CSV)).values()} == {""}


def test_the_pairs_are_those_of_the_chosen_settings(show, demo, tmp_path):
    """At lam=10 both are better; IRMv1 by two points more."""
    user = ["lam=1,10"]
    for row, more in (("vrex", 0.0), ("irmv1", 0.02)):
        accuracy = lambda t, e, more=more: by_seed(t, e) + (0.1 + more if t.lam == 10 else 0)  # noqa: E731
        synthetic.fill(tmp_path / "results", demo, row, accuracy, user)
    cell = records(show(*VREX, *CSV, *user))["irmv1", "p_e = 0.9"]
    assert (cell["setting"], cell["pairs"]) == ("lam=10", "3")
    assert float(cell["difference"]) == pytest.approx(2)
    assert "A setting that was chosen by the cell's own metric" in show(*VREX, *user)


def test_a_risk_has_three_decimals_and_lower_is_said_of_the_lower(show, tmp_path):
    paper = load_paper("linear_unit_tests")
    user = ["seed=range(0,4)", "lam=1"]
    for row, worse in (("erm", 0.0), ("irmv1", -0.25)):
        for trial in synthetic.trials_of(paper, row, user):
            result = synthetic.completed(trial, lambda *_: None)
            risks = {e: {"risk": 1 + worse + 0.01 * trial.seed * (1 - worse)} for e in ("0", "1")}
            result["metrics"] = {rule: {"step": 1, "scores": {"test": risks, "val": risks}} for rule in ("last", "val")}
            synthetic.write(tmp_path / "results", result)
    asked = ["--paper", paper.name, "paper.only=[erm,irmv1]", *user, "--against", "erm"]
    cell = next(cell for key, cell in records(show(*asked, *CSV)).items() if key[0] == "irmv1" and cell["n"] == "4")
    low, high = float(cell["difference_low"]), float(cell["difference_high"])
    assert float(cell["difference"]) == pytest.approx(-0.25 + 0.015 * 0.25)
    text = show(*asked)
    assert re.search(rf"\| -0\.246 \[{low:+.3f}, {high:+.3f}\] ", text)
    assert re.search(r"\*verdict\*.*\| lower ", text)


def test_one_test_set_for_all_is_said_to_be_left_out(show, tmp_path):
    sst = load_paper("bae2021_table6")
    asked = ["--paper", "bae2021", "--table", "6", "--against", "erm"]
    for user in ([], ["dataset.data_seed=null"]):
        for row in ("erm", "irmv1"):
            synthetic.fill(tmp_path / "results", sst, row, lambda t, e: (140 + t.seed) / 278, user)
    said = "One test set: all trials of a cell share one drawn test set (examples: 278). Its sampling error is not in"
    assert said in show(*asked)
    assert "m(100 - m)" not in show(*asked)
    assert "One test set" not in show(*asked, "dataset.data_seed=null"), "each trial draws its own"


def test_the_printed_label_names_a_row_too(show, store):
    assert show(*DEMO, "--against", "V-REx") == show(*VREX)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (
            [*DEMO, "--against", "verx"],
            "--against verx: demo has no such row (did you mean `vrex`?); rows: erm, irmv1,",
        ),
        ([*DEMO, "--against", "ERM (gray)"], "(did you mean `ERM (grayscale)`?)"),
        ([*DEMO, "--against", ""], "demo has no such row; rows: erm"),
        ([*VREX, "paper.only=[erm,irmv1]"], "leaves that row out; say paper.only=[erm,irmv1,vrex]"),
        ([*BAE, "--against", "random"], "that row has no trials, so no seeds to pair; rows: erm, irmv1"),
        ([*BAE, "--against", "Random", "paper.only=[erm]"], "that row has no trials, so no seeds to pair; rows: erm"),
    ],
)
def test_a_row_that_cannot_be_compared_with_is_one_line(refused, argv, words):
    assert words in refused(*argv)


def test_a_label_of_two_rows_names_neither(demo):
    twin = demo.rows["erm"].model_copy(update={"label": "V-REx"})
    twins = demo.model_copy(update={"rows": {**demo.rows, "erm": twin}})
    assert PairedComparison.row(twins, "vrex").against == "vrex"
    with pytest.raises(UserError, match="2 rows have this label: erm, vrex; give the name"):
        PairedComparison.row(twins, "V-REx")


def test_other_rows_may_be_left_out(show, store):
    cells = records(show(*VREX, *CSV, "paper.only=[vrex,irmv1]"))
    assert {row for row, _ in cells} == {"vrex", "irmv1"}
    p, adjusted = (
        np.array([float(cells["irmv1", f"p_e = {e}"][key]) for e in ENVIRONMENTS]) for key in ("p_value", "p_holm")
    )
    assert adjusted == pytest.approx(holm(p)), "of the three tests that are shown"
