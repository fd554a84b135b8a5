"""MLflow: one run per trial, one experiment per sweep; by default in files.

`MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri results/mlflow` shows them: MLflow 3 has to be told to.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from irm_sweeps.compose import leaves
from irm_sweeps.loggers.logger import Logger, Run, Stream

_BATCH = 500
"""Metrics and parameters in one call: MLflow takes at most 1,000 of the one and 100 of the other."""
_STATUS = {"completed": "FINISHED", "diverged": "FINISHED", "interrupted": "KILLED"}
_TRIAL = "irm_sweeps.trial_id"
"""The tag of a run that holds its trial's id."""
_ID_FILE = "mlflow_run.txt"
"""The run's id, in the trial's folder: MLflow's own search reads every run of a file store."""
_LONGEST_NAME = 250


class _MlflowRun(Stream):
    def __init__(self, client: Any, run: Run) -> None:
        from mlflow.entities import Param

        self._client = client
        id_file = run.folder / _ID_FILE
        _delete_earlier(client, id_file, run.trial_id)
        tags = {_TRIAL: run.trial_id}
        self._id = client.create_run(_experiment(client, run.sweep), run_name=run.name, tags=tags).info.run_id
        id_file.unlink(missing_ok=True)  # a link that somebody has put there is not followed
        id_file.write_text(self._id)
        params = [
            Param(fit(name), value if isinstance(value, str) else json.dumps(value))
            for name, value in leaves(run.config)
        ]
        try:
            for i in range(0, len(params), 100):
                client.log_batch(self._id, params=params[i : i + 100])
        except Exception:
            client.set_terminated(self._id, "FAILED")
            raise

    def write(self, step: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(fit(name), value, now, step) for name, value in values.items()]
        for i in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._id, metrics=metrics[i : i + _BATCH])

    def close(self, status: str, final: Mapping[str, float]) -> None:
        try:
            self.write(0, {f"final/{name}": value for name, value in final.items()})
        finally:
            self._client.set_tag(self._id, "irm_sweeps.status", status)
            self._client.set_terminated(self._id, _STATUS.get(status, "FAILED"))


def fit(name: str) -> str:
    """Return a name that MLflow takes: one that it refuses gets `_` for what it refuses, and a hash of what it was.

    MLflow takes letters, digits and `_-. :`, and slashes if the name is then a path as short as it can be.
    """
    is_path = posixpath.normpath(name) == name and name != "." and not name.startswith(("/", ".."))
    if is_path and re.fullmatch(r"[/\w.\- :]+", name) and len(name.encode()) <= _LONGEST_NAME:
        return name
    parts = [re.sub(r"[^\w.\- :]", "_", part).strip(".") for part in name.split("/")]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    kept = "/".join(filter(None, parts)).encode()[: _LONGEST_NAME - len(digest) - 1].decode(errors="ignore")
    return f"{kept}_{digest}"


def _delete_earlier(client: Any, id_file: Path, trial_id: str) -> None:
    """Delete the run that an earlier process made for the trial, if it is still there and can be read."""
    if not id_file.is_file():
        return
    run_id = id_file.read_text(errors="replace").strip()
    # It may be deleted by hand, of another server, or cut short, for which MLflow has no error of its own. Where the
    # server does not answer, the next call fails too.
    with suppress(Exception):
        if client.get_run(run_id).data.tags.get(_TRIAL) == trial_id:
            client.delete_run(run_id)


def _experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another worker has just made it
            found = client.get_experiment_by_name(name)
    return str(found.experiment_id)


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

    def check(self) -> None:
        """Import it, prepared."""
        self._prepare()
        super().check()

    def _prepare(self) -> None:
        """Say, before it is imported, that files will do, and that nobody is to be told over the network."""
        if self.tracking_uri is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    def open(self, run: Run) -> Stream:
        """Delete the earlier run of the trial and start a new one."""
        self._prepare()
        from mlflow import MlflowClient

        files = Path(self.directory or "mlflow").absolute().as_uri()
        return _MlflowRun(MlflowClient(tracking_uri=self.tracking_uri or files), run)
