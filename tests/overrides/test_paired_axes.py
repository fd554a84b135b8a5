"""Paired axes, `x=zip(KEY=[...],KEY=[...])`: rows of values, one axis of a grid."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from commands import launch
from irm_sweeps.errors import UserError
from irm_sweeps.overrides.paired_axes import as_typed, hidden, members
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.grid import last_wins, trials

PAIR = "x=zip(method=[irmv1,vrex],lam=[1e4,1e3])"


def ids(*overrides: str) -> list[str]:
    return list(trials(overrides))


def test_values_go_together_and_the_pair_is_one_axis() -> None:
    rows = [("irmv1", "1e4"), ("vrex", "1e3")]
    expected = [id for method, lam in rows for id in ids(f"method={method}", f"lam={lam}", "seed=0,1")]
    assert ids(PAIR, "seed=0,1") == expected


def test_pairs_multiply() -> None:
    found = ids(PAIR, "y=zip(seed=[0,1,2],optimizer.lr=[0.1,0.2,0.3])")
    assert found[:2] == ids("method=irmv1", "lam=1e4", "y=zip(seed=[0,1],optimizer.lr=[0.1,0.2])")
    assert len(found) == 6


@pytest.mark.parametrize(
    "pair",
    [
        "x=zip(seed=range(0,2),lam=choice(1,2))",
        "x=zip( seed = [0, 1] , lam=[1, 2] )",
        "x=zip(seed=sort(1,0),lam=[1,2])",
    ],
)
def test_other_spellings(pair: str) -> None:
    assert ids("method=vrex", pair) == [*ids("method=vrex", "seed=0", "lam=1"), *ids("method=vrex", "seed=1", "lam=2")]


def test_lists_and_texts_may_be_values() -> None:
    pair = "x=zip(dataset.p_e=choice([0.2,0.1],[0.3,0.1]),seed=[4,5])"
    assert ids(pair) == [*ids("dataset.p_e=[0.2,0.1]", "seed=4"), *ids("dataset.p_e=[0.3,0.1]", "seed=5")]
    assert members(r"""x=zip(a=['p, )',q],b=["r\"",s])""") == ["a=choice('p, )',q)", r'b=choice("r\"",s)']


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["x=zip(method=[irmv1,vrex],lam=[1])"], "different numbers of values (method 2, lam 1): give each"),
        (["x=zip(method=[irmv1,vrex],lamm=[1,2])"], "unknown key `lamm` (did you mean `lam`?)"),
        (["x=zip(method=[irmv1,vrx],lam=[1,2])"], "method=vrx: no such method (did you mean `vrex`?)"),
        ([PAIR, "lam=3"], f"{PAIR}: lam stands in lam=3 too: leave one of them out"),
        ([PAIR, "y=zip(lam=[1,2],seed=[1,2])"], f"{PAIR}: lam stands in y=zip(lam=[1,2],seed=[1,2]) too"),
        ([PAIR, PAIR.replace("method", "seed").replace("lam", "optimizer.lr")], "x stands in x=zip("),
        (["lam=zip(method=[irmv1,vrex],seed=[1,2])"], "lam is a key: give the pair a name of its own"),
        (["method=zip(lam=[1,2],seed=[1,2])"], "method is a key: give the pair a name of its own"),
        (["a.b=zip(lam=[1,2],seed=[1,2])"], "a.b is no name"),
        (["x=zip(method=irmv1,vrex,lam=1,2)"], "method=irmv1 is one value: write method=[...]"),
        (["x=zip([irmv1,vrex],lam=[1,2])"], "'[irmv1,vrex]' is no KEY=[...]"),
        (["x=zip(lam=[1,2])"], "it pairs at least two keys"),
        (["x=zip(lam=[],seed=[])"], "lam=[] is empty"),
        (["x=zip(lam=[1,2],lam=[3,4])"], "lam stands in it twice"),
        (["x=zip(lam=[1,2],seed=[1,2]"], "its brackets do not match"),
        (["x=zip(y=zip(lam=[1,2],seed=[1,2]),seed=[1,2])"], "is a pair in a pair"),
        (["x=zip(lam=shuffle(1,2),seed=[1,2])"], "lam=shuffle(1,2) has no order"),
        (["x=zip(lam=interval(1,2),seed=[1,2])"], "lam=interval(1,2) has no order"),
        (["x=shuffle(zip(lam=[1,2],seed=[1,2]))"], "not around zip(...)"),
        (["x=zip(device=[cpu,cuda],seed=[1,2])"], "device is one for all trials of a sweep"),
        (["x=zip(hydra.launcher.slots=[1,2],seed=[1,2])"], "hydra.launcher.slots is one for all trials"),
    ],
)
def test_a_mistake_is_named_with_its_fix(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        ids(*overrides)


@pytest.mark.parametrize("pair", [PAIR, r"""x=zip(a=['it\'s',"q"],b=[\\,1])"""])
def test_hydras_parser_gets_a_text_and_we_get_it_back(pair: str) -> None:
    assert hidden(pair) != pair
    assert as_typed([hidden(pair), "lam=1"]) == [pair, "lam=1"]


def test_a_searching_sweeper_refuses_a_pair() -> None:
    with pytest.raises(UserError, match="a searching sweeper takes no paired axes"):
        ids(hidden(PAIR))


def test_a_pair_wins_over_a_papers_values() -> None:
    assert last_wins(["lam=1", "seed=2"], ["x=zip(lam=[1,2],optimizer.lr=[1,2])"]) == [
        "seed=2",
        "x=zip(lam=[1,2],optimizer.lr=[1,2])",
    ]
    pair = "x=zip(training.l2=[0,1],optimizer.lr=[0.1,0.2])"
    found, _, _ = collect(["paper=demo", "paper.only=[vrex]", "seed=0", pair])
    assert {(t.training.l2, t.optimizer.lr) for t in found.values()} == {(0, 0.1), (1, 0.2)}  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="method=vrx: no such method"):
        collect(["paper=demo", "x=zip(method=[erm,vrx],seed=[0,1])"])


def test_what_is_printed_can_be_typed_again(tmp_path: Path) -> None:
    words = ["-m", PAIR, "dataset.source=embedded", "training.steps=0", f"results={tmp_path}"]
    first = launch(*words)
    assert "2 completed" in first.out, first.out + first.err
    (manifest,) = tmp_path.glob("sweeps/*/manifest.json")
    assert shlex.quote(PAIR) in manifest.read_text()
    again = launch(*words)
    assert "2 done, 0 to run" in again.out
