"""What a user types wrongly: one clear line on stderr, exit code 2, no stack trace, and nothing is made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from commands import ROGUE, ROOT, SMALL, SUPPORT, Desk, irm_sweeps, launch
from irm_sweeps.errors import did_you_mean
from rogue import Deed


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


MISTAKES = {
    "lmbda=3": "unknown key `lmbda` (did you mean `lam`?)",
    "method=irmv2": "method=irmv2: no such method (did you mean `irmv1`?); choose from",
    "method=IRMv1": "method=IRMv1: no such method (did you mean `irmv1`?); choose from",
    "lam=-1": "lam=-1: input should be greater than or equal to 0",
    "lam=abc": "lam='abc': input should be a valid number",
    "experiment=lin2012": "experiment=lin2012: no such experiment (did you mean `lin2021`?); choose from bae2021",
    "experiment=my/own.yaml": "a recipe is chosen by its name, own, and found as conf/experiment/own.yaml",
    "x=zip(method=[irmv1,vrex],lam=[1,2])": "has several values, which is a sweep: python launch.py -m",
    "~lam": "~lam: `lam` is null: give it a value instead of removing it",
    "~seed": "`seed` is missing: give it a value instead of removing it",
    "~backbone": "~backbone: every trial has a backbone: choose another one, backbone=NAME",
    "seed=-1": "seed=-1: input should be greater than or equal to 0",
    "+foo=1": "unknown key `foo`",
    "method=null": "must be a string",
    "dataset.n_trian=3": "unknown key `dataset.n_trian` (did you mean `dataset.n_train`?)",
    "dataset.n_train=3000": "dataset.n_train=3000 + dataset.n_val=0 exceeds the 2000 images",
    "objective=nonsense": "objective=nonsense: write auto or RULE:SPLIT/ENVIRONMENT/METRIC",
    "objective=last:test/0.9/acuracy": "no metric 'acuracy' (did you mean `accuracy`?); there are accuracy, risk",
    "objective=best:test/0.9/accuracy": "no selection rule 'best'; there are last, val, oracle, stop",
    "device=tpu": "device=tpu: choose auto, cpu, cuda or cuda:N",
    "device=cuda:9": "device=cuda:9: this machine shows",
    "stack=0": "stack=0: give auto, or a whole number from 1 on",
    "stack=many": "stack='many': give auto, or a whole number from 1 on",
    "rerun=never": "rerun='never': input should be 'missing', 'failed', 'changed' or 'all'",
    "method._target_=nowhere.Method": "method._target_='nowhere.Method' cannot be imported",
    "method._target_=rogue.STEP_SECONDS": "is not a Method: subclass irm_sweeps.methods.method.Method",
    "paper=demo": "paper=demo is a sweep: python launch.py -m",
    "results=/proc/here": "cannot create /proc/here",
    f"results={__file__}/here": "Not a directory",
    "results=": "results='': give the path of a directory",
    "results=~nobody_of_this_name/x": "write 'results=\"~nobody_of_this_name/x\"'",
    'results="~nobody_of_this_name/x"': "this machine has no home folder for ~nobody_of_this_name",
    'method="~nobody_of_this_name/x.yaml"': "this machine has no home folder for ~nobody_of_this_name",
    "+method=vrex": "+method=vrex: every config has a method: write method=vrex",
    "dataset={foo:1}": "unknown key `dataset.foo`: ColoredMNIST has",
    "dataset=[colored_mnist,foo]": "dataset=[colored_mnist,foo]: a choice is a name; several are a sweep",
    "seed=${seed}": "seed=${seed}: it refers to itself",
    f"data_dir={__file__}": f"data_dir={__file__} is a file: give a directory",
    "lr=0.1": "unknown key `lr` (did you mean `optimizer.lr`?)",
    "learning_rate=0.1": "(did you mean `optimizer.lr`?)",
    "epochs=3": "(did you mean `training.epochs`?)",
    "batch_size=3": "(did you mean `training.batch_size`?)",
    "steps=3": "(did you mean `training.steps`?)",
    "width=3": "(did you mean `backbone.width`?)",
    "n_train=3": "(did you mean `dataset.n_train`?)",
    "weight_decay=3": "(did you mean `optimizer.weight_decay` or `training.l2`?)",
    "penalty=1": "(did you mean `lam`?)",
    "lambda=1": "unknown key `lambda` (did you mean `lam`?)",
    "+lr=0.1": "unknown key `lr` (did you mean `optimizer.lr`?)",
    "~lr": "(did you mean `optimizer.lr`?)",
    "model=mlp": "(did you mean `backbone`?)",
    "anneal=3": "(did you mean `method.anneal` of method=",
    "training.step=3": "unknown key `training.step` (did you mean `training.steps`?)",
    "training.lr=3": "(did you mean `optimizer.lr`?)",
    "trainig.steps=3": "(did you mean `training.steps`?)",
    "method.anneal=3": "unknown key `method.anneal`: ERM has no anneal; method=",
    "dataset.glove_dim=50": "ColoredMNIST has no glove_dim; dataset=punctuated_sst2 has it",
    "backbone.weights=none": "MLP has no weights; backbone=resnet18, resnet50 have it",
    "optimizer.momentum=0.9": "Adam has no momentum; optimizer=sgd has it",
    "lam=[1,10]": "several values are a sweep: -m lam=1,10",
    "device=gpu": "device=gpu: choose auto, cpu, cuda or cuda:N (did you mean `cuda`?)",
    "method=../x/my": "method=../x/my: no method has a path for a name; a YAML of your own is given with its ending",
    "method=/x/my": "method=/x/my.yaml, others by name: and_mask, birm",
    "method=": "method= is empty: give a name: and_mask, birm",
    "method._target_=Mine": "write the module that it lies in too, e.g. my_file.Mine",
    "method._target_=rogue.Rouge": "has no attribute 'Rouge' (",
    "lam=${nope}": "lam=${nope}: there is no key `nope`",
    "lam='1": '"lam=\'1" cannot be read: write lam=1',
    "lam==3": "'lam==3' cannot be read: extraneous input '='; write lam=3",
    "method=erm,": "'method=erm,' cannot be read: mismatched input '<EOF>'; write method=erm",
    "lam=10^3": "write 'lam=\"10^3\"'",
    "paper.only=[erm]": "unknown key `paper.only`: paper=NAME chooses a paper file",
    "dataset=cifar_mnist backbone=bag_of_words": "backbone=bag_of_words needs vectors, not inputs of shape [3, ",
    "--multirunn": "'--multirunn' is no option (did you mean `--multirun`?)",
    "--lr=0.1": "write KEY=VALUE, e.g. optimizer.lr=0.1",
    "--config-dir /nowhere/at/all": "--config-dir /nowhere/at/all: no such folder",
    "lam:3": "'lam:3' is no override: write KEY=VALUE, e.g. lam=3",
}


SWEEPING_MISTAKES = {
    "lmbda=3,4": "unknown key `lmbda` (did you mean `lam`?)",
    "lam=interval(1,2)": "lam=interval(1,2): an interval needs a searching sweeper, e.g. hydra/sweeper=optuna",
    "method=irmv1,vrex method.aneal=2": "unknown key `method.aneal` (did you mean `method.anneal`?)",
    "lam=1,-1": "lam=-1: input should be greater than or equal to 0",
    "paper=nope": "paper=nope: no such paper; choose from bae2021, bae2021_figure10",
    "paper=demo paper.only=[ermm]": "no row 'ermm' (did you mean `erm`?); rows: erm, irmv1",
    "paper=demo method.anneal=3": "demo, row erm: unknown key `method.anneal`",
    "paper=demo seed=range(3,0)": "demo, row erm: seed=range(3,0): range(3,0) is empty",
    "paper=my_conf/paper/next.yaml": "paper=my_conf/paper/next.yaml: a paper file is chosen by its name, next, and",
    "seed=range(3,0)": "seed=range(3,0): range(3,0) is empty",
    "lam=1;2": "'lam=1;2' cannot be read: write lam=1,2",
    "optimizer.lr=loguniform(1,2)": "optimizer.lr=loguniform(1,2): there is no loguniform(...); a list is 1,10,100",
    "lam=(1": "'lam=(1' cannot be read: extraneous input '('",
    "paper=demo method=irmv2": "method=irmv2: no such method (did you mean `irmv1`?)",
    "hydra/launcher=local hydra.launcher.slots=0": "hydra.launcher.slots=0: must be a whole number of at least 1",
    "hydra/launcher=local hydra.launcher.slotz=1": "unknown key `hydra.launcher.slotz`",
    "device=cuda:9": "device=cuda:9: this machine shows",
    "hydra/launcher=basic": "cannot run a sweep of irm_sweeps: use hydra/launcher=local, inprocess or slurm",
    "hydra/launcher=nope": "hydra/launcher=nope: no such hydra/launcher; choose from",
    "results=a,b": "one value for all trials",
    "objective=nonsense": "objective=nonsense: write auto or RULE:SPLIT/ENVIRONMENT/METRIC",
    "seed=range(0,3": "range(0,3",
    "seed=0..3": "; several values are a sweep: -m 'seed=range(0,3)' (without 3), or seed=0,3",
    "seed=0-3": "-m 'seed=range(0,3)' (without 3)",
    "seed=0:3": "-m 'seed=range(0,3)' (without 3)",
    "seed=[0,1]": "seed=[0, 1]: input should be a valid integer; several values are a sweep: -m seed=0,1",
    "method=irmv1 lam=[1,10]": "; several values are a sweep: -m lam=1,10",
    "method=irmv1 lam=1e2:1e4": "; several values are a sweep: -m lam=1e2,1e4",
    "training.steps=10-20": "-m 'training.steps=range(10,20)' (without 20), or training.steps=10,20",
    "optimizer.lr=[0.1,0.01]": "; several values are a sweep: -m optimizer.lr=0.1,0.01",
    "lr=0.1,0.2": "unknown key `lr` (did you mean `optimizer.lr`?)",
    "stack=1,2": "stack=1,2: stack takes one value for all trials of a sweep",
    "stack=1,2 compile=true,false": "compile=True,False: compile takes one value for all trials of a sweep",
    "method=erm,irmv1 method.anneal=3": "unknown key `method.anneal`: ERM has no anneal; method=",
    "method=irmv1,fishr method.on=hidden": "unknown key `method.on`: Fishr has no on; method=",
    "paper=demo paper.only=erm": "paper.only='erm': input should be a valid tuple; a list is written in brackets: "
    "'paper.only=[erm]'",
    "+paper=demo": "+paper=demo: every config has a paper: write paper=demo",
    "paper=[demo]": "paper=[demo]: a choice is a name; several are paper=ONE,OTHER",
    "paper=demo paper.only=[x]": "paper.only=[x]: no row 'x'; rows: erm, irmv1",
    "lam=1,10,": "'lam=1,10,' cannot be read: mismatched input '<EOF>'; write lam=1,10",
    "seed=choice(1,2": "write 'seed=choice(1,2)'",
    "lam=${nope}": "lam=${nope}: there is no key `nope`",
    "results=/proc/here plan=true": "results=/proc/here: cannot create /proc/here",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_trial(mistake: str, results: Path) -> None:
    typed = {word.partition("=")[0] for word in mistake.split()}
    own = [override for override in SMALL if override.partition("=")[0] not in typed]
    if "dataset" in typed:
        own = ["device=cpu"]
    answer = launch(*([] if "results=" in mistake else [f"results={results}"]), *own, *mistake.split())
    assert MISTAKES[mistake] in answer.complaint
    assert not list(results.glob("*/result.json"))


@pytest.mark.parametrize("mistake", SWEEPING_MISTAKES)
def test_a_sweep(mistake: str, results: Path) -> None:
    own = [] if "paper=" in mistake else [o for o in SMALL if o.partition("=")[0] not in mistake]
    answer = launch("-m", *([] if "results=" in mistake else [f"results={results}"]), *own, *mistake.split())
    assert SWEEPING_MISTAKES[mistake] in answer.complaint
    assert not results.exists()


def test_a_key_that_the_data_set_of_a_recipe_lacks(results: Path) -> None:
    answer = launch(f"results={results}", "experiment=lin2021", "dataset.source=embedded")
    told = "unknown key `dataset.source`: CIFARMNIST has no source; dataset=colored_mnist, colored_mnist_01 have it"
    assert told in answer.complaint


@pytest.mark.parametrize("override", ["seed=a", "seed=-1", "seed=[a]", "checkpoint_seconds=1..3"])
def test_no_sweep_is_suggested_where_none_is_meant(override: str, results: Path) -> None:
    answer = launch("-m", f"results={results}", *SMALL, override)
    assert f"{override.partition('=')[0]}=" in answer.complaint
    assert "sweep" not in answer.complaint


def test_a_real_process_prints_one_line_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    single = desk.start("lmbda=3", f"results={desk.results}")
    sweep = desk.start("-m", "lam=1,abc", f"results={desk.results}")
    assert desk.answer(single).complaint == "error: unknown key `lmbda` (did you mean `lam`?)"
    assert "lam='abc': input should be a valid number" in desk.answer(sweep).complaint
    assert not desk.results.exists()


def test_help_reads_like_documentation() -> None:
    shown = subprocess.run([sys.executable, "launch.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "python launch.py -m" in shown.stdout


def test_a_users_method_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    (tmp_path / "broken_method.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    answer = launch(f"results={results}", *SMALL, "method._target_=broken_method.Mine")
    assert "method._target_='broken_method.Mine' cannot be imported: No module named 'nothing" in answer.complaint
    assert f"({tmp_path / 'broken_method.py'})" in answer.complaint
    absent = launch(f"results={results}", *SMALL, "method._target_=not_there.Mine").complaint
    assert f"not_there was looked for in {tmp_path}" in absent


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("penaltis.gap.Gap", "penalties"),
        ("penalties.gaps.Gap", "gap"),
        ("qqqqqqqq.Gap", None),
        ("penalties.gap.Gaps", "Gap"),
    ],
)
def test_a_part_of_the_path_of_ones_own_class_that_is_misspelled(
    target: str, meant: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path
) -> None:
    (tmp_path / "penalties").mkdir()
    (tmp_path / "penalties" / "gap.py").write_text("class Gap:\n    pass\n")
    (tmp_path / "data").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    complaint = launch(f"results={results}", *SMALL, f"method._target_={target}").complaint
    assert complaint.partition("did you mean ")[2].partition("?")[0] == (f"`{meant}`" if meant else ""), complaint


def test_a_users_method_with_a_wrong_value(results: Path) -> None:
    assert str(SUPPORT) in sys.path
    answer = launch(f"results={results}", *ROGUE, "method.deed=dance")
    *deeds, last = map(repr, get_args(Deed))
    assert f"method.deed='dance': input should be {', '.join(deeds)} or {last}" in answer.complaint


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("training.steps=3 training.epochs=2", "training.steps=3 training.epochs=2: give one of them"),
        (
            "-m paper=demo method=erm",
            "method=erm: the rows of demo have methods of their own: choose rows with paper",
        ),
        ("-m paper=demo method=erm,vrex", "method=erm,vrex: the rows of demo have methods of their own"),
    ],
)
def test_what_would_train_something_else_is_refused(words: str, told: str, results: Path) -> None:
    answer = irm_sweeps("launch", *words.split(), f"results={results}")
    assert answer.code == 2
    assert told in answer.complaint
    assert not results.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lam=1 lam=2", "lam is given 2 times (lam=1 lam=2): give it once; several values are a sweep, -m lam=1,2"),
        ("lam=1 seed=0 +lam=1", "lam is given 2 times (lam=1 +lam=1): give it once"),
        ("-m seed=0,1 lam=3 ++seed=2", "seed is given 2 times (seed=0,1 ++seed=2): give it once; several values are a"),
        ("-m method=erm method=irmv1 method=rvp", "method is given 3 times (method=erm method=irmv1 method=rvp)"),
        ("-m paper=demo training.steps=1 training.steps=2", "training.steps is given 2 times"),
        ("results=a results=b", "results is given 2 times (results=a results=b): give it once"),
        ("-m hydra.launcher.slots=1 hydra.launcher.slots=2", "hydra.launcher.slots is given 2 times"),
    ],
)
def test_a_key_that_is_given_twice_is_refused(words: str, told: str, results: Path) -> None:
    where = [] if "results=" in words else [f"results={results}"]
    complaint = irm_sweeps("launch", *words.split(), *where).complaint
    assert told in complaint
    assert ("several values" in complaint) == told.startswith(("lam", "seed", "method", "training"))
    assert not results.exists()


def test_a_number_of_threads_that_is_none(trained_store: Path) -> None:
    (sweep,) = (path.name for path in (trained_store / "sweeps").iterdir())
    for threads in ("0", "-1"):
        answer = irm_sweeps("work", sweep, "--threads", threads, "--results", str(trained_store))
        assert f"--threads {threads}: give a whole number from 1 on" in answer.complaint


def test_a_key_of_the_logger_is_looked_for_in_the_one_that_is_chosen(trained_store: Path) -> None:
    words = ["export", "--logger", "tensorboard", "--results", str(trained_store), "logger.foo=1"]
    assert "unknown key `logger.foo`: TensorBoard has directory" in irm_sweeps(*words).complaint


def test_no_sweep_is_not_any_sweep(trained_store: Path) -> None:
    assert "sweep '': no such sweep" in irm_sweeps("watch", "--sweep", "", "--results", str(trained_store)).complaint


WRONG_BACKBONE = ["dataset=linear_unit_tests", "backbone=mlp,resnet18", "seed=0,1,2", "device=cpu"]


@pytest.mark.parametrize("plan", [[], ["plan=true"]], ids=["run", "plan"])
def test_a_sweep_with_trials_that_cannot_run_is_refused_whole(plan: list[str], results: Path) -> None:
    told = launch("-m", *WRONG_BACKBONE, *plan, f"results={results}").complaint
    assert "3 of 6 trials cannot run, so none was started: 3 trials of LinearUnitTests with ResNet18 and ERM: " in told
    assert "backbone=resnet18 needs images of 3 channels" in told
    assert not results.exists()


def test_a_method_for_classifiers_is_refused_a_regression(results: Path) -> None:
    regression = ["dataset=linear_unit_tests", "dataset.example=cause_effect", "backbone.depth=0", "device=cpu"]
    told = launch("-m", *regression, "method=erm,clove", f"results={results}").complaint
    assert "1 of 2 trials cannot run, so none was started: 1 trial of LinearUnitTests with MLP and CLOvE: " in told
    assert "CLOvE needs a data set with classes, which a regression has not" in told
    assert not results.exists()


def test_a_method_that_the_backbone_does_not_suit_is_refused_before_anything_is_read(results: Path) -> None:
    heads = ["dataset=cifar_mnist", "backbone=resnet18", "backbone.weights=none", "backbone.head_hidden=3,null"]
    told = launch("-m", *heads, "method=fishr", "device=cpu", f"results={results}").complaint
    assert "1 of 2 trials cannot run" in told
    assert "method=fishr needs a backbone whose head is one linear layer" in told


def test_a_plan_of_own_classes_that_break_their_contract_is_refused_in_one_line(results: Path) -> None:
    """Before anything of the plan is printed, also where others could run."""
    sweep = ["-m", f"results={results}", *ROGUE, "method._target_=wrong_turns.Wrong", "seed=0,1", "plan=true"]
    answer = launch(*sweep, "method.deed=vector,none")
    assert (answer.code, answer.out) == (2, "")
    assert "2 of 4 trials cannot run: 2 trials of ColoredMNIST with MLP and Wrong: Wrong.turn: " in answer.complaint
    fine = launch(*sweep, "method.deed=none")
    assert fine.code == 0
    assert "a few steps here" in fine.out


def test_a_plan_ends_with_an_error_code_where_a_trial_cannot_run(results: Path) -> None:
    sweep = ["-m", f"results={results}", *ROGUE, "method._target_=wrong_turns.Wrong", "seed=0,1", "plan=true"]
    answer = launch(*sweep, "method.deed=exit")
    assert answer.code == 1
    assert "2 trials cannot run or be priced: the trial's own code called " in answer.out


def test_settings_are_checked_also_where_all_is_done(results: Path) -> None:
    trial = [f"results={results}", *SMALL]
    assert launch(*trial).code == 0
    assert "device=gpu: choose" in launch(*trial, "device=gpu").complaint
    assert "this machine shows" in launch("-m", *trial, "device=cuda:99").complaint
    assert "is a file: give a directory" in launch(*trial, f"data_dir={__file__}").complaint


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["trial", "sweep"])
def test_a_trial_that_does_not_fit_in_memory_fails_in_one_line(mode: list[str], results: Path) -> None:
    answer = launch(*mode, f"results={results}", *SMALL, "backbone.width=1000000000000")
    assert answer.code == 1
    assert "out of memory (tried to allocate" in answer.out
    assert "at training.batch_size=null: " in answer.out
    assert "a smaller training.batch_size takes less" in answer.out
    assert "Traceback" not in answer.out + answer.err
    (result,) = results.glob("*/result.json")
    assert json.loads(result.read_text())["error"]["details"] == ""


def test_failures_lists_diverged_trials_apart(results: Path) -> None:
    sweep = [
        "-m",
        f"results={results}",
        *SMALL,
        "method=vrex",
        "optimizer=sgd",
        "optimizer.lr=1e20",
        "lam=1",
        "seed=0,1",
    ]
    launched = launch(*sweep)
    assert "which 2 trials diverged: irm-sweeps failures" in launched.out
    told = irm_sweeps("failures", "--results", str(results)).out
    assert "no failed trials" in told
    assert "2 trials diverged: an objective was no longer finite" in told
    for trial in results.glob("*/result.json"):
        assert f"{trial.parent.name}  vrex lam=1 seed=" in told


def test_a_sweep_that_is_done_says_how_to_see_it(results: Path) -> None:
    sweep = ["-m", "paper=demo", "paper.only=[erm]", "seed=0", *SMALL, f"results={results}"]
    run, again = launch(*sweep), launch(*sweep)
    (trial,) = results.glob("*/result.json")
    for answer in (run, again):
        assert f"irm-sweeps show {trial.parent.name} --results {results}" in answer.out
        assert (
            f"table: python analysis/tables.py --paper demo --results {results} 'paper.only=[erm]' seed=0" in answer.out
        )
    assert "1 trial, 1 worker" in run.out


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("irm", " (did you mean `irm_games`, `irmv1` or `irmx`?)"),
        ("irmv", " (did you mean `irmv1`?)"),
        ("vrx", " (did you mean `vrex`?)"),
        ("zzzzz", ""),
    ],
)
def test_all_of_a_few_names_that_begin_with_the_typed_one_are_suggested(typed, meant):
    assert did_you_mean(typed, ["irmv1", "irmx", "irm_games", "vrex", "erm"]) == meant
