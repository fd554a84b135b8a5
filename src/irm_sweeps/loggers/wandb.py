"""Weights & Biases: one run per trial, written to files; `wandb sync DIRECTORY/wandb/offline-run-*` uploads them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from irm_sweeps.loggers.logger import Logger, Run, Stream


class _WandbRun(Stream):
    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, status: str, final: Mapping[str, float]) -> None:
        self._run.summary.update({"status": status, **{f"final/{name}": value for name, value in final.items()}})
        self._run.finish(exit_code=0 if status in ("completed", "diverged") else 1)


@contextmanager
def _exits_untouched() -> Iterator[None]:
    """Take back W&B's own `sys.exit` and `sys.excepthook`: `close` says how a trial ended, and a worker runs on."""
    own = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = own


class WandB(Logger):
    """`logger=wandb`."""

    package: ClassVar[str | None] = "wandb"

    directory: str | None
    """Folder that gets the folder `wandb`; null: `wandb` in the store."""
    project: str
    """W&B project."""
    mode: Literal["offline", "online"]
    """`offline` writes files and asks no network; `online` also uploads."""

    def outside(self, results: Path) -> str | None:
        """Return the network with `mode=online`, or a folder outside the store."""
        return "the network" if self.mode == "online" else super().outside(results)

    def open(self, run: Run) -> Stream:
        """Start the trial's run over: its W&B id is the trial's."""
        import wandb

        folder = Path(self.directory or "wandb")
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"wandb/offline-run-*-{run.trial_id}"):
            shutil.rmtree(old, ignore_errors=True)
        with _exits_untouched():
            started = wandb.init(
                project=self.project,
                id=run.trial_id,
                name=run.name,
                group=run.sweep,
                config=dict(run.config),
                dir=str(folder),
                mode=self.mode,
                resume="allow" if self.mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(console="off", silent=True),
            )
        return _WandbRun(started)
