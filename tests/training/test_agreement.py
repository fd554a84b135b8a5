"""Methods of a stack that disagree are refused, and train correctly as solo trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import outcomes
from contracts import start, trial
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.config import Count, Number
from irm_sweeps.errors import UserError
from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Move, Pace, Point, Turn
from irm_sweeps.methods.stages import Stage
from irm_sweeps.project.template.data.two_bits import TwoBits
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.testing.fixtures import MakeTrial, Train
from irm_sweeps.trial import Trial
from irm_sweeps.worker.worker import Worker

NOWHERE = Path("no_data_is_read")


class Late(ERM):
    """ERM that in one way or other becomes itself at a step which differs between the trials of a stack."""

    begin: Count
    rate: Number = 0.5
    way: str

    def stages(self) -> Sequence[Stage]:
        stages = {
            "stages": [Stage("early"), Stage("late", self.begin)],
            "numbers only": [Stage("early"), Stage("late", self.begin, numbers_only=True)],
        }
        return stages.get(self.way, [])

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        return [Move(["model"])] * (2 if self.way == "moves" and step >= self.begin else 1)

    def pace(self, player: str) -> Pace:
        return Pace(lr=1.0 + self.begin if self.way == "pace" else 1.0)

    def players(self, names: Sequence[str]) -> dict[str, list[str]]:
        return {"model": list(names)[self.begin % 2 if self.way == "players" else 0 :]}

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        turn = super().turn(at, moving)
        if at.phase == "late":
            return turn
        return Turn({player: 0.1 * value for player, value in turn.objectives.items()}, turn.log)


def late(way: str, begin: int, seed: int = 1, **fields: Any) -> Trial:
    values = {"label_noise": 0.25, "p_e": (0.2, 0.1), "test_p_e": (0.1, 0.9), "n": 6}
    own = trial(TwoBits.model_validate(values), MLP(depth=1, width=6, init="torch"), seed)
    training = own.training.model_copy(update={"steps": 6})
    method = Late(risk="mean", begin=begin, way=way, **fields)
    return own.model_copy(update={"method": method, "training": training})


WAYS = {
    "stages": r"Late.stages is \[\('early', .* with begin=2 and \[\('early', .* with begin=5, .* annotate the field",
    "moves": r"Late.moves at step 2 is \[.*\] with begin=2 and \[.*\] with begin=5",
    "pace": r"Late.pace of 'model' is Pace\(.*lr=3.0.*\) with begin=2 and Pace\(.*lr=6.0",
    "players": r"Late.players is \{.* with begin=2 and \{.* with begin=5",
}


@pytest.mark.parametrize("way", WAYS)
def test_trials_that_would_play_otherwise_form_no_stack(way: str) -> None:
    trials = [late(way, 2, 1), late(way, 5, 2)]
    assert trials[0].stack_key == trials[1].stack_key
    with pytest.raises(UserError, match=WAYS[way]):
        start(trials, NOWHERE).run()


@pytest.mark.parametrize("way", [*WAYS, "none", "numbers only"])
def test_trials_that_play_alike_do(way: str) -> None:
    """Whatever else they differ in."""
    begins = (2, 5) if way in ("none", "numbers only") else (2, 2)
    outcomes = start([late(way, begins[0], 1, rate=0.1), late(way, begins[1], 2, rate=0.2)], NOWHERE).run()
    assert [outcome.steps for outcome in outcomes] == [6, 6]


def work(folder: Path, *trials: Trial) -> tuple[dict[str, Any], list[str]]:
    """Train them as one stack, if they can be; return what became of each, and its log."""
    store = Store(folder)
    store.prepare()
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    manifest = write_manifest(store, "sweep", {t.id: t.canonical for t in trials}, [[t.id for t in trials]], run)
    Worker(store, manifest, torch.device("cpu"), capture=False).work()
    logs = [(store.folder(t.id) / "log.txt").read_text() for t in trials]
    return outcomes({r.trial_id: dict(r.raw) for r in store.results() if isinstance(r, Result)}), logs


@pytest.mark.parametrize("way", ["moves", "stages"])
def test_they_train_apart_and_their_log_says_why(way: str, tmp_path: Path) -> None:
    trials = [late(way, 2, 1), late(way, 5, 2), late(way, 5, 3)]
    found, logs = work(tmp_path / "stack", *trials)
    for i, own in enumerate(trials):
        alone, _ = work(tmp_path / str(i), own)
        ours, theirs = found[own.id], alone[own.id]
        assert ours["status"] == theirs["status"] == "completed"
        for name, scores in theirs["metrics"]["last"]["scores"]["test"].items():
            assert ours["metrics"]["last"]["scores"]["test"][name] == pytest.approx(scores, rel=1e-9)
        assert f"a stack of 3 failed (Late.{way}" in logs[i]
        assert "trying two halves" in logs[i]
    assert "stack of 2 on cpu" in logs[1]
    assert "stack of 2 on cpu" in logs[2]


def test_a_method_of_the_package_is_asked_once_a_step(
    make_trial: MakeTrial, training: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [make_trial("method=vrex", f"method.anneal={anneal}", "training.steps=3") for anneal in (1, 2)]
    asked, moves = [], type(trials[0].method).moves
    run = training(*trials)
    monkeypatch.setattr(type(trials[0].method), "moves", lambda *words: asked.append(words[1]) or moves(*words))
    run.run()
    assert asked == [0, 1, 2]
