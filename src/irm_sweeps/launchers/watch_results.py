"""Following a sweep from its files alone."""

from __future__ import annotations

from itertools import islice

from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store import claims
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import Progress


class Follower:
    """Notices results as they appear, whoever writes them."""

    def __init__(self, store: Store, manifest: Manifest, progress: Progress) -> None:
        self._store, self._manifest, self._progress = store, manifest, progress
        self._stacks = [set(stack) for stack in manifest.stacks]

    @property
    def complete(self) -> bool:
        """Whether every trial of the launch has a result."""
        return not self._stacks

    def poll(self) -> None:
        """Look for new results."""
        for stack in self._stacks:
            for trial_id in list(stack):
                if not self._store.has_result(trial_id):
                    continue
                try:
                    result = self._store.result(trial_id)
                except DamagedFile as damage:
                    stack.discard(trial_id)
                    self._progress.damaged(damage)
                    continue
                if result is not None:
                    stack.discard(trial_id)
                    self._progress.add(result)
        self._stacks = [stack for stack in self._stacks if stack]

    def unclaimed(self, at_most: int) -> int:
        """Return how many stacks have a trial that no living worker holds; stop counting at `at_most`."""
        free = (stack for stack in self._stacks if not all(map(self._is_held, stack)))
        return sum(1 for _ in islice(free, at_most))

    def _is_held(self, trial_id: str) -> bool:
        claim = claims.current(self._store, trial_id)
        return claim is not None and claim.is_in_force()

    def stopped_by_error(self) -> bool:
        """Return whether a failure has ended this launch (`on_error=stop`)."""
        return self._manifest.stop_marker(self._store).exists()
