"""A trial's checkpoint in the store: the state of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.files.atomic import write_atomically
from irm_sweeps.files.reading import read_fresh
from irm_sweeps.store.layout import CHECKPOINT
from irm_sweeps.store.store import Store
from irm_sweeps.training.checkpoint import LARGEST, BadCheckpoint, pack, unpack
from irm_sweeps.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

State = tuple[dict[str, "Tensor"], dict[str, Any]]
"""Tensors by name, and plain values."""


@dataclass(frozen=True)
class Checkpoint:
    """What reading a trial's checkpoint file gave.

    Attributes
    ----------
    state
        The state to go on from; None if there is no file, or training cannot go on from it.
    problem
        Why training cannot go on from the file; empty if it can, or if there is no file.
    """

    state: State | None = None
    problem: str = ""

    @property
    def step(self) -> int:
        """Updates done so far; 0 without a state."""
        return int(self.state[1]["step"]) if self.state else 0


def save_checkpoint(store: Store, trial: Trial, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Write the state of a trial's training."""
    write_atomically(_path(store, trial.id), pack(trial.id, tensors, plain))


def read_checkpoint(store: Store, trial: Trial) -> Checkpoint:
    """Read the state of a trial's training.

    The problem of a file that is damaged is returned and not raised: the trial then starts from its beginning.
    """
    path = _path(store, trial.id)
    try:
        tensors, plain = unpack(trial.id, read_fresh(path, LARGEST))
    except FileNotFoundError:
        return Checkpoint()
    except (BadCheckpoint, OSError) as error:
        return Checkpoint(problem=f"{path} is damaged ({error})")
    return Checkpoint((tensors, plain))


def _path(store: Store, trial_id: str) -> Path:
    return store.folder(trial_id) / CHECKPOINT
