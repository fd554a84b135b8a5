"""Check the data that a dataset draws against the properties that its class declares.

Most mistakes in a user's dataset would otherwise train without an error and give wrong results.
"""

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
    """Draw the data of the trial with this seed, check them, and return them.

    Parameters
    ----------
    dtype
        Number format of the inputs that `prepare` gets: see `check_drawn`.

    Raises
    ------
    UserError
        As raised by `Dataset.draw` and `check_drawn`.
    """
    with fresh_state(seed=seed):
        data = dataset.draw(seed, data_dir)
        check_drawn(dataset, data, dtype)
    return data


def check_drawn(dataset: Dataset, data: TrialData, dtype: torch.dtype | None = None) -> None:
    """Check the names, shapes, number formats and values of a draw; costs a minimum and a maximum of each array.

    Parameters
    ----------
    dtype
        Number format of the inputs that `prepare` gets, from `training.precision`; None: float32.

    Raises
    ------
    UserError
        The data are invalid; the message names the class, the split, the environment, the value and what is needed.
    """
    problem = next(_problems(dataset, data, dtype), None)
    if problem is not None:
        raise UserError(f"{type(dataset).__name__}: {problem}")


def _problems(dataset: Dataset, data: TrialData, dtype: torch.dtype | None) -> Iterator[str]:
    """Yield error messages. Only the first is reliable, since each check assumes that those before it passed."""
    if dataset.loss not in ("cross_entropy", "squared"):
        yield f"`loss` is {dataset.loss!r}: choose cross_entropy or squared"
    if dataset.is_regression and dataset.outputs != 1:
        yield f"`outputs` is {dataset.outputs}: a regression (`loss` is squared) has 1"
    if not isinstance(data, TrialData):
        yield f"`draw` returns {_describe(data)}: a TrialData is needed"
    yield from _names("train", data.names)
    yield from _training(dataset, data, dtype)
    if data.side is not None:
        yield from _side(data, data.side, dtype)
    if "train" in data.held_out:
        yield "held_out has a split `train`, the name of the training data: choose another name"
    for split, held_out in data.held_out.items():
        yield from _held_out(dataset, split, held_out, dtype)
    if "test" not in data.held_out:
        yield f"held_out has no split `test`, only {list(data.held_out)}: results are about the split `test`"
    if dataset.shifted not in data.held_out["test"].environments:
        known = list(data.held_out["test"].environments)
        yield f"`shifted` is {dataset.shifted!r}, which is not an environment of the split test: choose one of {known}"
    if "val" in data.held_out and list(data.held_out["val"].environments) != list(data.names):
        val_names = list(data.held_out["val"].environments)
        yield f"val has the environments {val_names}: they must be the training ones in their order, {list(data.names)}"


def _names(split: str, names: Sequence[str]) -> Iterator[str]:
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name:
            yield f"{split}: an environment is named {name!r}: names are strings, e.g. {str(name) or '0'!r}"
        if name in names[:i]:
            yield f"{split}: two environments are named {name!r}: give each a name of its own, e.g. '{i}:{name}'"
    if not len(names):
        yield f"{split}: there is no environment"


def _training(dataset: Dataset, data: TrialData, dtype: torch.dtype | None) -> Iterator[str]:
    for what, arrays in (("inputs", data.inputs), ("labels", data.labels)):
        yield from _one_each(what, arrays, data.names)
    first = data.inputs[0]
    for name, inputs, labels in zip(data.names, data.inputs, data.labels, strict=True):
        where = f"train environment {name!r}"
        if labels.ndim != 1 or inputs.shape[:1] != labels.shape or not inputs.size:
            yield (
                f"{where}: inputs are {_describe(inputs)}, labels {_describe(labels)}: "
                "[n, ...] and [n] with n > 0 are needed"
            )
        if inputs.shape[1:] != first.shape[1:] or inputs.dtype != first.dtype:
            yield (
                f"{where}: inputs are {_describe(inputs)}, those of {data.names[0]!r} {_describe(first)}: "
                "only their n may differ"
            )
        yield from _inputs(where, inputs, dtype)
        yield from _labels(dataset, where, labels, dtype)
    yield from _prepared(dataset, "train", first, dtype)


def _side(data: TrialData, side: PerEnvironment, dtype: torch.dtype | None) -> Iterator[str]:
    yield from _one_each("side", side, data.names)
    for name, values, labels in zip(data.names, side, data.labels, strict=True):
        where = f"train environment {name!r}"
        if values.ndim != 2 or len(values) != len(labels) or values.shape[1] != side[0].shape[1] or not values.size:
            yield (
                f"{where}: `side` is {_describe(values)}, for {len(labels)} images, and that of {data.names[0]!r} "
                f"{_describe(side[0])}: [n, k] is needed, with one k > 0"
            )
        if values.dtype.kind not in "biuf" or values.dtype.char == "g":
            yield f"{where}: `side` is of {values.dtype}: give float64 or float32"
        yield from _finite(f"{where}: a value of `side`", "its values", (values.min(), values.max()), dtype)


def _one_each(what: str, arrays: PerEnvironment, names: Sequence[str]) -> Iterator[str]:
    if not isinstance(arrays, np.ndarray | list | tuple):
        yield f"train: {what} are {_describe(arrays)}: {ONE_EACH}"
    for name, array in zip(names, arrays, strict=False):
        if not isinstance(array, np.ndarray) or array.dtype.kind == "O":
            yield f"train environment {name!r}: {what} are {_describe(array)}: {ONE_EACH}"
    if len(arrays) != len(names):
        yield f"train: {len(names)} names {list(names)} for {len(arrays)} environments of {what}"


def _held_out(dataset: Dataset, split: str, evaluation_set: EvaluationSet, dtype: torch.dtype | None) -> Iterator[str]:
    if not isinstance(evaluation_set, EvaluationSet):
        yield f"{split} is {_describe(evaluation_set)}: an EvaluationSet is needed"
    inputs = evaluation_set.inputs
    if not isinstance(inputs, np.ndarray) or not inputs.ndim or not inputs.size:
        yield f"{split}: inputs are {_describe(inputs)}: one array [m, ...] with m > 0 is needed"
    yield from _names(split, list(evaluation_set.environments))
    yield from _inputs(f"split {split}", inputs, dtype)
    for name, environment in evaluation_set.environments.items():
        yield from _environment(f"{split} environment {name!r}", environment, len(inputs))
        yield from _labels(dataset, f"{split} environment {name!r}", environment.labels, dtype)
    yield from _prepared(dataset, split, inputs, dtype)


def _environment(where: str, environment: Environment, n_inputs: int) -> Iterator[str]:
    for what, array in (("index", environment.index), ("labels", environment.labels)):
        if not isinstance(array, np.ndarray) or array.ndim != 1 or not array.size:
            yield f"{where}: `{what}` is {_describe(array)}: a numpy array [n] with n > 0 is needed"
    index, labels = environment.index, environment.labels
    if len(index) != len(labels):
        yield f"{where}: {len(index)} positions in `index`, and {len(labels)} labels: one label each"
    if index.dtype.kind not in "iu":
        yield f"{where}: `index` is of {index.dtype}: positions in the split's inputs are whole numbers"
    for position in (index.min(), index.max()):
        if not 0 <= position < n_inputs:
            yield f"{where}: `index` has {position}: positions in the split's inputs are 0 to {n_inputs - 1}"


def _inputs(where: str, inputs: Array, dtype: torch.dtype | None) -> Iterator[str]:
    if inputs.dtype.kind != "f" and inputs.dtype != np.uint8:
        yield f"{where}: inputs are of {inputs.dtype}: give floats, or uint8, which the network sees as 0...1"
    if inputs.dtype.char == "g":
        yield f"{where}: inputs are of {inputs.dtype}, which torch does not know: give float64 or float32"
    if inputs.dtype.kind == "f":
        # The minimum and the maximum are NaN if any input is.
        yield from _finite(f"{where}: an input", "inputs", (inputs.min(), inputs.max()), dtype)


def _numpy_type(dtype: torch.dtype | None) -> type[np.float64] | type[np.float32]:
    """Return the numpy type of the inputs that `prepare` gets."""
    import torch

    return np.float64 if dtype is torch.float64 else np.float32


def _finite(what: str, all_of_them: str, extremes: Sequence[Any], dtype: torch.dtype | None) -> Iterator[str]:
    """Yield a message for each extreme that is not finite, or overflows in the network's number format."""
    limits = np.finfo(_numpy_type(dtype))
    for extreme in extremes:
        if not np.isfinite(extreme):
            yield f"{what} is {extreme}: {all_of_them} must be finite"
        if abs(extreme) > limits.max:
            yield f"{what} is {extreme}, and {limits.dtype} ends at {limits.max:.3g}: scale {all_of_them} in `draw`"


def _labels(dataset: Dataset, where: str, labels: Array, dtype: torch.dtype | None) -> Iterator[str]:
    if labels.dtype.kind not in "biuf":
        yield f"{where}: labels are of {labels.dtype}: numbers are needed"
    if labels.dtype.char == "g":
        yield f"{where}: labels are of {labels.dtype}, which torch does not know: give float64 or int64"
    extremes = labels.min(), labels.max()
    if dataset.is_regression:
        yield from _finite(f"{where}: a label", "labels", extremes, dtype)
        return
    classes = max(2, dataset.outputs)
    fraction = labels.dtype.kind == "f" and labels % 1 != 0
    invalid = [x for x in extremes if not 0 <= x < classes] or labels[fraction].tolist()
    if invalid:
        allowed = "0 or 1" if classes == 2 else f"0 to {classes - 1}"
        yield (
            f"{where}: a label is {invalid[0]}: with `outputs` {dataset.outputs} labels are {allowed}; relabel in "
            "`draw`, or let `outputs` be the number of classes"
        )


def _prepared(dataset: Dataset, split: str, inputs: Array, dtype: torch.dtype | None) -> Iterator[str]:
    """Compare the shape that `prepare` returns for two inputs with `features`."""
    import torch

    few = as_float(inputs[:2]) if inputs.dtype == np.uint8 else inputs[:2].astype(_numpy_type(dtype))
    k = dataset.draws_per_image if split == "train" or dataset.draws_at_test else 0
    uniforms = torch.full((len(few), k), 0.5, dtype=torch.float64) if k else None
    prepared = dataset.prepare(torch.from_numpy(few).to(dtype), uniforms, training=split == "train")
    if prepared.shape != (len(few), *dataset.features):
        yield (
            f"{split}: an input reaches the network with the shape {tuple(prepared.shape[1:])}, and `features` is "
            f"{dataset.features}: make them the same"
        )


def _describe(value: object) -> str:
    """Return a value's type, and an array's shape, in words with an article."""
    if isinstance(value, np.ndarray):
        return f"an array {list(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"
