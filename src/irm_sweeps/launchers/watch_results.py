"""Watch the results of a launch appear in the store."""

from __future__ import annotations

from itertools import islice

from irm_sweeps.files.reading import DamagedFile, is_there
from irm_sweeps.store import claims
from irm_sweeps.store.liveness import Process
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import Progress


class ResultWatcher:
    """Reports each new result to `progress`, whichever worker wrote it. It reads the store only."""

    def __init__(self, store: Store, manifest: Manifest, progress: Progress) -> None:
        self._store, self._manifest, self._progress = store, manifest, progress
        self._open_stacks = [set(stack) for stack in manifest.stacks]

    @property
    def complete(self) -> bool:
        """Whether every trial of the launch has a result."""
        return not self._open_stacks

    def poll(self) -> int:
        """Report the results that have appeared since the last call, and return how many there are."""
        n_open = sum(map(len, self._open_stacks))
        for stack in self._open_stacks:
            for trial_id in list(stack):
                if self._report(trial_id):
                    stack.discard(trial_id)
        self._open_stacks = [stack for stack in self._open_stacks if stack]
        self._progress.look()
        return n_open - sum(map(len, self._open_stacks))

    def _report(self, trial_id: str) -> bool:
        """Report the trial's result, if there is one; return whether there is."""
        if not self._store.has_result(trial_id):
            return False
        try:
            result = self._store.result(trial_id)
        except DamagedFile as damage:
            self._progress.damaged(damage)
            return True
        if result is None:
            return False
        self._progress.add(result)
        return True

    def unclaimed(self, at_most: int) -> int:
        """Return how many stacks have a trial that no living worker holds; stop counting at `at_most`."""
        unclaimed = (stack for stack in self._open_stacks if not all(map(self._is_claimed, stack)))
        return sum(1 for _ in islice(unclaimed, at_most))

    def _is_claimed(self, trial_id: str) -> bool:
        return claims.in_force(self._store, trial_id) is not None

    def counts_as_death(self, process: Process) -> bool:
        """Return whether a process that has ended died while it trained a trial that has not failed by that yet."""
        return any(
            claim.holder == process and not claim.released and claim.deaths < claims.MAX_DEATHS
            for stack in self._open_stacks
            for trial_id in stack
            for claim in claims.every(self._store, trial_id)
        )

    def stopped_by_error(self) -> bool:
        """Return whether a failure has ended this launch (`on_error=stop`)."""
        return is_there(self._manifest.stop_marker(self._store))
