"""The contract suite on a user's method that needs environments of equal size: the advice that it gives."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from irm_sweeps.commands.init import create
from irm_sweeps.methods.batch import Batch
from irm_sweeps.methods.groupdro import LOG_WEIGHTS, GroupDRO
from irm_sweeps.methods.method import Point, Turn
from irm_sweeps.methods.rex import VREx
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.testing.objectives import ObjectiveContract
from irm_sweeps.training import moves

METHODS = """
from typing import ClassVar

from irm_sweeps.methods.penalized import Penalized


class Naive(Penalized):
    reference: ClassVar[str] = "a test"

    def penalty(self, at, features, logits, risks):
        return at.batch.by_environment(logits).mean(1).var(correction=0)


class Sums(Naive):
    def penalty(self, at, features, logits, risks):
        return at.batch.each(lambda own: own.square().sum(), logits).mean()

class Spread(Naive):
    def penalty(self, at, features, logits, risks):
        return at.batch.each(lambda own: own.std(0).sum(), logits).mean()
"""

SUITE = """
from irm_sweeps.testing.methods import MethodContract


class TestTold(MethodContract):
    cases = {"naive": ["method=naive"], "sums": ["method=sums"]}


class TestExcused(TestTold):
    equal_only = {"naive": "a naive one"}
    size_matters = {"sums": "its penalty grows with the images"}
"""


def test_a_method_for_equal_environments_is_told_how_to_say_so(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / "methods" / "naive.py").write_text(METHODS)
    yaml = (tmp_path / "conf" / "method" / "risk_gap.yaml").read_text()
    for name in ("Naive", "Sums"):
        own = yaml.replace("risk_gap.RiskGap", f"naive.{name}")
        (tmp_path / "conf" / "method" / f"{name.lower()}.yaml").write_text(own)
    (tmp_path / "tests" / "test_methods.py").write_text(SUITE)
    words = [sys.executable, "-m", "pytest", "-q", "-rfs", "-k", "unequal or however_large", "tests/test_methods.py"]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    failed = set(re.findall(r"^FAILED \S+::(\w+)::(\w+)\[(\S+)\]", answer.stdout, re.M))
    assert failed == {
        ("TestTold", "test_an_environment_weighs_the_same_however_large", "naive"),
        ("TestTold", "test_an_environment_weighs_the_same_however_large", "sums"),
        ("TestTold", "test_unequal_environments_train", "naive-null"),
        ("TestTold", "test_unequal_environments_train", "naive-50"),
    }
    for line in (
        "ValueError: environments of [60, 60, 40] images do not form one tensor",
        "naive: make it train on environments of unequal size, with `means`, `split` or `each` of `at.batch`; or",
        "    equal_only = {'naive': '...'}",
        "    size_matters = {'sums': '...'}",
    ):
        assert re.search(f"^E +{re.escape(line.strip())}", answer.stdout, re.M), (line, answer.stdout)
    assert answer.stdout.count("a naive one") == 2, "its reason stands in the report"


def test_a_method_that_is_nan_for_one_image_is_told_how_to_say_so(tmp_path: Path) -> None:
    create(tmp_path)
    (tmp_path / "methods" / "naive.py").write_text(METHODS)
    yaml = (tmp_path / "conf" / "method" / "risk_gap.yaml").read_text()
    (tmp_path / "conf" / "method" / "spread.yaml").write_text(yaml.replace("risk_gap.RiskGap", "naive.Spread"))
    suite = SUITE.partition("class TestExcused")[0].replace('"naive": ["method=naive"], "sums": ["method=sums"]', "{}")
    suite = suite.replace("cases = {{}}", 'cases = {"spread": ["method=spread"]}')
    excuse = 'class TestExcused(TestTold):\n    needs_several_images = {"spread": "one image has no spread"}\n'
    (tmp_path / "tests" / "test_methods.py").write_text(suite + excuse)
    words = [sys.executable, "-m", "pytest", "-q", "-rfs", "-k", "one_image", "tests/test_methods.py"]
    answer = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert set(re.findall(r"^FAILED \S+::(\w+)::", answer.stdout, re.M)) == {"TestTold"}, answer.stdout
    assert "needs_several_images = {'spread': '...'}" in answer.stdout
    assert "one image has no spread" in answer.stdout


def test_a_penalty_without_a_gradient_is_told_where_to_look(
    make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Told(ObjectiveContract):
        cases = {"vrex": ["method=vrex"]}

    def check() -> None:
        Told().test_each_player_s_gradient_is_that_of_its_objective("vrex", make_trial, training)

    check()
    plain = VREx.penalty
    monkeypatch.setattr(VREx, "penalty", lambda *arguments: plain(*arguments).detach())
    with pytest.raises(AssertionError, match=r"of 'model' for '\S+' is not that of its objective: look for detach"):
        check()


def test_a_batch_of_unequal_environments_names_what_takes_them() -> None:
    batch = Batch(torch.zeros(5, 2), torch.zeros(5), 2, (3, 2))
    with pytest.raises(ValueError, match=r"of \[3, 2\] images .* `means`, `split` or `each` of the batch instead of"):
        batch.by_environment(batch.labels)


class Showing(GroupDRO):
    """GroupDRO that logs its weights as they are: the parameter, and a number computed from it."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        turn = super().turn(at, moving)
        own = at.parameters[LOG_WEIGHTS]
        return Turn(turn.objectives, {**turn.log, "own": own, "a view": own.detach()[:1], "computed": own * 1})


@pytest.mark.parametrize("way", ["alone", "stacked", "compiled"])
def test_a_logged_parameter_is_that_of_its_step(
    way: str, make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not what it becomes before the history is written, nor in the move that logs it."""
    monkeypatch.setattr(moves, "BACKEND", "aot_eager")
    trial = make_trial("method=groupdro", "training.steps=4", "method.eta=1.0")
    values = trial.method.model_dump(exclude={"target"})
    trials = [
        trial.model_copy(update={"method": Showing.model_validate(values), "seed": seed})
        for seed in range(1 + (way == "stacked"))
    ]
    for outcome in training(*trials, compiled=way == "compiled").run():
        rows = [row for row in outcome.history if "own" in row]
        assert len({row["own"][0] for row in rows}) == 4
        assert [row["own"] for row in rows] == [row["computed"] for row in rows]
        assert [row["a view"] for row in rows] == [row["computed"][:1] for row in rows]
