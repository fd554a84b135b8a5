"""In a training step the host never waits for the device: nothing that a step computes is read back.

Seen without a GPU: an operation whose result reaches Python (`item`, `bool(tensor)`, `tolist`) or whose shape
depends on values (`nonzero`, boolean indexing) would make a GPU's host wait, and passes the dispatcher by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from irm_sweeps.sweep.grid import trials
from irm_sweeps.training.loop import StackTraining

ROOT = Path(__file__).parents[1]
METHODS = sorted(path.stem for path in (ROOT / "conf" / "method").glob("*.yaml"))
TINY = ["dataset.source=embedded", "dataset.n_train=20", "backbone.width=4", "training.steps=9"]
WAITS = ("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim")
COPIES = ("tolist", "cpu", "numpy")


class Waits(TorchDispatchMode):
    """What is done in here that would make the host wait for a GPU; `COPIES` do not pass the dispatcher on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._patches = [patch.object(torch.Tensor, name, self._noting(name)) for name in COPIES]

    def __enter__(self) -> Any:
        for own in self._patches:
            own.start()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for own in self._patches:
            own.stop()

    def _noting(self, name: str) -> Any:
        plain = getattr(torch.Tensor, name)

        def noting(tensor: torch.Tensor, *arguments: Any) -> Any:
            self.seen.append(name)
            return plain(tensor, *arguments)

        return noting

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_") and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        if name in WAITS or by_mask:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "wait",
    [lambda x: x.sum().item(), lambda x: bool(x[0] > 0), lambda x: x.tolist(), lambda x: x[x > 0], torch.nonzero],
)
def test_a_wait_is_seen(wait: Any) -> None:
    with Waits() as waits:
        wait(torch.ones(3))
    assert waits.seen


@pytest.mark.parametrize("method", METHODS)
def test_no_step_waits(method: str) -> None:
    found = list(trials([*TINY, f"method={method}", "training.batch_size=null,5", "seed=0,1"]).values())
    for stack in (found[:1], found[:2], found[2:3], found[2:]):
        training = StackTraining(stack, Path("nowhere"), torch.device("cpu"))
        training._advance()
        with Waits() as waits:
            training._advance()
            training._advance()
        assert not waits.seen, [trial.training.batch_size for trial in stack]


def test_an_evaluation_does() -> None:
    (trial,) = trials(TINY).values()
    training = StackTraining([trial], Path("nowhere"), torch.device("cpu"))
    with Waits() as waits:
        training._evaluate()
    assert waits.seen
