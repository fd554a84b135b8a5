"""Read back what a logger has written, with its own package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from commands import ROOT, eventually
from irm_sweeps.loggers.logger import Logger

CONF = ROOT / "conf" / "logger"
Points = dict[str, list[tuple[int, float]]]


def points_of_tensorboard(folder: Path) -> Points:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: Points = {}
    for run in folder.glob("tensorboard/*/*"):
        events = EventAccumulator(str(run), size_guidance={"scalars": 0})
        events.Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((e.step, e.value) for e in events.Scalars(tag))
    return found


def points_of_mlflow(folder: Path) -> Points:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=(folder / "mlflow").as_uri())
    found: Points = {}
    for experiment in client.search_experiments():
        for run in client.search_runs([experiment.experiment_id]):
            for name in run.data.metrics:
                history = client.get_metric_history(run.info.run_id, name)
                found.setdefault(name, []).extend((m.step, m.value) for m in history)
    return found


def points_of_wandb(folder: Path) -> Points:
    """From W&B's files: records in LevelDB's log format; those of the history are JSON texts by name."""
    from wandb.proto import wandb_internal_pb2

    found: Points = {}
    for path in folder.glob("wandb/wandb/offline-run-*/*.wandb"):
        for data in leveldb_records(path.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                items = record.history.item
                row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
                step = int(row.pop("_step", record.history.step.num))
                for name, value in row.items():
                    if not name.startswith("_"):
                        found.setdefault(name, []).append((step, value))
    return found


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """After 7 bytes of W&B's own: pieces of checksum (4 bytes), length (2), kind (1), none across 32 KiB."""
    block, header = 32768, 7
    at, whole = header, b""
    while at + header <= len(data):
        if block - at % block < header:
            at += block - at % block
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        if at + header + length > len(data):
            return  # still being written
        whole += data[at + header : at + header + length]
        at += header + length
        if kind in (1, 4):  # the whole record, or its last piece
            yield whole
            whole = b""


READ: dict[str | None, Callable[[Path], Points]] = {
    "tensorboard": points_of_tensorboard,
    "mlflow": points_of_mlflow,
    "wandb": points_of_wandb,
}


def read(logger: Logger, folder: Path, complete: Callable[[Points], bool]) -> Points:
    """What a logger has written; W&B's files are whole a moment after its run has ended."""

    def found() -> Points | None:
        points = READ[logger.package](folder)
        return points if complete(points) else None

    return eventually(found, f"{logger.package} has written everything: {READ[logger.package](folder)}") or {}
