"""The trials that are being trained: they have no result, a claim in force, and a history that grows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irm_sweeps.errors import StoreError, UserError
from irm_sweeps.files.reading import DamagedFile

if TYPE_CHECKING:
    from irm_sweeps.store.claims import Claim
    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.store import Store


@dataclass(frozen=True)
class RunningTrial:
    """A trial that a living worker trains.

    Attributes
    ----------
    manifest
        The sweep that was launched last of those that have the trial; None where none can be read.
    """

    trial_id: str
    store: Store
    claim: Claim
    manifest: Manifest | None


def is_running(readers: Sequence[Reader], trial_id: str) -> bool:
    """Return whether a worker is at work on a trial without a result; an archive has none."""
    return any(_claim(store, trial_id) for store in _stores(readers))


def running_trials(readers: Sequence[Reader], trial_ids: Collection[str] | None = None) -> list[RunningTrial]:
    """Return the trials without a result that are being trained, of these ids or of all; nothing is written.

    Those of the sweep that was launched last come first, in its order.
    """
    running: list[RunningTrial] = []
    for store in _stores(readers):
        ids = store.trial_ids() if trial_ids is None else trial_ids
        found = {trial_id: claim for trial_id in ids if (claim := _claim(store, trial_id))}
        manifests = _latest_sweeps(store, found)
        in_order = dict.fromkeys([*manifests, *found])
        running += [RunningTrial(i, store, found[i], manifests.get(i)) for i in in_order]
    return running


def running_configs(readers: Sequence[Reader]) -> dict[str, Mapping[str, Any]]:
    """Return the configs of all trials that are being trained, by id, from the sweeps' manifests."""
    return {one.trial_id: one.manifest.trials[one.trial_id] for one in running_trials(readers) if one.manifest}


def _stores(readers: Sequence[Reader]) -> list[Store]:
    from irm_sweeps.store.store import Store

    return [reader for reader in readers if isinstance(reader, Store)]


def _claim(store: Store, trial_id: str) -> Claim | None:
    """Return the claim of the worker that trains a trial; None where it has a result, nobody does, or none can tell."""
    from irm_sweeps.store import claims
    from irm_sweeps.store.liveness import only_reading

    with only_reading(), suppress(StoreError, DamagedFile, OSError):  # `status` says what cannot be read
        return None if store.has_result(trial_id) else claims.in_force(store, trial_id)
    return None


def _latest_sweeps(store: Store, trial_ids: Collection[str]) -> dict[str, Manifest]:
    """Return the manifest of the sweep that was launched last of those that have a trial, by its id."""
    from irm_sweeps.store.manifest import load_manifest
    from irm_sweeps.store.sweeps import sweep_names

    found: dict[str, Manifest] = {}
    for name in reversed(sweep_names(store)) if trial_ids else ():
        if wanted := set(trial_ids) - found.keys():
            with suppress(UserError):  # whoever reads the sweep is told
                manifest = load_manifest(store, name)
                found.update({trial_id: manifest for trial_id in manifest.trials if trial_id in wanted})
    return found
