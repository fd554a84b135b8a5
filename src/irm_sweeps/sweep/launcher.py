"""The contract of a launcher, which is all that a sweep knows of `irm_sweeps.launchers`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.stacks import Machine


class Launcher(ABC):
    """Starts workers on a manifest; which trials each of them takes is settled in the store."""

    trains_here: ClassVar[bool] = False
    """Whether this process is the worker."""

    @abstractmethod
    def workers(self, device: str) -> int:
        """Return how many workers it would start."""

    @abstractmethod
    def uses_gpu(self, device: str) -> bool:
        """Return whether its workers train on GPUs."""

    def check(self, device: str) -> None:
        """Check, before anything is planned, that workers can be started for `device=DEVICE`.

        Raises
        ------
        UserError
            There is no such device.
        """
        self.workers(device)
        self.uses_gpu(device)

    def gpus(self, device: str) -> Sequence[str]:
        """Return the GPUs here that its workers share out, as CUDA_VISIBLE_DEVICES names them; none where they train
        elsewhere or on CPUs."""
        del device
        return ()

    def threads(self, device: str) -> int | None:
        """Return the CPU threads of each worker; None where it cannot be known here."""
        del device
        return None

    def machine(self, device: str) -> Machine:
        """Return what its workers train on, as far as this process can know it."""
        return Machine.of(self.uses_gpu(device), self.workers(device), self.gpus(device))

    @abstractmethod
    def run(self, store: Store, manifest: Manifest, progress: Progress) -> bool:
        """Start the workers, and follow them.

        Returns
        -------
        Whether its workers have ended, with nothing left for them; False if it returned while they go on.
        """
