"""The page on which data set goes with which backbone, asked of the classes: a network is built, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

CONF = Path(__file__).resolve().parents[2] / "conf"

_INTRODUCTION = """\
# Which data set goes with which backbone

Any other pair is refused in one line before anything trains. The table is asked of the classes when this page is
built, at their defaults (`conf/`). The shape is that of one input.
"""
_END = """\
`cifar_mnist` has the size that networks with ImageNet weights expect; `dataset.resolution` changes it. A multilayer
perceptron takes images as one vector. Commands to begin with:

```console
python launch.py dataset=colored_mnist backbone=mlp
python launch.py dataset=cifar_mnist backbone=resnet18 data_dir=DIR
python launch.py dataset=punctuated_sst2 backbone=bag_of_words data_dir=DIR
python launch.py dataset=linear_unit_tests backbone=mlp backbone.depth=0
```

The files that each needs: [data](../how_to/air_gapped.md#data). [A data set](../how_to/dataset.md) or [a
backbone](../how_to/backbone.md) of your own stands beside them.
"""


def page() -> str:
    """Return the page."""
    backbones = _choices("backbone")
    lines = ["| `dataset` | shape | " + " | ".join(f"`{name}`" for name in backbones) + " |"]
    lines.append("|---|---|" + "---|" * len(backbones))
    for dataset in _choices("dataset"):
        cells = ["yes" if fits(dataset, backbone) else "–" for backbone in backbones]
        lines.append("| " + " | ".join([f"`{dataset}`", _shape(dataset), *cells]) + " |")
    return "\n".join([_INTRODUCTION, *lines, "", _END])


def fits(dataset: str, backbone: str) -> bool:
    """Return whether a network can be built for the data set's inputs."""
    from irm_sweeps.errors import UserError

    trial = _trial(dataset, backbone)
    try:
        trial.backbone.build(trial.dataset.features, trial.dataset.outputs, torch.Generator().manual_seed(0))
    except UserError:
        return False
    return True


def _trial(dataset: str, backbone: str) -> Any:
    from irm_sweeps.sweep.grid import trials

    without = ["backbone.weights=none"] if "weights:" in (CONF / "backbone" / f"{backbone}.yaml").read_text() else []
    (trial,) = trials([f"dataset={dataset}", f"backbone={backbone}", *without]).values()
    return trial


def _shape(dataset: str) -> str:
    return " × ".join(map(str, _trial(dataset, "mlp").dataset.features))


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
