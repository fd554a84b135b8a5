"""The fuzzers' targets: each accepts any input, and raises only for a bug in the product."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irm_sweeps import load_results
from irm_sweeps.analysis.report import inventory
from irm_sweeps.commands.comparison import compare, describe, device_of
from irm_sweeps.commands.show import scores_table
from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.files.untrusted import parse_json
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.training.checkpoint import FORMAT, BadCheckpoint, unpack
from irm_sweeps.trial import Trial

CONFIG: dict[str, Any] = {
    "dataset": {
        "_target_": "irm_sweeps.data.colored_mnist.ColoredMNIST",
        "source": "embedded",
        "classes": 2,
        "p_e": [0.2, 0.1],
        "label_noise": [0.25, 0.25],
        "test_p_e": [0.1, 0.9],
        "test_label_noise": 0.25,
        "n_train": 50,
        "n_val": 0,
        "grayscale": False,
    },
    "backbone": {"_target_": "irm_sweeps.backbones.mlp.MLP", "depth": 2, "width": 8, "init": "xavier"},
    "method": {
        "_target_": "irm_sweeps.methods.irmv1.IRMv1",
        "on": "output",
        "dummy": "scalar",
        "form": "squared",
        "environments": "mean",
        "hidden_norm": "sum",
        "risk": "mean",
        "head": "penalised",
        "anneal": 3,
        "weight_before_anneal": 1.0,
        "rescale": "weight",
        "reset_optimizer": False,
    },
    "optimizer": {
        "_target_": "irm_sweeps.training.optimizers.Adam",
        "lr": 0.001,
        "betas": [0.9, 0.999],
        "eps": 1e-08,
        "weight_decay": 0.0,
    },
    "training": {
        "steps": 20,
        "batch_size": None,
        "l2": 0.01,
        "evaluate_every": 0,
        "log_every": 10,
        "precision": "float32",
    },
    "lam": 10.0,
    "seed": 0,
}
TRIAL_ID = "0123456789abcdef"
SCORES = {"risk": 0.5, "accuracy": 0.75}
RESULT: dict[str, Any] = {
    "schema": 1,
    "trial_id": TRIAL_ID,
    "status": "completed",
    "config": CONFIG,
    "metrics": {"last": {"step": 20, "scores": {"train": {"0.2": SCORES}, "test": {"0.1": SCORES, "0.9": SCORES}}}},
    "steps": 20,
    "timing": {"finished": "2026-01-01T00:00:00+00:00", "seconds": 0.5, "stack_size": 1},
    "provenance": {
        "git": {"commit": "0" * 40, "dirty": False},
        "software": {"python": "3.11", "torch": "2"},
        "hardware": {"device": "cpu", "name": "x", "instructions": "AVX2", "threads": 1},
        "seed": 0,
        "stack": [TRIAL_ID],
        "parameters_sha256": "0" * 64,
        "data_sha256": {"embedded": "0" * 64},
    },
}
TENSOR_BYTES = 8
HEADER: dict[str, Any] = {
    "__metadata__": {
        "format": FORMAT,
        "trial_id": TRIAL_ID,
        "state": {
            "step": 3,
            "seconds": 0.5,
            "history": [{"step": 0, "risks": [0.1, None]}, {"step": 2, "scores": {"test": {"0.1": SCORES}}}],
            "evaluations": [{"step": 2, "scores": {"test": {"0.1": SCORES}}}],
        },
    },
    "model.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, TENSOR_BYTES]},
}


def a_config(values: Any, *, trusted: bool) -> Trial | None:
    """Read a config; return its trial, or None if it is told apart from one."""
    trial = None
    with or_one_line(UserError):
        trial = Trial.from_config(values, trusted=trusted)
    if trial is None:
        return None
    assert len(trial.id) == 16
    assert Trial.from_config(json.loads(json.dumps(trial.canonical)), trusted=False).id == trial.id
    assert trial.kind
    return trial


def a_result(content: bytes, folder: Path) -> bool:
    """Read a result file with every reader; return whether it is a result."""
    store = Store(folder / "results")
    path = store.folder(TRIAL_ID) / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    result = None
    with or_one_line(DamagedFile, naming=path):
        result = store.result(TRIAL_ID)
    if result is None:
        (problem,) = store.results()
        assert isinstance(problem, Problem)
        assert problem.path == path
        return False
    assert set(load_results(store.root)["trial_id"]) <= {TRIAL_ID}
    assert scores_table(result)
    names = inventory.names([result])
    assert inventory.entry(result, store.root, names[TRIAL_ID]).trial_id == TRIAL_ID
    inventory.failure_groups([result], lambda _: store.root, names)
    for summary in (inventory.origins, inventory.data_digests):
        summary([result])
    Progress(0).add(result)
    if result.status != "failed":
        assert describe(result)
        assert device_of(result)
        assert compare(result, result).equal
    a_config(result.config, trusted=False)
    return True


def a_checkpoint(content: bytes) -> bool:
    """Read bytes as a checkpoint, as they are and with the sha256 that they need; return whether they are one then."""
    for own in (content, content + hashlib.sha256(content).digest()):
        found = None
        with or_one_line(BadCheckpoint):
            found = unpack(TRIAL_ID, own)
    if found is None:
        return False
    tensors, plain = found
    assert plain["step"] >= 0
    assert isinstance(tensors, dict)
    return True


def a_stored_config(content: bytes) -> bool:
    """Read bytes as a config of a stranger's store; return whether it is a trial's."""
    values = None
    with or_one_line(ValueError):
        values = parse_json(content)
    return isinstance(values, dict) and a_config(values, trusted=False) is not None


def a_stored_result(content: bytes) -> bool:
    """Read bytes as a result file."""
    with tempfile.TemporaryDirectory() as folder:
        return a_result(content, Path(folder))


def a_header(content: bytes) -> bool:
    """Read bytes as the JSON at a checkpoint's head, whose state may be given as JSON too, with zeros for tensors."""
    with suppress(ValueError, RecursionError, KeyError, TypeError):
        header = json.loads(content)
        state = header["__metadata__"]["state"]
        if isinstance(state, dict):
            header["__metadata__"]["state"] = json.dumps(state)
            content = json.dumps(header).encode()
    return a_checkpoint(len(content).to_bytes(8, "little") + content + bytes(TENSOR_BYTES))


def strict_json(content: bytes) -> bool:
    """Read bytes as JSON, twice; return whether it is strict."""
    try:
        found = parse_json(content)
    except ValueError:
        return False
    assert found == json.loads(content) or b"\\ud" in content.lower()
    return True


@contextmanager
def or_one_line(error: type[Exception], naming: object = "") -> Iterator[None]:
    """Let an error of this kind pass if it says something short that names what it is about."""
    try:
        yield
    except error as told:
        message = str(told)
        if not message or len(message) > 20_000 or str(naming) not in message:
            raise AssertionError(f"{len(message)} characters: {message[:200]!r}") from told


@dataclass(frozen=True)
class Target:
    """What reads bytes and says whether they were what it reads, and examples which are."""

    read: Callable[[bytes], bool]
    examples: tuple[bytes, ...]


def _texts(*values: Any) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


FAILURE = {**RESULT, "status": "failed", "error": {"kind": "crash", "message": "x", "details": ""}, "metrics": {}}
TARGETS = {
    "result": Target(a_stored_result, _texts(RESULT, {**FAILURE, "steps": None})),
    "config": Target(a_stored_config, _texts(CONFIG)),
    "checkpoint": Target(a_header, _texts(HEADER)),
    "json": Target(strict_json, _texts(CONFIG, {"a": [1e3, -0.5, "\ud800", None]})),
}
"""What `fuzz_files.py` fuzzes, by name."""
