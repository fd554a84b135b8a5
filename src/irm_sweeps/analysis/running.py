"""The trials that are being trained: they have no result, and a history that grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from irm_sweeps.errors import StoreError, UserError

if TYPE_CHECKING:
    from irm_sweeps.store.reader import Reader


def is_running(readers: Sequence[Reader], trial_id: str) -> bool:
    """Return whether a worker is at work on a trial without a result; an archive has none."""
    from irm_sweeps.store import claims
    from irm_sweeps.store.store import Store

    for store in readers:
        if isinstance(store, Store):
            try:
                claim = claims.current(store, trial_id)
                if claim is not None and claim.is_in_force():
                    return True
            except StoreError:  # nobody knows: `status` says so
                continue
    return False


def running_configs(readers: Sequence[Reader]) -> dict[str, Mapping[str, Any]]:
    """Return the configs of all trials that are being trained, by id, from the sweeps' manifests."""
    from irm_sweeps.store.manifest import load_manifest, sweep_names
    from irm_sweeps.store.store import Store

    found: dict[str, Mapping[str, Any]] = {}
    for store in readers:
        if not isinstance(store, Store):
            continue
        open_ids = {i for i in store.trial_ids() if not store.has_result(i) and is_running([store], i)}
        for name in sweep_names(store) if open_ids else ():
            try:
                trials = load_manifest(store, name).trials
            except (UserError, StoreError):  # whoever reads the sweep is told
                continue
            found.update({trial_id: trials[trial_id] for trial_id in open_ids.intersection(trials)})
    return found
