"""Shared code of the contract suites of datasets and backbones: all choices, and small trials of them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import archives
import small_sst2
from irm_sweeps.conf_folders import conf_dir, own_conf_dir, yamls
from irm_sweeps.config import build_component, import_class
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import GROUPS, Trial

SMALL = {
    "n_train": 40,
    "n_val": 10,
    "n_test": 20,
    "source": "embedded",
    "resolution": 32,
    "glove_dim": small_sst2.DIM,
    "width": 6,
    "weights": "none",
}
"""Values of fields with which a trial takes milliseconds and needs no download."""


def names(group: str) -> list[str]:
    """Return every choice of a group: the package's, and those in IRM_SWEEPS_CONF."""
    if own_conf_dir() is not None and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the folder of a user's classes, as in launch.py
    return [path.stem for path in yamls(group)]


def component(group: str, name: str, **changes: Any) -> Any:
    """Return the choice with small values; `changes` apply to the fields that it has."""
    (path,) = (path for path in yamls(group) if path.stem == name)
    values = yaml.safe_load(path.read_text())
    fields = import_class(values["_target_"], GROUPS[group], group).model_fields
    small = {key: value for key, value in {**SMALL, **changes}.items() if key in fields}
    return build_component({**values, **small}, GROUPS[group], group)


def data_dir(name: str, folder: Path) -> Path:
    """Return a dataset's data folder: `folder` with small files for the package's, else the user's folder."""
    if not (conf_dir() / "dataset" / f"{name}.yaml").exists():
        return Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "data")).absolute()
    if name == "cifar_mnist" and not (folder / "cifar10.npz").exists():
        archives.write_archives(folder)
    if name == "punctuated_sst2" and not (folder / "SST-2").exists():
        small_sst2.write(folder)
    return folder


def trial(dataset: Any, backbone: Any, seed: int, precision: str = "float64") -> Trial:
    """Return a trial of two steps of ERM, each followed by an evaluation."""
    optimizer = yaml.safe_load((conf_dir() / "optimizer" / "adam.yaml").read_text())
    training = {"steps": 2, "batch_size": 4, "l2": 0.001, "evaluate_every": 1, "log_every": 1}
    return Trial.model_validate(
        {
            "dataset": dataset,
            "backbone": backbone,
            "method": component("method", "erm"),
            "optimizer": build_component(optimizer, GROUPS["optimizer"], "optimizer"),
            "training": {**training, "precision": precision},
            "lam": None,
            "seed": seed,
        }
    )


def start(trials: Sequence[Trial], folder: Path) -> StackTraining:
    """Return the training of a stack on the CPU, before its first step."""
    return StackTraining(trials, folder, torch.device("cpu"))


def sha256(data: TrialData) -> str:
    """Return the sha256 of everything that a draw returns."""
    digest = hashlib.sha256(repr(list(data.names)).encode())
    arrays = {"inputs": data.inputs, "labels": data.labels}
    if data.side is not None:
        arrays["side"] = np.concatenate(list(data.side))
    for split, evaluation_set in data.held_out.items():
        arrays[split] = evaluation_set.inputs
        for name, environment in evaluation_set.environments.items():
            arrays |= {f"{split}/{name}": environment.index, f"{split}/{name}/labels": environment.labels}
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def parameters(run: StackTraining) -> dict[str, torch.Tensor]:
    """Return copies of the first trial's parameters by name."""
    return {name: t[0].detach().clone() for name, t in run.parameters.tensors().items()}
