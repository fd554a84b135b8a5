"""Log to TensorBoard: one folder of event files per trial. `tensorboard --logdir results/tensorboard` shows them.

The HParams tab has a line for each trial: the words of its name, and two metrics. These are curves as well, of which
the line has the last values: the mean over the training environments and the worst of the test environments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from irm_sweeps.loggers.logger import LOGGED, Logger, Run, Stream, read_logged, write_logged


class _EventFile(Stream):
    """An event file of TensorBoard."""

    def __init__(self, folder: Path, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder, self._run = folder, run
        self._writer: Any = SummaryWriter(str(folder))
        self._writer.add_text("config", f"```\n{json.dumps(run.config, indent=1)}\n```", 0)
        self._last = 0
        self._has_hyperparameters = False

    def write(self, step: int, values: Mapping[str, float]) -> None:
        self._last = step
        metrics = two_metrics(values)
        if metrics:
            self._write_hyperparameters(list(metrics))
        for name, value in {**values, **metrics}.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self, status: str, final: Mapping[str, float]) -> None:
        del final  # its curves have it
        self._writer.add_text("status", status, self._last)
        self._write_hyperparameters([])
        self._writer.close()
        write_logged(self._folder, self._run.trial_id, status)

    def _write_hyperparameters(self, metrics: Sequence[str]) -> None:
        if not self._has_hyperparameters:
            self._has_hyperparameters = True
            for summary in _hyperparameters(self._run, metrics):
                self._writer.file_writer.add_summary(summary)


def two_metrics(values: Mapping[str, float]) -> dict[str, float]:
    """Return the mean over the training environments and the worst of the test environments.

    Of the accuracy, and where there is none of the risk. Where `values` has neither split, it is left out.

    Parameters
    ----------
    values
        By `split/environment/measure`; others are ignored.
    """
    measure = "accuracy" if any(name.endswith("/accuracy") for name in values) else "risk"
    of_split = {
        split: [v for name, v in values.items() if name.startswith(f"{split}/") and name.endswith(f"/{measure}")]
        for split in ("train", "test")
    }
    found = {}
    if train := of_split["train"]:
        found[f"summary/train_{measure}_mean"] = math.fsum(train) / len(train)
    if test := of_split["test"]:
        found[f"summary/test_{measure}_worst"] = min(test) if measure == "accuracy" else max(test)
    return found


def _hyperparameters(run: Run, metrics: Sequence[str]) -> list[Any]:
    """Return the summaries of the HParams tab: its columns, which are those of the whole sweep, and the run's line.

    TensorBoard takes the columns from the first run that it reads, so each run has the same.
    """
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
    from torch.utils.tensorboard.summary import hparams

    words: dict[str, Any] = {key: _number_or_text(value) for key, value in run.words().items()}
    _, start, end = hparams(words, {})
    columns = dict.fromkeys(["method", *run.keys, *words])
    experiment = api_pb2.Experiment(
        hparam_infos=[api_pb2.HParamInfo(name=name) for name in columns],
        metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics],
    )
    content = plugin_data_pb2.HParamsPluginData(experiment=experiment, version=metadata.PLUGIN_DATA_VERSION)
    first, _, _ = hparams({}, {})
    first.value[0].metadata.plugin_data.content = content.SerializeToString()
    return [first, start, end]


def _number_or_text(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word or "true"


class TensorBoard(Logger):
    """Logs to TensorBoard (`logger=tensorboard`)."""

    package: ClassVar[str | None] = "tensorboard"

    directory: str | None
    """Folder of the runs; null: `tensorboard` in the store."""

    def open(self, run: Run) -> Stream:
        """Start a new event file in `directory/SWEEP/NAME`, and delete earlier ones."""
        folder = self._folder(run)
        for old in [folder / LOGGED, *folder.glob("events.out.tfevents.*")]:
            old.unlink(missing_ok=True)
        return _EventFile(folder, run)

    def closed(self, runs: Sequence[Run]) -> dict[str, str]:
        """Return by trial id the status of the runs that are there."""
        records = [(run, read_logged(self._folder(run))) for run in runs]
        return {run.trial_id: record[1] for run, record in records if record and record[0] == run.trial_id}

    def _folder(self, run: Run) -> Path:
        return Path(self.directory or "tensorboard") / run.sweep / run.name
