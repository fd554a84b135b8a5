"""How many seconds after its start does training on CIFAR-MNIST reach a test accuracy, against a DataLoader's loop?

    python benchmarks/seconds_to_accuracy.py [--accuracy 0.75] [--data-dir data]

ERM on the oracle of CIFAR-MNIST (automobiles against birds, no digits; a tenth of the labels is wrong, so that .9 is
the most), ResNet-18 from scratch at 64 x 32 pixels, SGD in minibatches of 64. Two sides, each in a process of its own:

* `trial`: ours, bytes on the device, crops and flips there;
* `pipeline`: the loop that published code has: PIL images, torchvision's transforms, a DataLoader with workers.

Both see the same 2,000 training images of a seed and are tested on the same 500 images every 16 steps. The clock runs
from the start of the process until an evaluation finds the accuracy: imports, data, and evaluations are included.
Each round has another seed. It is skipped where the two files are not in the data folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frame import Table, answer, arguments, conclude, in_own_process, parser

SIDES = ("trial", "pipeline")
FILES = ("cifar10.npz", "mnist.npz")
BATCH, EVERY, MOST = 64, 16, 640
"""Images of a minibatch; steps from one evaluation to the next, and at most."""
STARTED, SEED = "BENCH_STARTED", "BENCH_SEED"
"""The environment variables that tell a side when its process was started, and the seed of its round."""


def seconds_to(reached: Iterator[float], accuracy: float) -> list[float]:
    """Return the seconds since this process was started, and the steps, when an evaluation finds the accuracy."""
    for i, found in enumerate(reached, 1):
        if found >= accuracy:
            return [time.time() - float(os.environ[STARTED]), EVERY * i]
    sys.exit(f"accuracy {accuracy} was not reached in {MOST} steps")


def oracle() -> Any:
    from irm_sweeps.sweep.grid import trials

    (only,) = trials(
        [
            "dataset=cifar_mnist",
            "dataset.oracle=true",
            "dataset.resolution=native",
            "dataset.n_train=2000",
            "dataset.n_test=500",
            "backbone=resnet18",
            "backbone.weights=none",
            "method=erm",
            "optimizer=sgd",
            "optimizer.lr=0.01",
            "training.batches=pooled",
            "training.l2=0",
            "training.evaluate_train=1",
            f"training.batch_size={BATCH}",
            f"training.steps={MOST}",
            f"seed={os.environ[SEED]}",
        ]
    ).values()
    return only


def trial(options: argparse.Namespace) -> Iterator[float]:
    """Yield the test accuracy after every `EVERY` steps of a trial."""
    from irm_sweeps.device import choose_device, numerics, tame_allocator
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    only = oracle()
    training = StackTraining([only], options.data_dir, choose_device("auto"))
    with numerics(training.device, training.data.large):
        while training.step < MOST:
            for _ in range(EVERY):
                training._advance()
            training._evaluate()
            yield training._progress[0].evaluations[-1].scores["test"][only.dataset.shifted]["accuracy"]


def pipeline(options: argparse.Namespace) -> Iterator[float]:
    """Yield the test accuracy after every `EVERY` steps of a plain loop over a DataLoader."""
    import numpy as np
    import torch
    from PIL import Image
    from torch import nn
    from torch.nn import functional as F
    from torchvision import models, transforms

    only = oracle()
    data = only.dataset.draw(only.seed, options.data_dir)
    held_out = data.held_out["test"]
    tests = held_out.environments[only.dataset.shifted]
    normal = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    crop = transforms.RandomResizedCrop((64, 32), only.dataset.crop_scale, only.dataset.crop_ratio)
    in_training = transforms.Compose([crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), normal])
    at_test = transforms.Compose([transforms.ToTensor(), normal])

    class Images(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __init__(self, pixels: Any, labels: Any, transform: Any) -> None:
            self.images = [Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))) for image in pixels]
            self.labels, self.transform = labels, transform

        def __len__(self) -> int:
            return len(self.images)

        def __getitem__(self, i: int) -> tuple[Any, float]:
            return self.transform(self.images[i]), float(self.labels[i])

    torch.manual_seed(only.seed)
    training_set = Images(np.concatenate(list(data.inputs)), np.concatenate(list(data.labels)), in_training)
    test_set = Images(held_out.inputs[tests.index], tests.labels, at_test)
    kept = {"num_workers": 2, "persistent_workers": True}
    batches = torch.utils.data.DataLoader(training_set, BATCH, shuffle=True, **kept)
    test_batches = torch.utils.data.DataLoader(test_set, 250, **kept)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = models.resnet18(weights=None)
    model.fc = nn.Linear(model.fc.in_features, 1)
    model.to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=only.optimizer.lr, momentum=only.optimizer.momentum)
    step = 0
    while step < MOST:
        for images, labels in batches:
            model.train()
            loss = F.binary_cross_entropy_with_logits(model(images.to(device)).squeeze(1), labels.float().to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % EVERY == 0:
                model.eval()
                with torch.no_grad():
                    right = [((model(x.to(device)).squeeze(1) > 0).cpu() == (y > 0.5)).sum() for x, y in test_batches]
                yield float(sum(right)) / len(test_set)


def main() -> None:
    made = parser(__doc__, rounds=1)
    made.add_argument("--accuracy", type=float, default=0.75)
    made.add_argument("--data-dir", type=Path, default=Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "data")))
    options = arguments(made)
    if options.quick:
        options.accuracy = 0.5
    if options.side:
        answer(seconds_to({"trial": trial, "pipeline": pipeline}[options.side](options), options.accuracy))
        return
    if absent := [name for name in FILES if not (options.data_dir / name).exists()]:
        print(f"skipped: seconds to an accuracy: no {' and no '.join(absent)} in {options.data_dir} (--data-dir)")
        return
    found = {side: [] for side in SIDES}
    for seed in range(options.rounds):
        for side in SIDES:
            env = {STARTED: str(time.time()), SEED: str(seed)}
            found[side].append(in_own_process(side, env=env))
    what = f"CIFAR-MNIST oracle, test accuracy {options.accuracy:g}"
    steps = "; ".join(f"{side} {', '.join(f'{own[1]:.0f}' for own in runs)}" for side, runs in found.items())
    values = {side: [own[0] for own in runs] for side, runs in found.items()}
    conclude([Table(what, "pipeline", "s", note=f"steps: {steps}", values=values)], options)


if __name__ == "__main__":
    main()
