"""The checks of drawn data: each mistake in a user's dataset gives one clear line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from commands import launch
from contracts import component, start, trial
from irm_sweeps.config import build_component
from irm_sweeps.data.dataset import Environment, EvaluationSet, TrialData
from irm_sweeps.data.drawn import check_drawn, checked_draw
from irm_sweeps.errors import UserError
from irm_sweeps.project.template.data.two_bits import TwoBits
from irm_sweeps.trial import GROUPS

NOWHERE = Path("no_data_is_read")
N = 6
SQUARED = ("squared", "squared classes", "squared large")


class Changed(TwoBits):
    """Two bits, of which a test changes what it likes."""

    deed: str
    index: str = "int64"

    @property
    def outputs(self) -> int:
        return 3 if "classes" in self.deed else 1

    @property
    def features(self) -> tuple[int, ...]:
        return (3,) if self.deed == "features" else super().features

    @property
    def shifted(self) -> str:
        return "0.5" if self.deed == "shifted" else super().shifted

    @property
    def loss(self) -> Any:
        return {"hinge": "hinge", **dict.fromkeys(SQUARED, "squared")}.get(self.deed, "cross_entropy")

    @property
    def stacks(self) -> bool:
        return True

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        if self.deed == "sizes":
            return self.model_copy(update={"n": N + seed, "deed": ""}).draw(seed, data_dir)
        if self.deed == "exit":
            raise SystemExit(3)
        if self.deed == "raise" and self.label_noise == 0.25:
            raise RuntimeError("x")
        data = super().draw(seed, data_dir)
        data = with_environment(data, index=data.held_out["test"].environments["0.9"].index.astype(self.index))
        return DEEDS[self.deed](data) if self.deed in DEEDS else data

    def prepare(self, inputs: Tensor, uniforms: Tensor | None, *, training: bool) -> Tensor:
        return inputs @ torch.eye(2, dtype=torch.float64) if self.deed == "float64" else inputs


def with_test(data: TrialData, **changes: Any) -> TrialData:
    return replace(data, held_out={"test": replace(data.held_out["test"], **changes)})


def with_environment(data: TrialData, **changes: Any) -> TrialData:
    environments = data.held_out["test"].environments
    return with_test(data, environments={**environments, "0.9": replace(environments["0.9"], **changes)})


def with_one(array: Any, value: float) -> Any:
    changed = array.astype(np.float32)
    changed.flat[-1] = value
    return changed


def val(*names: str) -> EvaluationSet:
    own = Environment(np.arange(2), np.array([0, 1]))
    return EvaluationSet(np.ones((2, 2), np.float32), dict.fromkeys(names, own))


DEEDS: dict[str, Callable[[TrialData], Any]] = {
    "signs": lambda d: replace(d, labels=2 * d.labels - 1),
    "0 and 2": lambda d: replace(d, labels=2 * d.labels),
    "halves": lambda d: replace(d, labels=d.labels / 2),
    "nan label": lambda d: replace(d, labels=with_one(d.labels, np.nan)),
    "squared": lambda d: replace(d, labels=with_one(d.labels, np.inf)),
    "words": lambda d: replace(d, labels=d.labels.astype(str)),
    "classes": lambda d: with_environment(d, labels=d.labels[0] + 2),
    "test signs": lambda d: with_environment(d, labels=2 * d.labels[0] - 1),
    "twice": lambda d: replace(d, names=["0.9", "0.9"]),
    "numbers": lambda d: replace(d, names=[0.2, 0.1]),
    "three names": lambda d: replace(d, names=["a", "b", "c"]),
    "long": lambda d: replace(d, inputs=d.inputs.astype(np.longdouble)),
    "long test": lambda d: with_test(d, inputs=d.held_out["test"].inputs.astype(np.longdouble)),
    "long labels": lambda d: with_environment(d, labels=d.labels[0].astype(np.longdouble)),
    "large": lambda d: replace(d, inputs=d.inputs.astype(np.float64) - 1e39),
    "test large": lambda d: with_test(d, inputs=d.held_out["test"].inputs.astype(np.float64) + 1e39),
    "squared large": lambda d: replace(d, labels=d.labels * 1e39),
    "side of one": lambda d: replace(d, side=[np.ones((N, 2))]),
    "side of a number": lambda d: replace(d, side=np.ones((2, N))),
    "side in words": lambda d: replace(d, side=np.full((2, N, 1), "red")),
    "side nan": lambda d: replace(d, side=with_one(np.ones((2, N, 1)), np.nan)),
    "nan": lambda d: replace(d, inputs=with_one(d.inputs, np.nan)),
    "test inf": lambda d: with_test(d, inputs=with_one(d.held_out["test"].inputs, -np.inf)),
    "integers": lambda d: replace(d, inputs=d.inputs.astype(np.int64)),
    "ragged": lambda d: replace(d, inputs=[d.inputs[0], d.inputs[1, :-1]]),
    "fewer labels": lambda d: replace(d, labels=d.labels[:, :-1]),
    "fewer environments": lambda d: replace(d, labels=d.labels[:1]),
    "flat labels": lambda d: replace(d, labels=d.labels.reshape(-1)),
    "an empty environment": lambda d: replace(
        d, inputs=[d.inputs[0], d.inputs[1, :0]], labels=[*d.labels[:1], d.labels[1, :0]]
    ),
    "other features": lambda d: replace(d, inputs=[d.inputs[0], d.inputs[1, :, :1]]),
    "other numbers": lambda d: replace(d, inputs=[d.inputs[0], d.inputs[1].astype(np.float64)]),
    "rows": lambda d: replace(d, inputs=d.inputs.tolist()),
    "a dict": lambda d: replace(d, inputs=dict(zip(d.names, d.inputs, strict=True))),
    "test features": lambda d: with_test(d, inputs=d.held_out["test"].inputs[:, :1]),
    "position": lambda d: with_environment(d, index=np.arange(N) + 2 * N),
    "negative": lambda d: with_environment(d, index=np.arange(N) - 1),
    "mask": lambda d: with_environment(d, index=np.ones(N, bool)),
    "index": lambda d: with_environment(d, index=np.arange(N - 1)),
    "empty": lambda d: with_environment(d, index=np.arange(0), labels=np.arange(0)),
    "no test": lambda d: replace(d, held_out={"ood": d.held_out["test"]}),
    "train": lambda d: replace(d, held_out={**d.held_out, "train": d.held_out["test"]}),
    "val": lambda d: replace(d, held_out={**d.held_out, "val": val("0.1", "0.2")}),
    "pair": lambda d: replace(d, held_out={"test": (d.inputs, d.labels)}),
    "none": lambda d: None,
}

COMPLAINTS = {
    "side of one": "train: 2 names ['0.2', '0.1'] for 1 environments of side",
    "side of a number": "train environment '0.2': `side` is an array [6] of float64, for 6 images",
    "side in words": "train environment '0.2': `side` is of <U3: give float64 or float32",
    "side nan": "train environment '0.1': a value of `side` is nan: its values must be finite",
    "signs": "train environment '0.2': a label is -1: with `outputs` 1 labels are 0 or 1; relabel in `draw`",
    "0 and 2": "train environment '0.2': a label is 2: with `outputs` 1 labels are 0 or 1",
    "halves": "train environment '0.2': a label is 0.5: with `outputs` 1 labels are 0 or 1",
    "nan label": "train environment '0.1': a label is nan",
    "squared": "train environment '0.1': a label is inf: labels must be finite",
    "words": "train environment '0.2': labels are of <U21: numbers are needed",
    "classes": "test environment '0.9': a label is 3: with `outputs` 3 labels are 0 to 2",
    "test signs": "test environment '0.9': a label is -1",
    "squared classes": "`outputs` is 3: a regression (`loss` is squared) has 1",
    "hinge": "`loss` is 'hinge': choose cross_entropy or squared",
    "twice": "train: two environments are named '0.9': give each a name of its own, e.g. '1:0.9'",
    "numbers": "train: an environment is named 0.2: names are strings, e.g. '0.2'",
    "three names": "train: 3 names ['a', 'b', 'c'] for 2 environments of inputs",
    "long": f"train environment '0.2': inputs are of {np.dtype('g')}, which torch does not know: give float64",
    "long test": f"split test: inputs are of {np.dtype('g')}, which torch does not know",
    "long labels": f"test environment '0.9': labels are of {np.dtype('g')}, which torch does not know",
    "large": "train environment '0.2': an input is -1e+39, and float32 ends at 3.4e+38: scale inputs in `draw`",
    "test large": "split test: an input is 1e+39, and float32 ends at 3.4e+38",
    "squared large": "train environment '0.2': a label is 1e+39, and float32 ends at 3.4e+38: scale labels",
    "nan": "train environment '0.1': an input is nan: inputs must be finite",
    "test inf": "split test: an input is -inf: inputs must be finite",
    "integers": "train environment '0.2': inputs are of int64: give floats, or uint8",
    "ragged": "train environment '0.1': inputs are an array [5, 2] of float32, labels an array [6] of int64",
    "fewer labels": "train environment '0.2': inputs are an array [6, 2] of float32, labels an array [5] of int64",
    "fewer environments": "train: 2 names ['0.2', '0.1'] for 1 environments of labels",
    "flat labels": "train environment '0.2': labels are a int64: a numpy array [n, ...] for each training",
    "an empty environment": "train environment '0.1': inputs are an array [0, 2] of float32",
    "other features": "train environment '0.1': inputs are an array [6, 1] of float32, those of '0.2' an array",
    "other numbers": "train environment '0.1': inputs are an array [6, 2] of float64, those of '0.2' an array",
    "rows": "train environment '0.2': inputs are a list: a numpy array [n, ...] for each training",
    "a dict": "train: inputs are a dict: a numpy array [n, ...] for each training",
    "features": "train: an input reaches the network with the shape (2,), and `features` is (3,): make them the same",
    "test features": "test: an input reaches the network with the shape (1,), and `features` is (2,)",
    "position": "test environment '0.9': `index` has 12: positions in the split's inputs are 0 to 11",
    "negative": "test environment '0.9': `index` has -1: positions",
    "mask": "test environment '0.9': `index` is of bool: positions",
    "index": "test environment '0.9': 5 positions in `index`, and 6 labels: one label each",
    "empty": "test environment '0.9': `index` is an array [0] of int64: a numpy array [n] with n > 0 is needed",
    "shifted": "`shifted` is '0.5', which is not an environment of the split test: choose one of ['0.1', '0.9']",
    "no test": "held_out has no split `test`, only ['ood']",
    "train": "held_out has a split `train`",
    "val": "val has the environments ['0.1', '0.2']: they must be the training ones in their order, ['0.2', '0.1']",
    "pair": "test is a tuple: an EvaluationSet is needed",
    "none": "`draw` returns a NoneType: a TrialData is needed",
}


def changed(deed: str, **fields: Any) -> Changed:
    values = {"label_noise": 0.25, "p_e": (0.2, 0.1), "test_p_e": (0.1, 0.9), "n": N, "deed": deed, **fields}
    return Changed.model_validate(values)


def test_what_is_sound_passes() -> None:
    check_drawn(dataset := changed(""), dataset.draw(0, NOWHERE))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: replace(d, labels=d.labels.astype(np.float32)),
        lambda d: replace(d, labels=d.labels.astype(bool)),
        lambda d: replace(d, labels=0 * d.labels),
        lambda d: replace(d, inputs=(d.inputs > 0).astype(np.uint8)),
        lambda d: replace(d, held_out={**d.held_out, "val": val("0.2", "0.1")}),
        lambda d: with_environment(d, index=np.arange(2), labels=np.array([0, 1])),
    ],
)
def test_so_does_what_means_the_same(change: Callable[[TrialData], TrialData]) -> None:
    dataset = changed("")
    check_drawn(dataset, change(dataset.draw(0, NOWHERE)))


@pytest.mark.parametrize("deed", COMPLAINTS)
def test_a_mistake_is_named_before_the_first_step(deed: str) -> None:
    with pytest.raises(UserError) as error:
        start([trial(changed(deed), component("backbone", "mlp"), 0, "float32")], NOWHERE)
    assert str(error.value).startswith(f"Changed: {COMPLAINTS[deed]}")
    assert "\n" not in str(error.value)


def test_every_mistake_here_is_one_of_them() -> None:
    assert set(DEEDS) <= set(COMPLAINTS)


def test_inputs_are_prepared_in_the_trial_s_number_format() -> None:
    """A `prepare` with matrices of its own takes one format only."""
    dataset = changed("float64")
    assert start([trial(dataset, component("backbone", "mlp"), 0, "float64")], NOWHERE).data.sizes == [N, N]
    assert checked_draw(dataset, 0, NOWHERE, torch.float64).names
    with pytest.raises(RuntimeError, match="same dtype"):
        checked_draw(dataset, 0, NOWHERE)


def test_inputs_may_be_as_large_as_that_format_allows() -> None:
    assert start([trial(changed("large"), component("backbone", "mlp"), 0, "float64")], NOWHERE).data.sizes == [N, N]
    with pytest.raises(UserError, match="float32 ends at"):
        checked_draw(changed("large"), 0, NOWHERE)


@pytest.mark.parametrize("numbers", ["int8", "int16", "uint8", "uint16", "uint32", "uint64", "int32", ">i8"])
def test_positions_may_be_any_whole_numbers(numbers: str) -> None:
    """Bytes too, which torch would take for a mask."""
    found = [
        start([trial(changed("", index=own), component("backbone", "mlp"), 0)], NOWHERE).run()[0].metrics["last"]
        for own in ("int64", numbers)
    ]
    assert found[0] == found[1]


def test_trials_of_different_sizes_form_no_stack() -> None:
    trials = [trial(changed("sizes"), component("backbone", "mlp"), seed) for seed in (0, 1)]
    with pytest.raises(UserError, match="Changed: trials of one stack draw different numbers of inputs: let `stacks`"):
        start(trials, NOWHERE)
    assert [start([own], NOWHERE).data.sizes for own in trials] == [[N, N], [N + 1, N + 1]]


@pytest.fixture
def own_yaml(tmp_path: Path) -> Callable[[str], list[str]]:
    """From a deed to overrides that choose this dataset."""

    def write(deed: str) -> list[str]:
        values = changed(deed).model_dump(mode="json", by_alias=True)
        path = tmp_path / "changed.yaml"
        path.write_text(yaml.safe_dump(values))
        assert isinstance(build_component(values, GROUPS["dataset"], "dataset"), Changed)
        own = [f"dataset={path}", "method=erm", "training.steps=3", "backbone.width=4", "device=cpu"]
        return [*own, f"results={tmp_path / 'results'}"]

    return write


def test_the_trial_fails_with_that_line(own_yaml: Callable[[str], list[str]]) -> None:
    """All of a stack, each on its own account; and `plan=true` says it beforehand."""
    arguments = ["-m", *own_yaml("twice"), "seed=0,1"]
    told = launch(*arguments, "plan=true").complaint
    assert f"2 of 2 trials cannot run: 2 trials of Changed with MLP and ERM: Changed: {COMPLAINTS['twice']}" in told
    answer = launch(*arguments, "stack=2")
    assert answer.code == 1
    assert answer.out.count(f"Changed: {COMPLAINTS['twice']}") == 2
    assert "Traceback" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("deed", "said", "summary"),
    [
        ("raise", "2 trials cannot run or be priced: RuntimeError: x\n", "2 completed, 2 failed"),
        ("exit", "4 trials cannot run or be priced: the trial's own code called sys.exit(3)\n", "4 failed"),
    ],
)
def test_a_draw_that_ends_in_an_error_fails_its_own_trials(
    deed: str, said: str, summary: str, own_yaml: Callable[[str], list[str]]
) -> None:
    """And neither the launcher, which chooses the size of stacks, nor the pricing of the others."""
    arguments = ["-m", *own_yaml(deed), "seed=0,1", "dataset.label_noise=0.25,0.3"]
    plan = launch(*arguments, "plan=true")
    assert (plan.code, plan.err) == (1, "")
    assert said in plan.out
    answer = launch(*arguments)
    assert answer.code == 1
    assert summary in answer.out
    assert said.rpartition(": ")[2].strip() in answer.out, "why they failed"
    assert "Traceback" not in answer.out + answer.err
