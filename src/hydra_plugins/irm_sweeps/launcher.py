"""Hydra's launcher plug-ins: each passes the trials to one of `irm_sweeps.launchers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher as HydraLauncher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class _Adapter(HydraLauncher):
    """Lets any Hydra sweeper run trials through one of `irm_sweeps.launchers`."""

    def __init__(self, launcher: Any) -> None:
        self.launcher = launcher

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Begin a search, which a searching sweeper may be about to make; trials are composed from their overrides."""
        from irm_sweeps.sweep.search import begin

        del hydra_context, task_function
        self.search = begin(config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one trial per list of overrides and return their objectives, in order."""
        del initial_job_idx
        from irm_sweeps.sweep.batch import run_batch

        return run_batch(job_overrides, self.launcher, self.search)


class InProcessLauncher(_Adapter):
    """`hydra/launcher=inprocess`."""

    def __init__(self) -> None:
        from irm_sweeps.launchers.inprocess import InProcess

        super().__init__(InProcess())


class LocalLauncher(_Adapter):
    """`hydra/launcher=local`, the default."""

    def __init__(self, slots: int | None, runs_per_gpu: int, threads_per_worker: int | None) -> None:
        from irm_sweeps.launchers.local import Local

        super().__init__(Local(slots, runs_per_gpu, threads_per_worker))


class SlurmLauncher(_Adapter):
    """`hydra/launcher=slurm`."""

    def __init__(self, **fields: Any) -> None:
        from irm_sweeps.launchers.slurm import Slurm
        from irm_sweeps.launchers.slurm_options import SlurmOptions

        self._options = SlurmOptions.from_config(fields)
        super().__init__(Slurm(self._options))

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one trial per list of overrides; a searching sweeper needs their objectives, so this waits."""
        from irm_sweeps.launchers.slurm import Slurm

        self.launcher = Slurm(self._options.model_copy(update={"wait": True}))
        return super().launch(job_overrides, initial_job_idx)
