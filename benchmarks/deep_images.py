"""How many images per second does a CIFAR-MNIST trial train, against its bound and against a DataLoader?

    python benchmarks/deep_images.py [--backbone resnet18] [--resolution 224] [--batch 128] [--steps 6] [--rounds 3]
                                     [--precision float32|bf16] [--channels-last] [--workers 4]

Three sides, each ERM with SGD on the same machine, alternating in processes of their own:

* `trial`: ours: bytes on the device, cropping, resizing and normalising there;
* `bound`: torchvision's network in a plain loop over one batch of ready float tensors on the device;
* `pipeline`: the same loop fed as lin2021's released code does: PIL images, torchvision's transforms
  (RandomResizedCrop, flip, ToTensor, Normalize) in a DataLoader with worker processes.

The most memory that each held is said too: of the GPU, else of the process. That no step waits for the device is
a test (`tests/training/test_pretended_gpu.py`).

Images are random bytes of CIFAR-MNIST's shape, 3 x 64 x 32, which cost the same as real ones. All sides take their
products alike (`irm_sweeps.device.numerics`): on a GPU float32 is float32, not torch's default TF32, and kernels are
repeatable. On a GPU a reading spans 10 steps, between which nobody waits, and the device is waited for before a clock
is read.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from frame import WARM_UP, Table, answer, arguments, block, conclude, in_own_process, parser, timed

SIDES = ("trial", "bound", "pipeline")


def network(options: argparse.Namespace, device: Any) -> Any:
    import torch
    from torch import nn
    from torchvision import models

    model = getattr(models, options.backbone)(weights=None)
    model.fc = nn.Linear(model.fc.in_features, 1)
    model = model.to(device).train()
    return model.to(memory_format=torch.channels_last) if options.channels_last else model


def plain_loop(options: argparse.Namespace, batches: Any) -> list[float]:
    """Return seconds per step of an ordinary loop over an iterator of (images, labels)."""
    import torch
    from torch.nn import functional as F

    from irm_sweeps.device import choose_device, numerics

    device = choose_device("auto")
    model = network(options, device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=True)
    mixed = options.precision == "bf16"

    def step() -> None:
        images, labels = next(batches)
        x, y = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        if options.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
            logits = model(x).squeeze(1)
        loss = F.binary_cross_entropy_with_logits(logits.float(), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    with numerics(device, large=True):
        return timed(step, options.steps)


def size(options: argparse.Namespace) -> tuple[int, int]:
    return (64, 32) if options.resolution == "native" else (int(options.resolution), int(options.resolution))


def bound(options: argparse.Namespace) -> list[float]:
    import torch

    from irm_sweeps.device import choose_device

    device = choose_device("auto")
    images = torch.randn(options.batch, 3, *size(options), device=device)
    labels = torch.randint(0, 2, (options.batch,), device=device).float()
    return plain_loop(options, iter(lambda: (images, labels), None))


def pipeline(options: argparse.Namespace) -> list[float]:
    import numpy as np
    import torch
    from PIL import Image
    from torchvision import transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size(options), scale=(0.7, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    count = options.batch * (options.steps + WARM_UP) * block()
    pixels = np.random.default_rng(0).integers(0, 256, (count, 64, 32, 3), np.uint8)

    class Images(torch.utils.data.Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return count

        def __getitem__(self, i: int) -> tuple[Any, float]:
            return transform(Image.fromarray(pixels[i])), float(i % 2)

    loader = torch.utils.data.DataLoader(Images(), options.batch, shuffle=True, num_workers=options.workers)
    return plain_loop(options, ((x, y.float()) for x, y in loader))


def trial(options: argparse.Namespace) -> list[float]:
    import numpy as np

    from irm_sweeps.device import choose_device, numerics, tame_allocator
    from irm_sweeps.sweep.grid import trials
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for name, shape, labels in (("cifar10", (32, 32, 3), (1, 2)), ("mnist", (28, 28), (0, 1))):
            arrays = {}
            for split, n in (("train", 60_000 if name == "mnist" else 4_000), ("test", 10_000)):
                arrays[f"x_{split}"] = generator.integers(0, 256, (n, *shape), np.uint8)
                arrays[f"y_{split}"] = np.resize(np.array(labels, np.uint8), n)
            np.savez(Path(folder) / f"{name}.npz", **arrays)
        (only,) = trials(
            [
                "dataset=cifar_mnist",
                f"dataset.resolution={options.resolution}",
                f"dataset.n_train={2000 // options.batch * options.batch}",  # else an epoch ends with a small batch
                "dataset.n_test=100",
                f"backbone={options.backbone}",
                "backbone.weights=none",
                f"backbone.channels_last={str(options.channels_last).lower()}",
                "method=erm",
                "optimizer=sgd",
                "training.batches=pooled",
                "training.l2=0",
                f"training.batch_size={options.batch}",
                f"training.precision={options.precision}",
            ]
        ).values()
        training = StackTraining([only], Path(folder), choose_device("auto"))
    with numerics(training.device, training.data.large):
        return timed(training._advance, options.steps)


def main() -> None:
    made = parser(__doc__, rounds=2)
    made.add_argument("--backbone", default="resnet18", choices=["resnet18", "resnet50"])
    made.add_argument("--resolution", default="native", help="native or pixels (224 in lin2021)")
    made.add_argument("--batch", type=int, default=64)
    made.add_argument("--steps", type=int, default=6)
    made.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    made.add_argument("--channels-last", action="store_true")
    made.add_argument("--workers", type=int, default=4, help="of the pipeline's DataLoader; 4 in the released code")
    options = arguments(made)
    if options.quick:
        options.batch, options.steps = 8, 1
    if options.side:
        answer([*{"trial": trial, "bound": bound, "pipeline": pipeline}[options.side](options), peak_memory()])
        return

    found = {side: {"rate": [], "memory": []} for side in SIDES}
    for _ in range(options.rounds):
        for side in SIDES:
            *own, memory = in_own_process(side)
            found[side]["rate"] += [options.batch / second for second in own]
            found[side]["memory"].append(memory)
    shape = f"{options.backbone} at {options.resolution}, batch {options.batch}, {options.precision}"
    tables = []
    for what, unit, better, rivals in (
        ("rate", "images/s", "high", ("bound", "pipeline")),
        ("memory", "GB at most", "low", ("bound",)),
    ):
        values = {side: found[side][what] for side in SIDES}
        tables += [Table(f"{shape}: {unit}", rival, unit, better, values=values) for rival in rivals]
    conclude(tables, options)


def peak_memory() -> float:
    """Return the most GB that this process has held: of the GPU's memory, else of the main memory."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
