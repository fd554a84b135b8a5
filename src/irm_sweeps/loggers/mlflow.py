"""MLflow: one run per trial, one experiment per sweep; by default in files that `mlflow ui` reads."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from irm_sweeps.loggers.logger import Logger, Run, Stream

_BATCH = 500
"""Metrics and parameters in one call: MLflow takes at most 1,000 of the one and 100 of the other."""
_STATUS = {"completed": "FINISHED", "diverged": "FINISHED", "interrupted": "KILLED"}


class _MlflowRun(Stream):
    def __init__(self, client: Any, run: Run) -> None:
        from mlflow.entities import Param

        self._client = client
        tags = {"irm_sweeps.trial_id": run.trial_id}
        experiment = _experiment(client, run.sweep)
        for old in client.search_runs([experiment], f"tags.`irm_sweeps.trial_id` = '{run.trial_id}'"):
            client.delete_run(old.info.run_id)
        self._id = client.create_run(experiment, run_name=run.name, tags=tags).info.run_id
        params = [Param(name, value) for name, value in _leaves(run.config)]
        for i in range(0, len(params), 100):
            client.log_batch(self._id, params=params[i : i + 100])

    def write(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        for i in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._id, metrics=metrics[i : i + _BATCH])

    def close(self, status: str, final: Mapping[str, float]) -> None:
        self.write(0, {f"final/{name}": value for name, value in final.items()})
        self._client.set_tag(self._id, "irm_sweeps.status", status)
        self._client.set_terminated(self._id, _STATUS.get(status, "FAILED"))


def _experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another worker has just made it
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value if isinstance(value, str) else json.dumps(value)


class MLflow(Logger):
    """`logger=mlflow`."""

    package: ClassVar[str | None] = "mlflow"

    directory: str | None
    """Folder of the file store; null: `mlflow` in the store."""
    tracking_uri: str | None
    """Where runs go instead of to files, e.g. `http://host:5000`; null: to files."""

    def outside(self, results: Path) -> str | None:
        """Return the tracking server, or a folder outside the store."""
        return self.tracking_uri or super().outside(results)

    def open(self, run: Run) -> Stream:
        """Delete earlier runs of the trial and start a new one."""
        import os

        if self.tracking_uri is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow import MlflowClient

        return _MlflowRun(MlflowClient(tracking_uri=self.tracking_uri or f"file:{self.directory or 'mlflow'}"), run)
