"""A backbone of one's own whose network does not fit the dataset is refused before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from commands import SMALL
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.compose import compose
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.checks import check_inputs
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.contracts import check_contracts
from irm_sweeps.trial import Trial

OWN = """
from torch import nn
from irm_sweeps import Backbone


class Own(Backbone):
    def build(self, features, outputs, generator):
        body = nn.Sequential(nn.Flatten(), nn.Linear(features[0], 4))
        return {returned}
"""


def own_backbone(folder: Path, monkeypatch: pytest.MonkeyPatch, returned: str) -> Trial:
    (folder / "own_net.py").write_text(OWN.format(returned=returned))
    (folder / "own_net.yaml").write_text("_target_: own_net.Own\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "own_net", raising=False)
    return Trial.from_config(compose(["dataset=linear_unit_tests", "backbone=own_net.yaml", "method=erm"]))


@pytest.mark.parametrize("head", ["nn.Linear(4, outputs)", "nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))"])
def test_two_modules_of_the_right_width_are_taken(head: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one output, logits `[n]` are as good as `[n, 1]`."""
    check_contracts([own_backbone(tmp_path, monkeypatch, f"body, {head}")])


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (
            "body, nn.Linear(4, 5)",
            r"the head of Own returns \[2, 5\] for 2 inputs, where the dataset asks for \[2, 1\]",
        ),
        ("body, nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)))", r"returns \[2, 2, 3\] for 2 inputs"),
        ("nn.Sequential(body, nn.Flatten(0)), nn.Linear(8, 1)", r"returns \[\] for 2 inputs"),
        ("body", "Own.build returns Sequential: return two modules, the representation and the head"),
        ("body, nn.Linear(4, 1), nn.Linear(4, 1)", r"returns \['Sequential', 'Linear', 'Linear'\]: return two modules"),
        ("body, 3", r"returns \['Sequential', 'int'\]: return two modules"),
        ("None", "returns NoneType: return two modules"),
    ],
)
def test_any_other_network_is_refused(
    returned: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head of the wrong width would train all the same, as a classifier of other classes."""
    trial = own_backbone(tmp_path, monkeypatch, returned)
    with pytest.raises(UserError, match=told):
        check_contracts([trial])


def test_a_backbone_is_checked_for_each_number_of_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own check may read weights of a head."""
    asked: list[tuple[tuple[int, ...], int]] = []
    monkeypatch.setattr(MLP, "check", lambda _, features, outputs: asked.append((features, outputs)))
    trials, settings, _ = collect([*SMALL, "method=erm", "dataset.grayscale=true", "dataset.classes=2,10", "seed=0,1"])
    check_inputs(list(trials.values()), settings)
    assert asked == [((196,), 1), ((196,), 10)]
