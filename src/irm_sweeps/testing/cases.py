"""The cases of a method's contract: the methods that a test class names, and trials of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from irm_sweeps.testing.fixtures import MakeTrial
from irm_sweeps.testing.trials import with_side
from irm_sweeps.trial import Trial

THREE_ENVIRONMENTS = ["dataset.p_e=[0.2,0.1,0.4]", "dataset.label_noise=[0.25,0.25,0.2]"]
"""Overrides for three training environments."""

SMALL = {
    "anneal": 4,
    "ib_anneal": 6,
    "stop_warmup": 0,
    "emb_dim": 5,
    "hidden_dim": 7,
    "reference_steps": 1,
    "inference_steps": 3,
}
"""Small values for fields that a method may have: its anneals, warm-ups and stages then end within a few steps."""

OPTIMIZERS = {
    "adam": ["optimizer=adam"],
    "adam minibatch": ["optimizer=adam", "training.batch_size=16"],
    "sgd minibatch": ["optimizer=sgd", "training.batch_size=16"],
}
"""Overrides of the optimizer and the batch size, by a name for the report."""


TRAIN_ON_UNEQUAL = "make it train on environments of unequal size, with `means`, `split` or `each` of `at.batch`"
"""How a method is mended that needs environments of equal size."""


@contextmanager
def noting_the_fix(attribute: str, case: str, fix: str) -> Iterator[None]:
    """Add a note to a failure: how to mend the method, or which attribute of the test class excuses the case."""
    try:
        yield
    except Exception as error:
        excuse = f"{attribute} = {{{case!r}: '...'}}"
        error.add_note(f"{case}: {fix}; or, if it cannot, say why in the test class:\n    {excuse}")
        raise


class MethodCases:
    """The cases of a test class of methods, and their trials.

    `irm_sweeps.testing.MethodContract` explains the attributes.
    """

    cases: ClassVar[Mapping[str, Sequence[str]]] = {}
    noisy: ClassVar[Mapping[str, Sequence[str]]] = {}
    small: ClassVar[Mapping[str, int]] = {}
    no_erm_at_lam_0: ClassVar[Mapping[str, str]] = {}
    size_matters: ClassVar[Mapping[str, str]] = {}
    equal_only: ClassVar[Mapping[str, str]] = {}
    slow_penalty: ClassVar[Mapping[str, str]] = {}
    needs_several_images: ClassVar[Mapping[str, str]] = {}
    read_elsewhere: ClassVar[Mapping[str, str]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test over cases, by the name of its argument.

        `case`: all; `exact`: those without noise; `method`: those that are one override, a method's default form;
        `case` with `optimizer`: default forms with some optimizers, the other cases with another one.
        """
        every = [*self.cases, *self.noisy]
        default_forms = [name for name, overrides in self.cases.items() if len(overrides) == 1]
        if "optimizer" in metafunc.fixturenames:
            pairs = [
                (case, optimizer)
                for case in every
                for optimizer in OPTIMIZERS
                if (case in default_forms) != (optimizer == "adam minibatch")
            ]
            metafunc.parametrize(("case", "optimizer"), pairs)
            return
        for name, values in {"case": every, "exact": list(self.cases), "method": default_forms}.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values)

    def trial(self, make_trial: MakeTrial, case: str, *more: str, **fields: Any) -> Trial:
        """Return a trial of a case with further overrides.

        `SMALL`, `small` and the keywords are values for fields of the method. A field that the method lacks, or that
        the case itself sets, is left out.
        """
        overrides = [*self.cases.get(case, ()), *self.noisy.get(case, ())]
        known = type(make_trial(*overrides).method).model_fields
        known_small = {**SMALL, **self.small}
        already_set = [override.partition("=")[0] for override in overrides]
        values = [
            f"method.{field}={value}"
            for field, value in {**known_small, **fields}.items()
            if field in known and f"method.{field}" not in already_set
        ]
        trial = make_trial(*overrides, *values, *more)
        return with_side(trial) if trial.method.uses_side else trial

    def varied(self, make_trial: MakeTrial, case: str, *more: str) -> list[Trial]:
        """Return three trials that differ in everything that may differ within a stack; two share a learning rate."""
        differences = [
            ("seed=1", "lam=3", "optimizer.lr=0.01", "training.l2=0.001", "dataset.p_e=[0.2,0.1]"),
            ("seed=2", "lam=0", "optimizer.lr=0.002", "training.l2=0", "dataset.p_e=[0.3,0.05]"),
            ("seed=2", "lam=20", "optimizer.lr=0.01", "training.l2=0.02", "dataset.label_noise=[0.1,0.3]"),
        ]
        per_trial = type(self.trial(make_trial, case).method).per_trial_fields()
        anneals = (4, 60, 0) if "anneal" in per_trial else (4, 4, 4)
        inner = (0.5, 1.0, 0.1)
        return [
            self.trial(make_trial, case, *change, *more, anneal=anneal, inner_lr=inner_lr, reset_optimizer="false")
            for change, anneal, inner_lr in zip(differences, anneals, inner, strict=True)
        ]
