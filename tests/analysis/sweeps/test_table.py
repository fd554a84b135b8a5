"""A sweep's table from made-up results: means in closed form, losses, columns, the best settings, every format."""

from __future__ import annotations

import csv
import io
import re

import pytest

import synthetic_store as synthetic
from commands import irm_sweeps
from irm_sweeps.analysis.text_grid import TextRow, grid, wrapped
from irm_sweeps.sweep.grid import trials

SWEEP = ["method=irmv1,vrex", "lam=1,100", "seed=range(0,3)", "dataset.source=embedded"]


@pytest.fixture(autouse=True)
def _quick(composed_once, tmp_path, monkeypatch):
    """Compose each config once a module; work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def fill(tmp_path, accuracy, validation=None, overrides=SWEEP, lost=()):
    """Write results; `lost` are functions from a trial to its result, or None to complete it."""
    for trial in trials(overrides).values():
        result = next((made for make in lost if (made := make(trial))), None)
        if result != "missing":
            held_out = None if validation is None else validation(trial)
            synthetic.write(tmp_path / "results", result or synthetic.completed(trial, accuracy, held_out))


def better_with_lam(trial, environment):
    """On 0.9 V-REx is better, and more so with lam; elsewhere all are alike. Seeds spread by 0.1."""
    base = 0.2 + (0.2 if "vrex" in str(trial.method.target).lower() else 0) + (0.1 if trial.lam == 100 else 0)
    return (base if environment == "0.9" else 0.5) + 0.1 * trial.seed


def table(*words):
    answer = irm_sweeps("table", *words)
    assert answer.code == 0, answer
    return answer.out


def test_seeds_are_pooled_in_closed_form(tmp_path):
    fill(tmp_path, better_with_lam)
    out = table(*SWEEP)
    # 0.1 steps: mean is the middle seed's, sd is exactly 10 points
    assert re.search(r"vrex lam=100 +85.0 ± 0.0 +60.0 ± 10.0 +60.0 ± 10.0 +60.0 ± 10.0 +3$", out, re.M), out
    assert re.search(r"irmv1 lam=1 +85.0 ± 0.0 +60.0 ± 10.0 +60.0 ± 10.0 +30.0 ± 10.0 +3$", out, re.M), out


def test_training_like_and_shifted_environments_are_told_apart(tmp_path):
    fill(tmp_path, better_with_lam)
    groups, environments = table(*SWEEP).splitlines()[2:4]
    assert groups.split() == ["train", "test", "shifted"]
    assert environments.split() == ["mean", "0.1", "0.2", "0.9", "n"]
    assert groups.index("shifted") == environments.index("0.9")


def test_the_best_is_named_by_held_out_images_and_by_the_oracle(tmp_path):
    fill(tmp_path, better_with_lam, lambda trial: 0.8 if trial.lam == 1 else 0.7)
    answer = " ".join(table(*SWEEP).split("\n\n")[2].split())
    assert answer == (
        "Best by accuracy on held-out images of the training environments: irmv1 lam=1 (shifted 0.9: 30.0 ± 10.0), the "
        "first of 2 that are equal; by the test oracle, which looks at the shifted environment: vrex lam=100 "
        "(shifted 0.9: 60.0 ± 10.0)."
    )


def test_without_held_out_images_it_is_said_that_training_images_decide(tmp_path):
    fill(tmp_path, better_with_lam)
    assert "on the training images (none are held out; dataset.n_val=N holds some back)" in " ".join(
        table(*SWEEP).split()
    )


def test_a_setting_that_lost_a_seed_is_shown_with_its_losses_and_not_ranked(tmp_path):
    def lose(trial):
        if trial.lam == 100 and "vrex" in str(trial.method.target).lower():
            return [synthetic.failed(trial, "boom"), synthetic.diverged(trial, 7), None][trial.seed]
        return "missing" if trial.lam == 100 and trial.seed == 0 else None

    fill(tmp_path, better_with_lam, lost=[lose])
    out = table(*SWEEP)
    assert re.search(r"vrex lam=100 +85.0 .* 70.0 +1\n? +1 failed, 1 diverged$", out, re.M), out
    assert re.search(r"irmv1 lam=100 .* 2 +1 not run$", out, re.M), out
    assert max(map(len, out.split("not run yet")[0].splitlines())) <= 80
    assert "Not ranked, since seeds have no value: 2 settings." in out
    assert "the shifted environment: vrex lam=1 (shifted 0.9: 50.0 ± 10.0)" in " ".join(out.split())
    command = out.splitlines()[-1].removeprefix("not run yet; this trains the rest: ")
    assert command.endswith("launch -m method=irmv1,vrex lam=1,100 'seed=range(0,3)' dataset.source=embedded"), command
    assert table(*SWEEP, "--missing") == f"{command} rerun=failed\n"


def test_nothing_measured_is_a_table_too(tmp_path):
    out = table(*SWEEP)
    assert "4 settings, nothing measured" in out
    assert len(re.findall(r"0 +3 not run$", out, re.M)) == 4


def test_trained_and_not_selected_is_not_unmeasured(tmp_path):
    fill(tmp_path, better_with_lam)
    out = table(*SWEEP, "--select", "val")
    assert "4 settings, nothing selected by rule val" in out
    assert "Not selected: 12 trials done" in out
    assert "train with dataset.n_val=N, or --select last" in " ".join(out.split())
    assert "not run" not in out


def test_settings_on_other_data_are_not_ranked_with_each_other(tmp_path):
    overrides = [*SWEEP[1:], "method=irmv1", "dataset.grayscale=false,true"]
    fill(tmp_path, lambda t, e: 0.9 if t.dataset.grayscale else better_with_lam(t, e), overrides=overrides)
    answer = table(*overrides).split("\n\n")[2]
    assert answer.startswith("Best of the settings on the same data, by accuracy")
    assert "- irmv1 lam=1 grayscale=false" in answer
    assert "- irmv1 lam=1 grayscale=true (shifted 0.9: 90.0 ± 0.0), the first of 2" in " ".join(answer.split())


def test_what_is_best_on_each_dataset_is_a_list_below_its_sentence(tmp_path):
    overrides = [*SWEEP[1:], "method=irmv1", "dataset.grayscale=false,true"]
    fill(tmp_path, better_with_lam, overrides=overrides)
    out = table(*overrides, "--format", "md")
    assert re.search(r"^- Best of .*:\n  - irmv1 lam=\d+ grayscale=false .*\n  - irmv1 ", out, re.M)
    assert "- - " not in out
    assert len(re.findall("<li class=under>irmv1 lam=", table(*overrides, "--format", "html"))) == 2


def test_of_several_datasets_one_with_several_settings_needs_no_list(tmp_path):
    overrides = ["method=irmv1", "x=zip(lam=[1,100,100],dataset.grayscale=[false,false,true])", "seed=0,1,2"]
    fill(tmp_path, better_with_lam, overrides=overrides)
    answer = " ".join(table(*overrides).split("\n\n")[2].split())
    assert answer.startswith("Best of the settings on the same data, by ")
    assert re.search(r"holds some back\): irmv1 lam=\d+ grayscale=false", answer)


def test_rows_that_are_not_run_name_the_note_that_says_how(tmp_path):
    fill(tmp_path, better_with_lam, overrides=[*SWEEP, "seed=0"])
    rest = table(*SWEEP, "--format", "md")
    assert "- [1] not run yet; this trains the rest: `" in rest
    assert len(re.findall(r"^\| \w+ lam=.*\(2 not run\) \[1\] ", rest, re.M)) == 4
    assert "[1]" not in table(*SWEEP, "seed=0", "--format", "md")


def test_lines_fit_80_columns_and_no_number_is_cut(tmp_path):
    overrides = [*SWEEP, "dataset.noise_gap=0,0.12345", "optimizer.lr=0.001,0.0123456", "training.l2=0.0012345,0"]
    fill(tmp_path, better_with_lam, lambda trial: 0.8, overrides=overrides)
    lines = table(*overrides).splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("60.0 ± 10.0  60.0 ± 10.0" in line for line in lines) == 32


def test_each_format_has_the_same_numbers(tmp_path):
    fill(tmp_path, better_with_lam)
    assert "| vrex lam=100  | 85.0 ± 0.0 (n=3) | 60.0 ± 10.0 (n=3) |" in table(*SWEEP, "--format", "md")
    assert r"vrex lam=100 & 85.0 $\pm$ 0.0 & 60.0 $\pm$ 10.0 &" in table(*SWEEP, "--format", "latex")
    assert "60.0 ± 10.0 (n=3)" in re.sub("<[^>]*>", "", table(*SWEEP, "--format", "html"))
    records = {
        (record["setting"], record["group"], record["environment"]): record
        for record in csv.DictReader(io.StringIO(table(*SWEEP, "--format", "csv")))
    }
    record = records["vrex lam=100", "shifted", "0.9"]
    assert (float(record["mean"]), float(record["sd"])) == (pytest.approx(60), pytest.approx(10))
    assert (record["n"], record["seeds"], record["failed"], record["diverged"]) == ("3", "3", "0", "0")
    table(*SWEEP, "--output", "sweep.tex")
    assert (tmp_path / "sweep.tex").read_text() == table(*SWEEP, "--format", "latex")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "no sweep has been launched in results: "),
        (["--sweep", "sweep-01234567"], "sweep 'sweep-01234567': no such sweep in "),
        (["--results", "nope.zip"], "--results nope.zip: no such file; give an archive that irm-sweeps pack wrote"),
        (["lan=3"], "unknown key `lan` "),
        (["method=irmv2"], "did you mean"),
        (["--sweep", "a", "lam=3"], "--sweep a lam=3: a sweep's name says which trials: leave lam=3 out"),
        (["--sweep", "a", "--paper", "demo"], "--sweep a --paper demo: give one of them"),
        (["--fail-on", "differs"], "--fail-on differs: of which paper? add --paper NAME"),
        (["--table", "1"], "--table 1: of which paper? add --paper NAME"),
        (["lam=3", "--output", "a.docx"], "--output a.docx: give a file that ends in "),
    ],
)
def test_a_mistake_is_one_line(words, complaint):
    assert complaint in irm_sweeps("table", *words).complaint


def test_settings_are_compared_with_one_of_them_by_seed(tmp_path):
    """V-REx is 20 points better at 0.9, and 10 more with lam=100, on every seed but one, which is missing."""
    sweep = [*SWEEP[:2], "seed=range(0,4)", SWEEP[3]]

    def lost(trial):
        return synthetic.diverged(trial, 4) if "vrex" in str(trial.method.target).lower() and trial.seed == 3 else None

    fill(tmp_path, better_with_lam, overrides=sweep, lost=[lost])
    typed = [*sweep, "--against", "irmv1 lam=1"]
    records = {(r["row"], r["column"]): r for r in csv.DictReader(io.StringIO(table(*typed, "--format", "csv")))}
    found = records["vrex lam=100", "shifted 0.9"]
    assert (float(found["difference"]), found["pairs"], found["verdict"]) == (pytest.approx(30), "3", "higher")
    assert records["vrex lam=1", "test 0.1"]["verdict"] == "no difference shown"
    assert records["irmv1 lam=1", "shifted 0.9"]["verdict"] == ""
    text = table(*typed)
    assert "Difference: the row minus irmv1 lam=1 in the same column" in text
    assert "if no setting differed from irmv1 lam=1" in text
    assert "(did you mean `vrex lam=1`?)" in irm_sweeps("table", *typed[:-1], "vrex lam=2").complaint


def test_results_without_a_sweep_are_one_table(tmp_path):
    fill(tmp_path, better_with_lam)
    assert irm_sweeps("pack", "-o", "lam.zip").code == 0
    own, packed = table(), table("--results", "lam.zip")
    assert own.startswith("results: accuracy in %")
    assert packed.startswith("lam.zip: accuracy in %")
    assert own.splitlines()[1:] == packed.splitlines()[1:]
    rows = re.findall(r"^(\w+ lam=\d+) ", packed, re.M)
    assert rows == ["irmv1 lam=1", "irmv1 lam=100", "vrex lam=1", "vrex lam=100"]


def test_no_command_writes_into_an_archive(tmp_path):
    fill(tmp_path, better_with_lam)
    irm_sweeps("pack", "-o", "lam.zip")
    out = table(*SWEEP, "method.anneal=7", "--results", "lam.zip")
    assert "this trains the rest: " in out
    assert "results=" not in out


def test_a_note_and_a_list_s_line_go_on_below_their_first_word():
    assert wrapped("[12] one two three", 12) == ["[12] one two", "     three"]
    assert wrapped("- one two three", 10) == ["- one two", "  three"]
    assert wrapped("one two three", 8, "  ") == ["  one", "  two", "  three"]


def test_a_label_is_wrapped_between_its_words():
    label = "irmv1 lam=91257.1861 dataset.grayscale=false"
    lines = grid([["n"]], [TextRow(label, ["10"])], 20)
    assert " ".join(lines[1:]).replace(" 10", "").split() == label.split()
