"""Small trials of deep models on small CIFAR-MNIST archives."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from archives import write_archives
from irm_sweeps.sweep.grid import expand
from irm_sweeps.training.loop import StackTraining
from irm_sweeps.trial import Trial

SMALL = {"anneal": 1, "ib_anneal": 1, "emb_dim": 4, "hidden_dim": 6}
CONFIG = {
    "dataset": {"n_train": 40, "n_test": 20, "resolution": 32, "label_noise": 0.0},
    "backbone": {"weights": "none"},
    "training": {"batch_size": 8, "batches": "pooled", "steps": 3, "l2": 1e-4, "log_every": 1},
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archives(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def composed():
    found: dict[tuple[str, ...], dict[str, Any]] = {}

    def compose(*choices: str) -> dict[str, Any]:
        if choices not in found:
            (found[choices],) = expand(["dataset=cifar_mnist", "optimizer=sgd", *choices])
        return copy.deepcopy(found[choices])

    return compose


@pytest.fixture(scope="module")
def make(composed):
    """A small trial; keywords are sections: make("method=erm", training={"steps": 2})."""

    def trial(*choices: str, **sections: dict[str, Any]) -> Trial:
        names = [choice.partition("=")[0] for choice in choices]
        config = composed(*choices, *([] if "backbone" in names else ["backbone=resnet18"]))
        for section in (CONFIG, sections):
            for name, values in section.items():
                config[name] |= {k: v for k, v in values.items() if k in config[name]}
        config["method"] |= {key: value for key, value in SMALL.items() if key in config["method"]}
        config["method"] |= sections.get("method", {})
        return Trial.from_config({**config, "lam": 2.0})

    return trial


@pytest.fixture(scope="module")
def start(data_dir: Path):
    return lambda trial: StackTraining([trial], data_dir, torch.device("cpu"))
