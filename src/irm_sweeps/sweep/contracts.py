"""What can be known of a trial without its data: whether its backbone takes the dataset's inputs and suits its method.

One network is built for each kind of trial, and is given inputs of zeros. So a sweep of trials that cannot run is
refused before a file is downloaded or a worker started.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from irm_sweeps.backbones.backbone import Backbone, Model
from irm_sweeps.errors import UserError, is_out_of_memory, one_line, raised
from irm_sweeps.process_state import fresh_state
from irm_sweeps.training.game import check_side
from irm_sweeps.trial import Trial
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from torch import nn


def check_contracts(trials: Sequence[Trial]) -> None:
    """Check dataset, backbone and method of each kind of trial against each other.

    Raises
    ------
    UserError
        Trials cannot run; the message says how many, of which kind, and why.
    """
    networks: dict[str, list[Trial]] = {}
    for trial in trials:
        dataset, backbone = trial.dataset, trial.backbone
        key = f"{type(dataset)} {type(backbone)} {backbone!r} {dataset.features} {dataset.outputs}"
        networks.setdefault(key, []).append(trial)
    problems = [problem for same_network in networks.values() for problem in _problems(same_network)]
    if not problems:
        return
    if len(trials) == 1:
        raise UserError(problems[0][1])
    refused = sum(len(those) for those, _ in problems)
    reasons = "; ".join(f"{kind_in_words(those)}: {reason}" for those, reason in problems)
    raise UserError(f"{refused} of {count(len(trials), 'trial')} cannot run, so none was started: {reasons}")


def _problems(trials: Sequence[Trial]) -> Iterable[tuple[Sequence[Trial], str]]:
    """Yield the trials, of one network, that cannot run, and why."""
    first = trials[0]
    try:
        model = _model(first.backbone, first.dataset.features, first.dataset.outputs)
    except UserError as error:
        yield trials, str(error)
        return
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):  # else a worker may have more
            yield trials, _unsuited(first, error)
        return
    except (Exception, SystemExit) as error:  # the backbone may be the user's own
        yield trials, _unsuited(first, error)
        return
    by_method: dict[str, list[Trial]] = {}
    for trial in trials:
        by_method.setdefault(f"{type(trial.method)} {trial.method!r}", []).append(trial)
    for same_method in by_method.values():
        method = same_method[0].method
        if regressions := [trial for trial in same_method if method.needs_classes and trial.dataset.is_regression]:
            yield regressions, f"{type(method).__name__} needs a data set with classes, which a regression has not"
        try:
            method.check_backbone(model)
        except UserError as error:
            yield same_method, str(error)
        yield from _side_problems(same_method)


def _side_problems(trials: Sequence[Trial]) -> Iterable[tuple[Sequence[Trial], str]]:
    """Yield the trials, of one method, whose data sets do not have the side information that it needs, and why."""
    by_columns: dict[int | None, list[Trial]] = {}
    for trial in trials:
        by_columns.setdefault(trial.dataset.side_columns, []).append(trial)
    for columns, those in by_columns.items():
        method = those[0].method
        try:
            check_side(method, type(those[0].dataset).__name__, given=columns != 0)
            if method.uses_side and columns:
                method.check_side(columns)
        except UserError as error:
            yield those, str(error)


@fresh_state()
def _model(backbone: Backbone, features: tuple[int, ...], outputs: int) -> Model:
    """Build a network, and pass inputs of zeros through it."""
    import torch

    model = Model(*_halves(backbone, backbone.build(features, outputs, torch.Generator().manual_seed(0))))
    model.train(False)
    parameters = {**model.initial(), **model.buffers()}
    inputs = torch.zeros(2, *features)
    with torch.no_grad():
        logits = model.classify(parameters, model.represent(parameters, inputs))
    n = len(inputs)
    if list(logits.shape) != ([n] if outputs == 1 else [n, outputs]):
        raise UserError(
            f"the head of {type(backbone).__name__} returns {list(logits.shape)} for {n} inputs, where the dataset "
            f"asks for {[n, outputs]}: let `build` make a head of width `outputs`, on features [n, width]"
        )
    return model


def _halves(backbone: Backbone, built: object) -> tuple[nn.Module, nn.Module]:
    """Return what `build` returned, if it is two modules."""
    from torch import nn

    match built:
        case (nn.Module() as representation, nn.Module() as head):
            return representation, head
    given = [type(part).__name__ for part in built] if isinstance(built, tuple | list) else type(built).__name__
    raise UserError(
        f"{type(backbone).__name__}.build returns {given}: return two modules, the representation and the head"
    )


def _unsuited(trial: Trial, error: BaseException) -> str:
    shape = list(trial.dataset.features)
    return one_line(f"{type(trial.backbone).__name__} does not take inputs of shape {shape}: {raised(error)}")


def kind_in_words(trials: Sequence[Trial]) -> str:
    """Return e.g. `20 trials of LinearUnitTests with ResNet18 and ERM, IRMv1`."""
    first = trials[0]
    methods = ", ".join(dict.fromkeys(type(trial.method).__name__ for trial in trials))
    names = f"{type(first.dataset).__name__} with {type(first.backbone).__name__} and {methods}"
    return f"{count(len(trials), 'trial')} of {names}"
