"""The contract of a method as a test class: subclass `MethodContract` and name the methods to test."""

from __future__ import annotations

from irm_sweeps.testing.cases import OPTIMIZERS, SMALL, THREE_ENVIRONMENTS
from irm_sweeps.testing.compiled import CompiledContract
from irm_sweeps.testing.devices import DeviceContract
from irm_sweeps.testing.fields import FieldContract
from irm_sweeps.testing.objectives import ObjectiveContract
from irm_sweeps.testing.resuming import ResumingContract
from irm_sweeps.testing.stacks import StackContract

__all__ = ["OPTIMIZERS", "SMALL", "THREE_ENVIRONMENTS", "MethodContract"]


class MethodContract(
    FieldContract, ObjectiveContract, StackContract, CompiledContract, ResumingContract, DeviceContract
):
    """Tests that every method has to pass: fields, gradients, players, environments, lam, stacks, resuming, a GPU.

    Attributes
    ----------
    cases
        The methods to test: overrides, e.g. `["method=mine"]`, by a name for the report. More overrides choose a form
        of a method that plays another game.
    noisy
        Further cases, whose objective draws noise or has a gradient that is not its value's. Tests of the objective's
        exact values leave them out.
    small
        Values for fields of the methods with which all their stages begin within a few steps: of the tests that train,
        most take 12 to 50 steps.
    no_erm_at_lam_0
        Cases that differ from ERM at `lam=0`, with the reason.
    size_matters
        Cases that train differently when every image of an environment is there twice, with the reason.
    equal_only
        Cases that need equally many images of all environments, with the reason. Such a method should raise a
        `UserError` for other data.
    slow_penalty
        Cases whose penalty a large lam does not halve within 80 steps, with the reason.
    needs_several_images
        Cases whose objective is not defined where an environment has a single image in a batch, with the reason. Such
        a method should raise a `UserError` for it.
    read_elsewhere
        Cases with a field that neither the file of the class nor that of a base class names, with the place that reads
        it.
    """
