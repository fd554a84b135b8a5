"""A dataset's draw, held against what its class announces: most mistakes in one would train without a word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from irm_sweeps.data.dataset import Array, Dataset, Environment, EvaluationSet, PerEnvironment, TrialData, as_float
from irm_sweeps.errors import UserError
from irm_sweeps.process_state import fresh_state

if TYPE_CHECKING:
    import torch

ONE_EACH = "a numpy array [n, ...] for each training environment is needed"


def checked_draw(dataset: Dataset, seed: int, data_dir: Path, dtype: torch.dtype | None = None) -> TrialData:
    """Return the data of the trial with this seed.

    Parameters
    ----------
    dtype
        The number format in which the dataset will prepare its inputs: see `check_drawn`.

    Raises
    ------
    UserError
        As `Dataset.draw` and `check_drawn` do.
    """
    with fresh_state():
        data = dataset.draw(seed, data_dir)
        check_drawn(dataset, data, dtype)
    return data


def check_drawn(dataset: Dataset, data: TrialData, dtype: torch.dtype | None = None) -> None:
    """Check names, shapes, number formats and values of a draw. It costs a minimum and a maximum of each array.

    Parameters
    ----------
    dtype
        That of the inputs which `prepare` gets, as `training.precision` says; None: float32.

    Raises
    ------
    UserError
        The message names the class, the split, the environment, the value and what is needed.
    """
    complaint = next(_complaints(dataset, data, dtype), None)
    if complaint is not None:
        raise UserError(f"{type(dataset).__name__}: {complaint}")


def _complaints(dataset: Dataset, data: TrialData, dtype: torch.dtype | None) -> Iterator[str]:
    """Yield what is wrong; only the first is to be trusted, since each check rests on those before it."""
    if dataset.loss not in ("cross_entropy", "squared"):
        yield f"`loss` is {dataset.loss!r}: choose cross_entropy or squared"
    if dataset.loss == "squared" and dataset.outputs != 1:
        yield f"`outputs` is {dataset.outputs}: a regression (`loss` is squared) has 1"
    if not isinstance(data, TrialData):
        yield f"`draw` returns {_a(data)}: a TrialData is needed"
    yield from _names("train", data.names)
    yield from _training(dataset, data, dtype)
    if "train" in data.held_out:
        yield "held_out has a split `train`: that is the name of what is trained on; choose another"
    for split, held_out in data.held_out.items():
        yield from _held_out(dataset, split, held_out, dtype)
    if "test" not in data.held_out:
        yield f"held_out has no split `test`, only {list(data.held_out)}: it is what results are about"
    if dataset.shifted not in data.held_out["test"].environments:
        known = list(data.held_out["test"].environments)
        yield f"`shifted` is {dataset.shifted!r}, which is no environment of the split test: choose one of {known}"
    if "val" in data.held_out and list(data.held_out["val"].environments) != list(data.names):
        found = list(data.held_out["val"].environments)
        yield f"val has the environments {found}: they must be the training ones in their order, {list(data.names)}"


def _names(split: str, names: Sequence[str]) -> Iterator[str]:
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name:
            yield f"{split}: an environment is named {name!r}: names are words, e.g. {str(name) or '0'!r}"
        if name in names[:i]:
            yield f"{split}: two environments are named {name!r}: give each a name of its own, e.g. '{i}:{name}'"
    if not len(names):
        yield f"{split}: there is no environment"


def _training(dataset: Dataset, data: TrialData, dtype: torch.dtype | None) -> Iterator[str]:
    for what, own in (("inputs", data.inputs), ("labels", data.labels)):
        yield from _one_each(what, own, data.names)
    like = data.inputs[0]
    for name, inputs, labels in zip(data.names, data.inputs, data.labels, strict=True):
        where = f"train environment {name!r}"
        if labels.ndim != 1 or inputs.shape[:1] != labels.shape or not inputs.size:
            yield f"{where}: inputs are {_a(inputs)}, labels {_a(labels)}: [n, ...] and [n] with n > 0 are needed"
        if inputs.shape[1:] != like.shape[1:] or inputs.dtype != like.dtype:
            yield f"{where}: inputs are {_a(inputs)}, those of {data.names[0]!r} {_a(like)}: only their n may differ"
        yield from _inputs(where, inputs, dtype)
        yield from _labels(dataset, where, labels, dtype)
    yield from _prepared(dataset, "train", like, dtype)


def _one_each(what: str, own: PerEnvironment, names: Sequence[str]) -> Iterator[str]:
    if not isinstance(own, np.ndarray | list | tuple):
        yield f"train: {what} are {_a(own)}: {ONE_EACH}"
    for name, array in zip(names, own, strict=False):
        if not isinstance(array, np.ndarray) or array.dtype.kind == "O":
            yield f"train environment {name!r}: {what} are {_a(array)}: {ONE_EACH}"
    if len(own) != len(names):
        yield f"train: {len(names)} names {list(names)} for {len(own)} environments of {what}"


def _held_out(dataset: Dataset, split: str, own: EvaluationSet, dtype: torch.dtype | None) -> Iterator[str]:
    if not isinstance(own, EvaluationSet):
        yield f"{split} is {_a(own)}: an EvaluationSet is needed"
    if not isinstance(own.inputs, np.ndarray) or not own.inputs.ndim or not own.inputs.size:
        yield f"{split}: inputs are {_a(own.inputs)}: one array [m, ...] with m > 0 is needed"
    yield from _names(split, list(own.environments))
    yield from _inputs(f"split {split}", own.inputs, dtype)
    for name, environment in own.environments.items():
        yield from _environment(f"{split} environment {name!r}", environment, len(own.inputs))
        yield from _labels(dataset, f"{split} environment {name!r}", environment.labels, dtype)
    yield from _prepared(dataset, split, own.inputs, dtype)


def _environment(where: str, own: Environment, inputs: int) -> Iterator[str]:
    for what, array in (("index", own.index), ("labels", own.labels)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or not array.size:
            yield f"{where}: `{what}` is {_a(array)}: a numpy array [n] with n > 0 is needed"
    if len(own.index) != len(own.labels):
        yield f"{where}: {len(own.index)} positions in `index`, and {len(own.labels)} labels: one label each"
    if own.index.dtype.kind not in "iu":
        yield f"{where}: `index` is of {own.index.dtype}: positions in the split's inputs are whole numbers"
    for position in (own.index.min(), own.index.max()):
        if not 0 <= position < inputs:
            yield f"{where}: `index` has {position}: positions in the split's inputs are 0 to {inputs - 1}"


def _inputs(where: str, inputs: Array, dtype: torch.dtype | None) -> Iterator[str]:
    if inputs.dtype.kind != "f" and inputs.dtype != np.uint8:
        yield f"{where}: inputs are of {inputs.dtype}: give floats, or uint8, which the network sees as 0...1"
    if inputs.dtype.char == "g":
        yield f"{where}: inputs are of {inputs.dtype}, which torch does not know: give float64 or float32"
    if inputs.dtype.kind == "f":
        # Both are NaN where any input is.
        yield from _finite(f"{where}: an input", "inputs", (inputs.min(), inputs.max()), dtype)


def _seen(dtype: torch.dtype | None) -> type[np.float64] | type[np.float32]:
    import torch

    return np.float64 if dtype is torch.float64 else np.float32


def _finite(what: str, all_of_them: str, extremes: Sequence[Any], dtype: torch.dtype | None) -> Iterator[str]:
    """Yield which extreme is not finite, or is no longer in the number format that the network sees."""
    known = np.finfo(_seen(dtype))
    for extreme in extremes:
        if not np.isfinite(extreme):
            yield f"{what} is {extreme}: {all_of_them} must be finite"
        if abs(extreme) > known.max:
            yield f"{what} is {extreme}, and {known.dtype} ends at {known.max:.3g}: scale {all_of_them} in `draw`"


def _labels(dataset: Dataset, where: str, labels: Array, dtype: torch.dtype | None) -> Iterator[str]:
    if labels.dtype.kind not in "biuf":
        yield f"{where}: labels are of {labels.dtype}: numbers are needed"
    if labels.dtype.char == "g":
        yield f"{where}: labels are of {labels.dtype}, which torch does not know: give float64 or int64"
    extremes = labels.min(), labels.max()
    if dataset.loss == "squared":
        yield from _finite(f"{where}: a label", "labels", extremes, dtype)
        return
    classes = max(2, dataset.outputs)
    fraction = labels.dtype.kind == "f" and labels % 1 != 0
    wrong = [x for x in extremes if not 0 <= x < classes] or labels[fraction].tolist()
    if wrong:
        allowed = "0 or 1" if classes == 2 else f"0 to {classes - 1}"
        yield (
            f"{where}: a label is {wrong[0]}: with `outputs` {dataset.outputs} labels are {allowed}; relabel in "
            "`draw`, or let `outputs` be the number of classes"
        )


def _prepared(dataset: Dataset, split: str, inputs: Array, dtype: torch.dtype | None) -> Iterator[str]:
    """Hold the shape that the network sees against `features`, on two inputs."""
    import torch

    few = as_float(inputs[:2]) if inputs.dtype == np.uint8 else inputs[:2].astype(_seen(dtype))
    k = dataset.draws_per_image if split == "train" or dataset.draws_at_test else 0
    uniforms = torch.full((len(few), k), 0.5, dtype=torch.float64) if k else None
    seen = dataset.prepare(torch.from_numpy(few).to(dtype), uniforms, training=split == "train")
    if seen.shape != (len(few), *dataset.features):
        yield (
            f"{split}: an input reaches the network with the shape {tuple(seen.shape[1:])}, and `features` is "
            f"{dataset.features}: make them the same"
        )


def _a(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {list(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"
