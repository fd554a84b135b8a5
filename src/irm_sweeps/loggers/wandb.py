"""Log to Weights & Biases: one run per trial, in files; `wandb sync DIRECTORY/wandb/offline-run-*` uploads them."""

from __future__ import annotations

import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

from irm_sweeps.errors import UserError, one_line, raised
from irm_sweeps.loggers.logger import Logger, Run, Stream, read_logged, write_logged

_BOUNDS = {"WANDB_INIT_TIMEOUT": "30", "WANDB_FINISH_TIMEOUT": "30"}
"""Seconds to wait for W&B's own process, where the user's environment does not say, with `mode=offline` too."""
_ANSWER_SECONDS = 10.0


class _WandbRun(Stream):
    """A run in Weights & Biases."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def close(self, status: str, final: Mapping[str, float]) -> None:
        self._run.summary.update({"status": status, **{f"final/{name}": value for name, value in final.items()}})
        folder, trial_id = Path(self._run.dir).parent, self._run.id
        self._run.finish(exit_code=0 if status in ("completed", "diverged") else 1)
        write_logged(folder, trial_id, status)


def _bound_waits() -> None:
    for name, seconds in _BOUNDS.items():
        os.environ.setdefault(name, seconds)


@contextmanager
def _exit_hooks_restored() -> Iterator[None]:
    """Restore `sys.exit` and `sys.excepthook`, which W&B replaces; `close` reports how a trial ended instead."""
    before = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = before


class WandB(Logger):
    """Logs to Weights & Biases (`logger=wandb`)."""

    package: ClassVar[str | None] = "wandb"

    directory: str | None
    """Folder in which W&B creates its folder `wandb`; null: `wandb` in the store."""
    project: str
    """Name of the W&B project."""
    mode: Literal["offline", "online"]
    """`offline` writes files and uses no network; `online` also uploads them."""

    def outside(self, results: Path) -> str | None:
        """Return the network with `mode=online`, or a folder outside the store."""
        return "the network" if self.mode == "online" else super().outside(results)

    def check(self) -> None:
        """Check that W&B is installed, and with `mode=online` that its server answers one request.

        Raises
        ------
        UserError
            One of them is not so.
        """
        super().check()
        if self.mode == "offline":
            return
        import wandb

        _bound_waits()
        server = str(wandb.setup().settings.base_url)
        try:
            urllib.request.urlopen(server, timeout=_ANSWER_SECONDS).close()
        except urllib.error.HTTPError:
            return  # an answer, whatever it says
        except (OSError, ValueError) as error:
            raise UserError(
                f"logger.mode=online: the W&B server {server} does not answer ({one_line(raised(error))}): connect "
                "this machine, correct WANDB_BASE_URL, or say logger.mode=offline"
            ) from None

    def open(self, run: Run) -> Stream:
        """Start the trial's run, whose W&B id is the trial's, and delete earlier offline files."""
        import wandb

        _bound_waits()
        folder = Path(self.directory or "wandb")
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"wandb/offline-run-*-{run.trial_id}"):
            shutil.rmtree(old, ignore_errors=True)
        with _exit_hooks_restored():
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

    def closed(self, runs: Sequence[Run]) -> dict[str, str]:
        """Return by trial id the status of the runs whose files are here."""
        wanted = {run.trial_id for run in runs}
        records = [read_logged(path) for path in Path(self.directory or "wandb").glob("wandb/*run-*")]
        return {record[0]: record[1] for record in records if record and record[0] in wanted}
