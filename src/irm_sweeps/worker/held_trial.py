"""The trials that this worker has claimed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

from irm_sweeps.errors import StoreError, UserError, one_line
from irm_sweeps.files.reading import is_there
from irm_sweeps.process_state import fresh_state
from irm_sweeps.store import claims
from irm_sweeps.store.checkpoints import Checkpoint, read_checkpoint
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.worker.exceptions import DeviceLost, Interrupted
from irm_sweeps.worker.forks import children_end, end_unless


class HeldTrial:
    """A trial, the claim that this worker holds on it, and its checkpoint.

    The checkpoint is read when it is first needed, and kept until the training takes it or the trial is released.
    """

    def __init__(self, store: Store, claim: Claim, config: Mapping[str, Any]) -> None:
        self.claim = claim
        self._store, self.config = store, config
        self._checkpoint: Checkpoint | None = None

    @property
    def trial_id(self) -> str:
        """The trial's id."""
        return self.claim.path.parent.name

    @cached_property
    def trial(self) -> Trial:
        """The trial, built from its config when it is first needed.

        Raises
        ------
        UserError
            Its code or its defaults are not those of the command that made its id.
        """
        with children_end(), fresh_state(environment=False, seed=int(self.config["seed"])):
            trial = Trial.from_config(self.config)
        if trial.id != self.trial_id:
            raise UserError(
                f"trial {self.trial_id} is not run: {_what_differs(trial)}: issue the sweep's command again"
            )
        return trial

    @property
    def step(self) -> int:
        """The step at which training goes on: that of the checkpoint, 0 without one."""
        if self._checkpoint is None:
            self._checkpoint = read_checkpoint(self._store, self.trial)
        return self._checkpoint.step

    def take_checkpoint(self) -> Checkpoint:
        """Return the checkpoint and forget it: it takes memory, and another attempt may find a newer one."""
        checkpoint = self._checkpoint or read_checkpoint(self._store, self.trial)
        self._checkpoint = None
        return checkpoint

    def release(self) -> None:
        """Release the claim, so that this worker or another can claim the trial again, and forget the checkpoint."""
        end_unless(self.claim.holder.pid)
        self._checkpoint = None
        self.claim.release(0)


def _what_differs(trial: Trial) -> str:
    """Return why a trial's id is not the one in the manifest."""
    if trial.code:
        return f"the code of {one_line(', '.join(trial.code))} is not that with which its sweep was launched"
    return f"this version of irm_sweeps reads its config as trial {trial.id}"


@contextmanager
def claim_free(store: Store, manifest: Manifest, trial_ids: Sequence[str]) -> Iterator[list[HeldTrial]]:
    """Claim those of a stack's trials that are free; release the claims that are still in force at the block's end.

    None is released where the block ends by anything but a stop or a `UserError`, or by `DeviceLost`: that counts as a
    death of the worker.
    """
    held: list[HeldTrial] = []
    try:
        for trial_id in trial_ids:
            config = manifest.trials[trial_id]
            steps = int(config["training"]["steps"] or 0)
            claim = claims.acquire(store, trial_id, manifest.launch, steps, len(trial_ids))
            if claim is not None:
                held.append(HeldTrial(store, claim, config))
        yield held
    except DeviceLost:
        raise
    except (Interrupted, UserError):
        _release(held)
        raise
    else:
        _release(held)


def _release(held: Sequence[HeldTrial]) -> None:
    for held_trial in held:
        with suppress(StoreError):  # where the disk is full, this process's end releases it
            if is_there(held_trial.claim.path) and held_trial.claim.is_latest():
                held_trial.release()
