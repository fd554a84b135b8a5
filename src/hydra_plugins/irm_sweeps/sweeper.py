"""Hydra's sweeper plug-in: passes a command's overrides to `irm_sweeps.sweep.run`."""

from __future__ import annotations

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class IrmSweeper(Sweeper):
    """Expands the overrides (or the paper file they name) into trials and passes them to the launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Instantiate the launcher that the config names."""
        from hydra.core.plugins import Plugins

        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep; exit with 1 if a trial failed."""
        from irm_sweeps.errors import UserError
        from irm_sweeps.overrides.paired_axes import as_typed
        from irm_sweeps.sweep.run import run_sweep

        if not hasattr(self._launcher, "launcher"):
            name = type(self._launcher).__name__
            raise UserError(f"{name} cannot run a sweep of irm_sweeps: use hydra/launcher=local, inprocess or slurm")
        if run_sweep(as_typed(arguments), self._launcher.launcher):
            raise SystemExit(1)
