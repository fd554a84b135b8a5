"""A trial's checkpoint in the store: where its training stands, and which code of the user's own brought it there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.files.atomic import write_atomically
from irm_sweeps.files.reading import read_fresh
from irm_sweeps.provenance import other_code
from irm_sweeps.store.layout import CHECKPOINT
from irm_sweeps.store.store import Store
from irm_sweeps.training.checkpoint import LARGEST, BadCheckpoint, pack, unpack
from irm_sweeps.trial import Trial

if TYPE_CHECKING:
    from torch import Tensor

State = tuple[dict[str, "Tensor"], dict[str, Any]]
"""Tensors by name, and plain values."""


class CannotGoOn(Exception):
    """There is a checkpoint, and training cannot go on from it; the message says why."""


def save_checkpoint(store: Store, trial: Trial, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
    """Write the state of a trial's training."""
    own = {"own_code": trial.own_code} if trial.own_code else {}
    write_atomically(_path(store, trial.id), pack(trial.id, tensors, {**plain, **own}))


def read_checkpoint(store: Store, trial_id: str, trial: Callable[[], Trial]) -> State | None:
    """Return the state of a trial's training, None if there is none; `trial` makes the trial, if it is asked for.

    Raises
    ------
    CannotGoOn
        The file is damaged, or was written under other code than this process has imported.
    """
    path = _path(store, trial_id)
    try:
        tensors, plain = unpack(trial_id, read_fresh(path, LARGEST))
    except FileNotFoundError:
        return None
    except (BadCheckpoint, OSError) as error:
        raise CannotGoOn(f"{path} is damaged ({error})") from None
    if (recorded := plain.get("own_code")) and (changed := other_code(recorded, trial().own_code)):
        raise CannotGoOn(f"{path} was written before {', '.join(changed)} changed")
    return tensors, plain


def _path(store: Store, trial_id: str) -> Path:
    return store.folder(trial_id) / CHECKPOINT
