"""The trials of a launch that have no result when a worker or a launcher has nothing more to do."""

from __future__ import annotations

from irm_sweeps.store import claims
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.wording import count


def open_trials_in_words(store: Store, manifest: Manifest) -> str:
    """Return in words how many trials of a sweep's last launch have no result and why; empty where all have one."""
    left = [trial_id for stack in manifest.stacks for trial_id in stack if not store.has_result(trial_id)]
    elsewhere = [trial_id for trial_id in left if claims.in_force(store, trial_id)]
    left = [trial_id for trial_id in left if not store.has_result(trial_id)]  # one may just have been finished
    if not left:
        return ""
    reason = f"other workers are at work on {len(elsewhere)} of them" if elsewhere else "nobody is at work on them"
    return f"{count(len(left), 'trial')} of this sweep without a result: {reason}"
