"""Log to MLflow: one run per trial, one experiment per sweep, by default in files.

`MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri results/mlflow` shows the runs; MLflow 3 reads a file store
only with this variable.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from irm_sweeps.errors import UserError, one_line, raised
from irm_sweeps.loggers.logger import Logger, Run, Stream
from irm_sweeps.naming.leaves import leaves

_WRITE_SECONDS = 1.0
"""A file that stays half written so long is not being written by another process."""
_BATCH = 500
"""Number of metrics per call; MLflow accepts at most 1,000, and 100 parameters."""
_STATUS = {"completed": "FINISHED", "diverged": "FINISHED", "interrupted": "KILLED"}
_TRIAL, _HOW = "irm_sweeps.trial_id", "irm_sweeps.status"
"""Tags of a run with its trial's id and, once it is closed, its status."""
_ID_FILE = "mlflow_run.txt"
"""File in the trial's folder with the run's id, because MLflow's search reads every run of a file store."""
_LONGEST_NAME = 250
_BOUNDS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Seconds and retries of a request, where the user's environment does not say: MLflow's own are 120 s and 7 retries,
so that each call of a server that is gone takes minutes. A server may not say itself how long to wait for it."""


class _MlflowRun(Stream):
    """A run in MLflow."""

    def __init__(self, client: Any, run: Run) -> None:
        from mlflow.entities import Param

        self._client = client
        _bound_requests()
        id_file = run.folder / _ID_FILE
        _delete_earlier(client, id_file, run.trial_id)
        tags = {_TRIAL: run.trial_id}
        self._id = client.create_run(_experiment(client, run.sweep), run_name=run.name, tags=tags).info.run_id
        id_file.unlink(missing_ok=True)  # so that a symbolic link is not followed
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

        _bound_requests()
        now = int(1000 * time.time())
        metrics = [Metric(fit(name), value, now, step) for name, value in values.items()]
        for i in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._id, metrics=metrics[i : i + _BATCH])

    def close(self, status: str, final: Mapping[str, float]) -> None:
        try:
            self.write(0, {f"final/{name}": value for name, value in final.items()})
        finally:
            self._client.set_terminated(self._id, _STATUS.get(status, "FAILED"))
            self._client.set_tag(self._id, _HOW, status)  # last: it says that the run is whole


def _bound_requests() -> None:
    """Bound the requests of this process; before each call, because a training's end restores the environment."""
    for name, value in _BOUNDS.items():
        os.environ.setdefault(name, value)


def fit(name: str) -> str:
    """Return a name that MLflow accepts.

    MLflow accepts letters, digits and `_-. :`, and slashes in a normalised path. In any other name the invalid
    characters become `_` and a hash of the name is appended.
    """
    is_path = posixpath.normpath(name) == name and name != "." and not name.startswith(("/", ".."))
    if is_path and re.fullmatch(r"[/\w.\- :]+", name) and len(name.encode()) <= _LONGEST_NAME:
        return name
    parts = [re.sub(r"[^\w.\- :]", "_", part).strip(".") for part in name.split("/")]
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    kept = "/".join(filter(None, parts)).encode()[: _LONGEST_NAME - len(digest) - 1].decode(errors="ignore")
    return f"{kept}_{digest}"


def _delete_earlier(client: Any, id_file: Path, trial_id: str) -> None:
    """Delete the run that an earlier process created for the trial, if it exists and can be read."""
    if not id_file.is_file():
        return
    run_id = id_file.read_text(errors="replace").strip()
    # The run may have been deleted by hand, or its id be truncated or of another server, for which MLflow has no
    # specific error. If the server does not respond, the next call raises.
    with suppress(Exception):
        if client.get_run(run_id).data.tags.get(_TRIAL) == trial_id:
            client.delete_run(run_id)


def _experiment(client: Any, name: str) -> str:
    """Return the id of the experiment with this name; create it if it does not exist."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another worker has just created it
            experiment = client.get_experiment_by_name(name)
    return str(experiment.experiment_id)


class MLflow(Logger):
    """Logs to MLflow (`logger=mlflow`)."""

    package: ClassVar[str | None] = "mlflow"

    directory: str | None
    """Folder of the file store; null: `mlflow` in the store."""
    tracking_uri: str | None
    """MLflow server that receives the runs, e.g. `http://host:5000`; null: files. A password does not belong here, but
    into the environment: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."""

    def outside(self, results: Path) -> str | None:
        """Return the tracking server, or a folder outside the store."""
        return self.tracking_uri or super().outside(results)

    def check(self) -> None:
        """Check that MLflow is installed, and that the server answers one request, where there is a server.

        Raises
        ------
        UserError
            One of them is not so.
        """
        self._prepare()
        super().check()
        if self.tracking_uri is None:
            return
        from mlflow import MlflowClient

        try:
            MlflowClient(tracking_uri=self.tracking_uri).search_experiments(max_results=1)
        except Exception as error:  # MLflow's, those of requests, and those of a database
            raise UserError(
                f"logger.tracking_uri={self.tracking_uri!r:.200}: no MLflow server answers there "
                f"({one_line(raised(error))}): start it, correct the address, set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD if it asks for them, or say logger=none"
            ) from None

    def _prepare(self) -> None:
        """Allow MLflow to use files, disable its telemetry, and bound its requests; before MLflow is imported."""
        _bound_requests()
        if self.tracking_uri is None:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    def open(self, run: Run) -> Stream:
        """Delete the earlier run of the trial and start a new one."""
        return _MlflowRun(self._client(), run)

    def closed(self, runs: Sequence[Run]) -> dict[str, str]:
        """Return by trial id the status of the runs that are there, from one look at all runs of their sweeps."""
        there = (one.data.tags for one in self._existing(runs))
        return {tags[_TRIAL]: tags[_HOW] for tags in there if _is_whole(tags)}

    def discard(self, runs: Sequence[Run]) -> None:
        """Delete all runs of these trials in their sweeps' experiments, also those whose creation was cut short."""
        client, trial_ids, names = self._client(), {run.trial_id for run in runs}, {run.name for run in runs}
        for one in self._existing(runs):
            if one.data.tags.get(_TRIAL) in trial_ids or (one.info.run_name in names and _is_cut_short(one)):
                self._delete(client, one)

    def _delete(self, client: Any, one: Any) -> None:
        from mlflow.exceptions import MlflowException

        try:
            client.delete_run(one.info.run_id)
        except MlflowException:
            if self.tracking_uri is not None:
                raise
            # A file store lists a run that was killed before it had its folders, and does not find it.
            shutil.rmtree(Path(self.directory or "mlflow") / one.info.experiment_id / one.info.run_id)

    def _existing(self, runs: Sequence[Run]) -> list[Any]:
        """Return every run that MLflow has in the experiments of these runs' sweeps."""
        try:
            return list(_runs_of(self._client(), runs))
        except Exception:  # MLflow has no specific error for a file that is not whole
            if self.tracking_uri is not None:
                raise
            _delete_half_written(Path(self.directory or "mlflow"))
            return list(_runs_of(self._client(), runs))

    def _client(self) -> Any:
        self._prepare()
        from mlflow import MlflowClient

        files = Path(self.directory or "mlflow").absolute().as_uri()
        return MlflowClient(tracking_uri=self.tracking_uri or files)


def _runs_of(client: Any, runs: Sequence[Run]) -> Iterator[Any]:
    """Yield every run that MLflow has in the experiments of these runs' sweeps."""
    for sweep in {run.sweep for run in runs}:
        if (experiment := client.get_experiment_by_name(sweep)) is None:
            continue
        token = None
        while True:
            page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
            yield from page
            if not (token := page.token):
                break


def _delete_half_written(folder: Path) -> None:
    """Delete metrics, and runs, whose file a killed process or a full disk left empty or without its last line's end.

    For one such file MLflow reads no run of a sweep.
    """
    runs, metrics = _half_written(folder.glob("*/*/meta.yaml")), _half_written(folder.glob("*/*/metrics/**/*"))
    if runs or metrics:
        time.sleep(_WRITE_SECONDS)
    for path in _half_written(metrics):
        path.unlink(missing_ok=True)
    for path in _half_written(runs):
        shutil.rmtree(path.parent, ignore_errors=True)


def _half_written(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.is_file() and _last_byte(path) != b"\n"]


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        return file.read(1)


def _is_cut_short(run: Any) -> bool:
    """Return whether the process that created a run was killed before the run had its trial's tag."""
    data = run.data
    return run.info.status == "RUNNING" and not (data.tags.get(_TRIAL) or data.params or data.metrics)


def _is_whole(tags: Mapping[str, str]) -> bool:
    return _TRIAL in tags and tags.get(_HOW) in ("completed", "diverged", "failed")
