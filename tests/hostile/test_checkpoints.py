"""A malicious checkpoint is ignored: the trial restarts and gives its usual result."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from hostile.poison import FILES
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.training.checkpoint import FORMAT, BadCheckpoint, pack, unpack
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial
from irm_sweeps.worker.worker import Worker

State = tuple[dict[str, torch.Tensor], dict[str, Any]]


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["BOMB"],)


def header(size: int, text: bytes) -> bytes:
    return size.to_bytes(8, "little") + text


def stated(text: str) -> Callable[[str], bytes]:
    """A checkpoint whose plain state is this text."""
    return lambda trial_id: save(
        {"diverged_at": torch.tensor(-1)}, {"format": FORMAT, "trial_id": trial_id, "state": text}
    )


def with_digest(content: bytes) -> bytes:
    """The digest does not hide what is wrong with the rest."""
    return content + hashlib.sha256(content).digest()


PLAIN = {"step": 3, "seconds": 0.1, "history": [], "evaluations": []}
BYTES: dict[str, Callable[[str], bytes]] = {
    "a header of 2^60 bytes": lambda _: header(2**60, b"{}"),
    "a header of 2^64 - 1 bytes": lambda _: header(2**64 - 1, b"{}"),
    "a header cut short": lambda _: header(100, b'{"__metadata__": {'),
    "a deep header": lambda _: header(100_000, b"[" * 100_000),
    "a tensor of 2^60 bytes": lambda i: header(
        len(text := json.dumps(
            {
                "__metadata__": {"format": FORMAT, "trial_id": i, "state": json.dumps(PLAIN)},
                "x": {"dtype": "F32", "shape": [2**58], "data_offsets": [0, 2**60]},
            }
        ).encode()),
        text,
    ),
    "a pickle": lambda _: pickle.dumps(Bomb()),
    "state NaN": stated(json.dumps({**PLAIN, "seconds": float("nan")})),
    "state 1e400": stated(json.dumps(PLAIN).replace("0.1", "1e400")),
    "state deep": stated("[" * 100_000),
    "a step below zero": stated(json.dumps({**PLAIN, "step": -1})),
    "a step in words": stated(json.dumps({**PLAIN, "step": "3"})),
    "no step": stated("{}"),
    "no history": stated(json.dumps({**PLAIN, "history": [1]})),
    "scores in words": stated(json.dumps({**PLAIN, "evaluations": [{"step": 1, "scores": {"test": "high"}}]})),
    "evaluations false": stated(json.dumps({**PLAIN, "evaluations": False})),
    "evaluations null": stated(json.dumps({**PLAIN, "evaluations": None})),
    "evaluations by name": stated(json.dumps({**PLAIN, "evaluations": {}})),
    "an accuracy that is true": stated(
        json.dumps({**PLAIN, "evaluations": [{"step": 1, "scores": {"test": {"0.9": {"accuracy": True}}}}]})
    ),
    "an evaluation after the step": stated(json.dumps({**PLAIN, "evaluations": [{"step": 4, "scores": {}}]})),
    "a history of words": stated(json.dumps({**PLAIN, "history": [{"step": 1, "penalty": "high"}]})),
    "a history of lists of words": stated(json.dumps({**PLAIN, "history": [{"step": 1, "risks": [1, "high"]}]})),
    "a history out of order": stated(json.dumps({**PLAIN, "history": [{"step": 2}, {"step": 1}]})),
    "seconds true": stated(json.dumps({**PLAIN, "seconds": True})),
    "seconds null": stated(json.dumps({**PLAIN, "seconds": None})),
    "a step of one half": stated(json.dumps({**PLAIN, "step": 0.5})),
    "a step that is true": stated(json.dumps({**PLAIN, "step": True})),
    "code in numbers": stated(json.dumps({**PLAIN, "own_code": {"mine.py": 1}})),
    "state that is a list": stated("[]"),
    "state that is false": stated("false"),
    "no tensors": stated(json.dumps(PLAIN)),
}  # fmt: skip

CHANGES: dict[str, Callable[[dict[str, torch.Tensor], dict[str, Any]], Any]] = {
    "a step beyond the last": lambda _, plain: plain.update(step=10**6),
    "one tensor missing": lambda tensors, _: tensors.pop("parameters/head.weight"),
    "one tensor more": lambda tensors, _: tensors.update({"parameters/head.extra": torch.zeros(1)}),
    "a shape that would broadcast": lambda t, _: t.update({"parameters/head.weight": torch.ones(1, 1)}),
    "a type that would be cast": lambda t, _: t.update(
        {"parameters/head.weight": t["parameters/head.weight"].to(torch.int64)}
    ),
    "a moment of another shape": lambda t, _: t.update({moment(t): torch.ones(1, 1)}),
    "half of a moment": lambda t, _: t.pop(moment(t)),
    "an evaluation of no environment": lambda _, plain: plain.update(evaluations=[{"step": 1, "scores": {}}]),
    "an evaluation of other environments": lambda _, plain: plain.update(
        evaluations=[{"step": 1, "scores": {"train": {"x": {"risk": 1.0, "accuracy": 1.0}}}}]
    ),
    "no diverged_at": lambda tensors, _: tensors.pop("diverged_at"),
    "diverged in the future": lambda tensors, _: tensors.update(diverged_at=torch.tensor(19)),
    "diverged_at of many": lambda tensors, _: tensors.update(diverged_at=torch.tensor([1, 2])),
}


def moment(tensors: dict[str, torch.Tensor]) -> str:
    return next(name for name in sorted(tensors) if name.endswith("head.weight/exp_avg"))


@pytest.fixture
def made_half_way(results: Path, victim: Path, make_half: Callable[[Path, Path], bytes]) -> tuple[Path, bytes]:
    return victim, make_half(results, victim)


@pytest.fixture
def make_half() -> Callable[[Path, Path], bytes]:
    """Train a stored trial for five steps, and return its checkpoint."""

    class Enough(Exception):
        pass

    class Five:
        def after_step(self, training: StackTraining) -> None:
            if training.step == 5:
                raise Enough

    def make(results: Path, victim: Path) -> bytes:
        trial = Trial.from_config(json.loads(victim.read_text())["config"])
        training = StackTraining([trial], results, torch.device("cpu"))
        with pytest.raises(Enough):
            training.run(Five())
        return pack(trial.id, *training.state(0))

    return make


def again(results: Path, victim: Path, poison: Callable[[Path], None]) -> tuple[dict[str, Any], str]:
    """Train the victim once more beside a poisoned checkpoint; return its result and its log."""
    os.replace(victim, victim.with_name("before.json"))
    victim.with_name("log.txt").unlink()
    poison(victim.with_name("checkpoint.safetensors"))
    trial = Trial.from_config(json.loads(victim.with_name("before.json").read_text())["config"])
    store = Store(results)
    settings = RunSettings(data_dir=str(results), device="cpu", on_error="stop", checkpoint_seconds=1e9)
    manifest = write_manifest(store, "again", {trial.id: trial.canonical}, [[trial.id]], settings)
    Worker(store, manifest, torch.device("cpu")).work()
    return json.loads(victim.read_text()), victim.with_name("log.txt").read_text()


def same(victim: Path, result: dict[str, Any]) -> bool:
    before = json.loads(victim.with_name("before.json").read_text())
    digests = [r["provenance"]["parameters_sha256"] for r in (before, result)]
    return before["metrics"] == result["metrics"] and digests[0] == digests[1]


def test_one_that_is_intact_is_gone_on_with(results: Path, made_half_way: tuple[Path, bytes]) -> None:
    victim, intact = made_half_way
    result, log = again(results, victim, lambda path: path.write_bytes(intact) and None)
    assert same(victim, result)
    assert "resumed at step 5" in log


@pytest.mark.parametrize("change", CHANGES)
def test_one_whose_tensors_or_step_do_not_fit(change: str, results: Path, made_half_way: tuple[Path, bytes]) -> None:
    victim, intact = made_half_way
    tensors, plain = unpack(victim.parent.name, intact)
    CHANGES[change](tensors, plain)
    poisoned = pack(victim.parent.name, tensors, plain)
    result, log = again(results, victim, lambda path: path.write_bytes(poisoned) and None)
    assert same(victim, result)
    assert "does not fit" in log
    assert "resumed" not in log


@pytest.mark.parametrize("poison", BYTES)
def test_bytes_that_are_none(poison: str, results: Path, victim: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    content = with_digest(BYTES[poison](victim.parent.name))
    if poison != "no tensors":
        with pytest.raises(BadCheckpoint):
            unpack(victim.parent.name, content)
    result, log = again(results, victim, lambda path: path.write_bytes(content) and None)
    assert same(victim, result)
    assert "starts from its beginning" in log
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("poison", ["a pipe", "a folder", "a link to a device", "a huge file"])
def test_a_file_that_is_none(poison: str, results: Path, victim: Path) -> None:
    def put(path: Path) -> None:
        path.write_bytes(b"")
        FILES[poison](path)

    result, log = again(results, victim, put)
    assert same(victim, result)
    assert "is damaged" in log
