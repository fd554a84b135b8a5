"""Names that tell the trials of one sweep apart, wherever a command prints them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import synthetic_store
from commands import ROGUE, irm_sweeps, launch
from irm_sweeps.analysis.readings import Reading
from irm_sweeps.analysis.report.inventory import names as names_in_report
from irm_sweeps.analysis.settings import settings
from irm_sweeps.analysis.tables.notes import spelled
from irm_sweeps.commands import shown_config
from irm_sweeps.commands.shown_config import config_lines
from irm_sweeps.conf_folders import conf_dir
from irm_sweeps.naming.leaves import facts
from irm_sweeps.naming.names import label, setting_names
from irm_sweeps.store.manifest import load_manifest
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.labels import in_common, labels, setting_labels
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.wording import written

LINEAR = ["dataset=linear_unit_tests", "dataset.n_train=64", "backbone.depth=0", "training.steps=5", "device=cpu"]


def names(*overrides: str) -> list[str]:
    return list(labels(trials(overrides)).values())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["method=irmv1,vrex", "lam=1,10"], [f"{m} lam={n} seed=0" for m in ("irmv1", "vrex") for n in (1, 10)]),
        (["method=irmv1", "lam=1000001,1000002"], ["irmv1 lam=1000001.0 seed=0", "irmv1 lam=1000002.0 seed=0"]),
        (["method=irmv1", "lam=0.1234567,0.12345671"], [f"irmv1 lam={n} seed=0" for n in ("0.1234567", "0.12345671")]),
        (["method=erm", "optimizer.lr=0.1,0.01"], ["erm lr=0.1 seed=0", "erm lr=0.01 seed=0"]),
        (["method=erm", "optimizer=adam,sgd"], ["erm optimizer=adam seed=0", "erm optimizer=sgd seed=0"]),
        (
            ["method=erm", "dataset=colored_mnist,linear_unit_tests", "training.l2=0,1"],
            [f"erm dataset={d} l2={n} seed=0" for d in ("colored_mnist", "linear_unit_tests") for n in (0, 1)],
        ),
        (["method=irmv1", "method.head=penalised,risk"],
         ["irmv1 lam=10000 head=penalised seed=0", "irmv1 lam=10000 head=risk seed=0"]),
        (["method=erm", "optimizer.decay_at=[],[0.5]"], ["erm decay_at=[] seed=0", "erm decay_at=[0.5] seed=0"]),
        (["method=erm", "backbone.width=8,16", "seed=3"], ["erm width=8 seed=3", "erm width=16 seed=3"]),
        (["method=erm", "dataset.noise_gap=0,0.1"], ["erm noise_gap=0 seed=0", "erm noise_gap=0.1 seed=0"]),
        (["method=erm", "dataset.grayscale=true,false"], ["erm grayscale=true seed=0", "erm grayscale=false seed=0"]),
        (["method=erm", "dataset.grayscale=true"], ["erm grayscale seed=0"]),
        (["method=irmv1,vrex", "lam=1", "method.anneal=5"], ["irmv1 lam=1 seed=0", "vrex lam=1 seed=0"]),
        (["method=vrex,irmv1", "lam=1", "method.anneal=5,6"],
         [f"{m} lam=1 anneal={n} seed=0" for m in ("vrex", "irmv1") for n in (5, 6)]),
        (["method=erm,irmv1", "lam=1", "training.steps=5,6"],
         [f"{m} steps={n} seed=0" for m in ("erm", "irmv1 lam=1") for n in (5, 6)]),
        (["lam=1", "tuned=zip(method=[erm,irmv1],optimizer.lr=[0.1,0.2])"], ["erm seed=0", "irmv1 lam=1 seed=0"]),
        (["lam=1", "tuned=zip(method=[erm,erm,irmv1],optimizer.lr=[0.1,0.2,0.3])"],
         ["erm lr=0.1 seed=0", "erm lr=0.2 seed=0", "irmv1 lam=1 seed=0"]),
    ],
)  # fmt: skip
def test_a_name_has_the_keys_that_vary(overrides: list[str], expected: list[str]) -> None:
    assert names(*overrides) == expected


def test_one_trial_has_its_short_name() -> None:
    (trial,) = trials(["method=irmv1", "optimizer.lr=0.1"]).values()
    assert labels({trial.id: trial}) == {trial.id: label(trial.config)}
    assert labels({}) == {}


def test_every_line_of_a_papers_plan_is_another() -> None:
    for name in ("bae2021_table5", "bae2021_table1", "demo"):
        found, _ = load_paper(name).all_trials([])
        assert len(set(labels(found).values())) == len(found), name


def test_seeds_share_the_name_of_their_setting() -> None:
    grid = trials(["method=irmv1", "lam=1,10", "seed=0,1,2"])
    found = setting_labels(grid)
    assert [found[trial_id] for trial_id in grid] == ["irmv1 lam=1"] * 3 + ["irmv1 lam=10"] * 3


def test_a_setting_has_one_name_wherever_its_weights_lie() -> None:
    deep = ["dataset=cifar_mnist", "backbone=resnet18", "method=erm", "backbone.weights=imagenet"]
    here, there = (
        next(iter(trials([*deep, f"backbone.weights_path={path}", f"seed={seed}"]).items()))
        for seed, path in enumerate(("/here/r.pth", "/there/r.pth"))
    )
    assert set(setting_labels(dict([here, there])).values()) == {"erm"}


def test_a_class_without_a_yaml_has_its_own_name() -> None:
    (trial,) = trials(["method=erm"]).values()
    own = [{**trial.config, "method": {"_target_": f"{module}.Mine"}} for module in ("my", "your")]
    assert setting_names(own[:1]) == ["Mine"]
    assert setting_names(own) == ["my.Mine", "your.Mine"]


def test_a_yaml_of_ones_own_gives_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is another one's with other values, or begins with it; of one without a class nothing is told."""
    folder = tmp_path / "conf" / "method"
    folder.mkdir(parents=True)
    irmv1 = (Path(conf_dir()) / "method" / "irmv1.yaml").read_text()
    (folder / "late.yaml").write_text(re.sub(r"anneal:.*", "anneal: 7000", irmv1))
    (folder / "early.yaml").write_text("defaults: [irmv1]\nanneal: 3\n")
    (folder / "broken.yaml").write_text("_target_ [")
    monkeypatch.chdir(tmp_path)
    config = {
        c["method"]["anneal"]: c for c in (t.config for t in trials(["method=irmv1,late,early", "lam=1"]).values())
    }
    irmv1_anneal = next(anneal for anneal in config if anneal not in (7000, 3))
    chosen = {anneal: label(own) for anneal, own in config.items()}
    assert chosen == {irmv1_anneal: "irmv1 lam=1 seed=0", 7000: "late lam=1 seed=0", 3: "early lam=1 seed=0"}
    monkeypatch.chdir("/")
    assert label(config[7000]) == "irmv1 lam=1 seed=0"


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["method=erm,irmv1", "seed=0,1"],
            "dataset=colored_mnist backbone=mlp optimizer=adam optimizer.lr=0.001 training.steps=500 "
            "training.batch_size=null (full batch)",
        ),
        (
            ["dataset=linear_unit_tests", "optimizer.lr=0.1,1", "training.epochs=2", "training.batch_size=8"],
            "dataset=linear_unit_tests backbone=mlp optimizer=adam training.epochs=2 training.batch_size=8",
        ),
        (
            ["optimizer=adam,sgd", "optimizer.lr=0.1", "training.steps=5,6", "training.batch_size=8,null"],
            "dataset=colored_mnist backbone=mlp optimizer.lr=0.1",
        ),
    ],
)
def test_what_all_trials_have_in_common(overrides: list[str], expected: str) -> None:
    assert in_common(list(trials(overrides).values())) == expected


def test_several_groups_at_once() -> None:
    found = names(
        "method=erm,irmv1", "dataset=colored_mnist,linear_unit_tests", "optimizer=adam,sgd", "training.l2=0,0.1"
    )
    assert len(set(found)) == len(found) == 16


def test_a_setting_is_named_by_its_values_default_or_not() -> None:
    grid = trials(["method=irmv1", "method.head=penalised,risk", "optimizer.decay_at=[],[0.5]", "seed=0,1"])
    found = settings([Reading(trial, "missing") for trial in grid.values()])
    assert [spelled(setting.differs) for setting in found] == [
        f"method.head={head}, optimizer.decay_at={at}" for head in ("penalised", "risk") for at in ("[]", "[0.5]")
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e30, "1e+30"), (1.00000001, "1.00000001"), ([], "[]"), (None, "null"), (True, "true"),
     ("risk", "risk"), ("", '""'), ("null", '"null"'), ("two words", '"two words"')],
)  # fmt: skip
def test_a_value_is_written_so_that_no_other_reads_the_same(value: object, text: str) -> None:
    assert written(value) == text


def test_plan_progress_and_show_tell_trials_apart(tmp_path: Path) -> None:
    grid = [*LINEAR, f"results={tmp_path}", "method=erm", "optimizer.lr=0.1,0.01", "training.l2=0,0.1"]
    expected = {f"erm lr={lr} l2={l2} seed=0" for lr in ("0.1", "0.01") for l2 in ("0", "0.1")}
    planned = launch("-m", *grid, "plan=true")
    listed = dict(re.findall(r"^  (\w{16})  to run  (.*)$", planned.out, re.M))
    assert set(listed.values()) == expected
    common = (
        "dataset=linear_unit_tests backbone=mlp optimizer=adam training.steps=5 training.batch_size=null (full batch)"
    )
    assert planned.out.splitlines()[1] == f"all with {common}"

    answer = launch("-m", *grid)
    assert answer.code == 0, answer
    for trial_id, name in re.findall(r"completed (\w{16}) (.*)$", answer.out, re.M):
        assert listed[trial_id] == name
    for trial_id, name in listed.items():
        shown = irm_sweeps("show", trial_id, "--results", str(tmp_path)).out
        assert shown.startswith(f"trial {trial_id}  {name}  completed")


def test_failures_and_the_manifest_tell_trials_apart(tmp_path: Path) -> None:
    answer = launch("-m", *ROGUE, f"results={tmp_path}", "method.deed=raise", "training.l2=0,0.1")
    assert answer.code == 1
    told = irm_sweeps("failures", "--results", str(tmp_path)).out
    failed = dict(re.findall(r"^      (\w{16})  (.*)$", told, re.M))
    assert set(failed.values()) == {"Rogue l2=0 seed=0", "Rogue l2=0.1 seed=0"}
    store = Store(tmp_path)
    (name,) = sweep_names(store)
    manifest = load_manifest(store, name)
    assert {trial_id: manifest.label_of(trial_id) for trial_id in manifest.trials} == failed


def test_show_prints_the_config_what_is_not_default_first(tmp_path: Path) -> None:
    assert launch(*LINEAR, f"results={tmp_path}", "method=irmv1", "lam=100").code == 0
    (trial_id,) = Store(tmp_path).trial_ids()
    told = irm_sweeps("show", trial_id, "--results", str(tmp_path)).out
    choices, _, rest = told[told.index("config:") :].partition("\n  not default: ")
    changed, _, defaults = rest.partition("\n  default: ")
    assert choices == "config: dataset=linear_unit_tests backbone=mlp method=irmv1 optimizer=adam"
    assert changed.split() == ["dataset.n_train=64", "backbone.depth=0", "training.steps=5", "lam=100"]
    shown = {*choices.split()[1:], *changed.split(), *defaults.split()}
    assert {"method.head=penalised", "dataset.margin_noise=0.1", "training.epochs=null", "seed=0"} <= set(
        defaults.split()
    )
    (trial,) = trials([*LINEAR, "method=irmv1", "lam=100"]).values()
    assert len(shown) == len(facts(trial.config))
    assert all(len(line) <= 120 for line in told.splitlines())


def test_a_config_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    (trial,) = trials([*LINEAR, "method=irmv1", "lam=100"]).values()
    whole = config_lines(trial.config)
    monkeypatch.setattr(shown_config, "terminal_width", lambda: 80)
    narrow = config_lines(trial.config)
    assert max(map(len, narrow)) <= 80 < max(map(len, whole)) <= 120
    assert " ".join(narrow).split() == " ".join(whole).split()


def test_show_calls_nothing_default_of_a_class_that_no_yaml_names(tmp_path: Path) -> None:
    (trial,) = trials([*LINEAR, "method=erm"]).values()
    config = {**trial.config, "method": {"_target_": "mine.Own", "a\nb": 1, "text": "two words"}}
    lines = config_lines(config)
    assert lines[0] == "config: dataset=linear_unit_tests backbone=mlp method=Own optimizer=adam"
    assert "method.a b=1" in lines[1]
    assert 'method.text="two words"' in lines[1]


def test_the_report_tells_trials_of_several_sweeps_apart(tmp_path: Path) -> None:
    for lr in (0.1, 0.01):
        (trial,) = trials([*LINEAR, "method=erm", f"optimizer.lr={lr}"]).values()
        synthetic_store.write(tmp_path, synthetic_store.diverged(trial, 3))
    found = names_in_report([result for result in Store(tmp_path).results() if not isinstance(result, Problem)])
    task = "dataset=linear_unit_tests backbone=mlp"
    assert set(found.values()) == {f"erm {task} lr={lr} seed=0" for lr in ("0.1", "0.01")}
