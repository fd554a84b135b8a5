"""A sweep's grid: Hydra's grammar, with each combination composed once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from irm_sweeps import compose as composing
from irm_sweeps import conf_folders
from irm_sweeps.compose import compose
from irm_sweeps.errors import UnknownChoice, UserError
from irm_sweeps.sweep import grid
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.grid import expand, last_wins, trials
from irm_sweeps.sweep.paper import load_paper


def values(key: str, *overrides: str) -> list[Any]:
    found = []
    for config in expand(overrides):
        node: Any = config
        for part in key.split("."):
            node = node[part]
        found.append(node)
    return found


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("lam=3", [3]),
        ("lam=1,2.5,1e3", [1, 2.5, 1000.0]),
        ("seed=range(0,3)", [0, 1, 2]),
        ("seed=range(1,10,4)", [1, 5, 9]),
        ("seed=choice(7,9)", [7, 9]),
        ("seed=sort(3,1,2)", [1, 2, 3]),
        ("lam=int(1.9),float(2)", [1, 2.0]),
        ("dataset.p_e=[0.3,0.1]", [[0.3, 0.1]]),
        ("dataset.p_e=[0.3,0.1],[0.2,0.1]", [[0.3, 0.1], [0.2, 0.1]]),
        ("data_dir='a, b','c'", ["a, b", "c"]),
        ("data_dir='plain words'", ["plain words"]),
        ("dataset.n_train=null,50", [None, 50]),
        ("dataset.grayscale=true,false", [True, False]),
        ("training={steps: 3, l2: 0.5}", [{"steps": 3, "l2": 0.5}]),
    ],
)
def test_hydras_grammar(override: str, expected: list[Any]) -> None:
    found = values(override.partition("=")[0], override)
    if isinstance(expected[0], dict):
        found = [{key: own[key] for key in expected[0]} for own in found]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_choices_of_a_group_by_name_and_by_pattern() -> None:
    targets = values("method._target_", "method=glob(*rex)")
    assert [target.rpartition(".")[2] for target in targets] == ["MMREx", "VREx"]
    assert len(values("method._target_", "method=glob(*,exclude=m*)")) > 2


def test_the_last_override_changes_fastest() -> None:
    found = [(config["lam"], config["seed"]) for config in expand(["lam=1,2", "seed=0,1"])]
    assert found == [(1, 0), (1, 1), (2, 0), (2, 1)]


AXES = {
    "method": ["erm", "irmv1", "erm,vrex", "vrex,mm_rex,irmv1"],
    "lam": ["3", "1,10", "1e2,0.5,7"],
    "seed": ["range(0,3)", "4", "1,2"],
    "training.steps": ["5", "choice(3,4)"],
    "training.batch_size": ["null,8", "16"],
    "dataset.p_e": ["[0.3,0.1]", "[0.3,0.1],[0.2,0.2]"],
    "dataset.grayscale": ["true,false"],
    "method.risk": ["sum", "mean,sum"],
    "data_dir": ["'a b'", "x", "${oc.env:HOME}"],
    "optimizer": ["sgd", "adam,sgd"],
    "dataset": ["colored_mnist"],
    "backbone.width": ["${seed}", "8,16"],
}


def by_hydra(overrides: list[str]) -> list[dict[str, Any]]:
    """What Hydra's basic sweeper runs: each combination composed by itself."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_overrides(overrides)
    batches = BasicSweeper.split_arguments(parsed, None)
    return [compose(job) for batch in batches for job in batch]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_expansion_equals_hydras_own(data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from(sorted(AXES)), max_size=4, unique=True))
    overrides = [f"{key}={data.draw(st.sampled_from(AXES[key]))}" for key in keys]
    assert list(expand(overrides)) == by_hydra(overrides)


@pytest.fixture
def own_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's own folder of YAMLs."""
    (tmp_path / "config.yaml").write_text("defaults: [_self_, {method: plain}]\nlam: 1\nwarm: ${lam}\nname: x\n")
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "plain.yaml").write_text("weight: ${lam}\nkind: plain_${name}\n")
    for module in (composing, conf_folders):
        monkeypatch.setattr(module, "conf_dir", lambda: tmp_path)
    return tmp_path


def test_what_refers_to_another_key_follows_it(own_conf: Path) -> None:
    found = list(expand(["lam=5,6", "name=a,b"]))
    assert [(c["warm"], c["method"]["weight"], c["method"]["kind"]) for c in found] == [
        (5, 5, "plain_a"),
        (5, 5, "plain_b"),
        (6, 6, "plain_a"),
        (6, 6, "plain_b"),
    ]


def test_a_reference_to_nothing_is_the_users_mistake(own_conf: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        list(expand(["name=${nowhere}"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lmbda=1,2", r"unknown key `lmbda` \(did you mean `lam`\?\)"),
        ("trainig.steps=1,2", r"unknown key `trainig.steps`"),
        ("dataset.n_trian=1,2", r"unknown key `dataset.n_trian` \(did you mean `dataset.n_train`\?\)"),
        ("lam.x=1", r"unknown key `lam.x`"),
        ("lam=interval(1,2)", r"lam=interval\(1,2\): an interval needs a searching sweeper"),
        ("seed=range(0,3", "seed|range"),
        ("method=nothing,erm", "method=nothing: no such method"),
        ("method=null", "method|group"),
    ],
)
def test_a_wrong_override_is_explained(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(expand([override]))


def test_of_two_layers_the_last_wins_at_the_place_of_the_first() -> None:
    assert last_wins(["a=1", "b=2"], ["+c=3"], ["b=5,6", "c=4"]) == ["a=1", "b=5,6", "c=4"]


def test_equal_trials_are_one_trial() -> None:
    assert len(trials(["method=erm", "lam=1,2", "seed=0,0"])) == 1


def test_ten_thousand_trials_are_planned_with_two_compositions(monkeypatch: pytest.MonkeyPatch) -> None:
    composed = []

    def counting(overrides: Any, *, resolve: bool) -> Any:
        composed.append(overrides)
        return compose(overrides, resolve=resolve)

    monkeypatch.setattr(grid, "compose", counting)
    planned = trials(["method=irmv1,vrex", "lam=range(1,101)", "seed=range(0,50)"])
    assert len(planned) == 10_000
    assert len(composed) == 2


def test_a_paper_is_a_union_in_which_each_trial_stands_once() -> None:
    paper = load_paper("demo")
    union, settings_, label = collect(["paper=demo"])
    single = [trials(paper.cell_overrides(row, paper.columns[0])) for row in paper.rows.values() if row.sweep]
    assert list(union) == [trial_id for row in single for trial_id in row]
    assert label == "demo"
    assert settings_.rerun == "missing"


def test_the_users_overrides_win_over_the_papers() -> None:
    union, settings_, _ = collect(["paper=demo", "paper.only=[erm,vrex]", "seed=7", "results=elsewhere"])
    assert sorted(type(trial.method).__name__ for trial in union.values()) == ["ERM", "VREx"]
    assert {trial.seed for trial in union.values()} == {7}
    assert settings_.results.name == "elsewhere"


def test_a_row_that_cannot_be_run_is_named_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from irm_sweeps.sweep.paper import Paper

    def without_vrex(self: Paper, row: Any, column: Any, user: Any = ()) -> Any:
        if row.label == "V-REx":
            raise UnknownChoice("method=vrex: no such method")
        return trials(self.cell_overrides(row, column, user))

    monkeypatch.setattr(Paper, "cell_trials", without_vrex)
    union, _, _ = collect(["paper=demo", "seed=0"])
    assert len(union) == 3
    assert capsys.readouterr().err == "demo: row vrex is left out: method=vrex: no such method\n"
    with pytest.raises(UserError, match="paper=demo: none of the rows can be run"):
        collect(["paper=demo", "paper.only=[vrex]"])


def test_the_users_own_unknown_choice_is_no_missing_row() -> None:
    with pytest.raises(UserError, match="method=irm: no such method"):
        collect(["paper=demo", "method=irm"])


def test_settings_are_one_value_for_the_whole_sweep() -> None:
    with pytest.raises(UserError, match="one value for all trials"):
        collect(["results=a,b", "seed=0"])
