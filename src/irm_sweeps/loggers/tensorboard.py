"""Log to TensorBoard: one folder of event files per trial. `tensorboard --logdir results/tensorboard` shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from irm_sweeps.loggers.logger import Logger, Run, Stream


class _EventFile(Stream):
    """An event file of TensorBoard."""

    def __init__(self, folder: Path, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(str(folder))
        self._writer.add_text("config", f"```\n{json.dumps(run.config, indent=1)}\n```", 0)
        self._last = 0

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._last = step
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, status: str, final: Mapping[str, float]) -> None:
        self._writer.add_text("status", status, self._last)
        for name, value in final.items():
            self._writer.add_scalar(f"final/{name}", value, self._last)
        self._writer.close()


class TensorBoard(Logger):
    """Logs to TensorBoard (`logger=tensorboard`)."""

    package: ClassVar[str | None] = "tensorboard"

    directory: str | None
    """Folder of the runs; null: `tensorboard` in the store."""

    def open(self, run: Run) -> Stream:
        """Start a new event file in `directory/NAME`, and delete earlier ones."""
        folder = Path(self.directory or "tensorboard") / run.name
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        return _EventFile(folder, run)
