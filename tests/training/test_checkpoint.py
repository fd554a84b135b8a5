"""A checkpoint is read back exactly, or refused."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from irm_sweeps.training.checkpoint import FORMAT, BadCheckpoint, pack, unpack

TENSORS = {
    "parameters/head.weight": torch.tensor([[1e-310, -0.0], [float("inf"), 1 / 3]], dtype=torch.float64),
    "model/head.weight/step": torch.tensor(3.0),
    "diverged_at": torch.tensor(-1),
}

PLAIN = {"step": 3, "seconds": 0.1, "history": [{"step": 0, "risks": [0.1, None]}], "evaluations": []}


def sealed(content: bytes) -> bytes:
    """Bytes with the digest that a whole checkpoint ends with."""
    return content + hashlib.sha256(content).digest()


def test_it_is_read_back_exactly() -> None:
    tensors, plain = unpack("abc", pack("abc", TENSORS, PLAIN))
    assert plain == PLAIN
    assert sorted(tensors) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert tensors[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_another_trial_s_is_refused() -> None:
    with pytest.raises(BadCheckpoint, match="trial 'abc'"):
        unpack("abd", pack("abc", TENSORS, PLAIN))


def test_every_truncation_is_refused() -> None:
    content = pack("abc", TENSORS, PLAIN)
    for size in range(len(content)):
        with pytest.raises(BadCheckpoint):
            unpack("abc", content[:size])


@given(st.integers(0, len(pack("abc", TENSORS, PLAIN)) - 1), st.integers(1, 64))
def test_zeros_where_bytes_were_are_refused(start: int, length: int) -> None:
    """As a power cut leaves them: the length is right, and no number looks wrong."""
    whole = pack("abc", TENSORS, PLAIN)
    content = whole[:start] + bytes(len(whole[start : start + length])) + whole[start + length :]
    if content != whole:
        with pytest.raises(BadCheckpoint):
            unpack("abc", content)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(content: bytes) -> None:
    for found in (content, sealed(content)):
        with pytest.raises(BadCheckpoint):
            unpack("abc", found)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)))
def test_any_header_is_refused(header: Any) -> None:
    import json

    for content in (header, {"__metadata__": header}, {"__metadata__": {"format": FORMAT, "trial_id": header}}):
        text = json.dumps(content).encode()
        with pytest.raises(BadCheckpoint):
            unpack("abc", sealed(len(text).to_bytes(8, "little") + text))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["BOMB"],)


def test_pickles_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    torch.save({"state": Bomb()}, tmp_path / "checkpoint.pt")
    for content in (pickle.dumps(Bomb()), (tmp_path / "checkpoint.pt").read_bytes()):
        with pytest.raises(BadCheckpoint):
            unpack("abc", sealed(content))
    assert not (tmp_path / "exploded").exists()


def test_other_safetensors_are_refused() -> None:
    for metadata in (None, {}, {"format": "pt"}, {"format": FORMAT}, {"format": FORMAT, "trial_id": "abc"}):
        with pytest.raises(BadCheckpoint):
            unpack("abc", sealed(save(TENSORS, metadata)))


def test_a_number_that_json_lacks_is_never_written() -> None:
    with pytest.raises(BadCheckpoint, match="JSON"):
        pack("abc", TENSORS, {"risk": float("nan")})
