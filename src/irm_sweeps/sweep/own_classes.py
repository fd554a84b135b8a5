"""Whether classes of the user's own keep their contracts, as far as a few steps show, before a plan is printed."""

from __future__ import annotations

from collections.abc import Sequence

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.checks import check_inputs
from irm_sweeps.sweep.contracts import kind_in_words
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.probe import ContractError, NotMeasuredError, ProbeError, Prober
from irm_sweeps.sweep.stacks import Stacks
from irm_sweeps.trial import Trial, by_kind
from irm_sweeps.wording import count


def check_own_classes(plan: Plan, stacks: Stacks, settings: Settings, prober: Prober) -> None:
    """Measure a stack of each kind of trial that has the user's own code, and of which none is completed.

    What is measured prices the kind later.

    Raises
    ------
    UserError
        Trials break a contract in these steps; the message says how many, of which kind, and how.
    """
    waiting = [plan.trials[trial_id] for trial_id in plan.to_run]
    if not (kinds := by_kind(trial for trial in waiting if trial.code)):
        return
    completed = {plan.trials[trial_id].kind for trial_id in set(plan.done).difference(plan.unsuccessful)}
    by_first = {stack[0]: [plan.trials[trial_id] for trial_id in stack] for stack in stacks.ids}
    broken: dict[str, list[Trial]] = {}
    for key, trials in kinds.items():
        if key not in completed and _has_inputs(trials, settings) and (fault := _fault(by_first[trials[0].id], prober)):
            broken.setdefault(fault, []).extend(trials)
    if broken:
        n = sum(map(len, broken.values()))
        faults = "; ".join(f"{kind_in_words(trials)}: {fault}" for fault, trials in broken.items())
        raise UserError(f"{n} of {count(len(waiting), 'trial')} cannot run: {faults}")


def _has_inputs(trials: Sequence[Trial], settings: Settings) -> bool:
    """Return whether there are data and weights to try trials with; the plan names what is missing."""
    try:
        check_inputs(trials[:1], settings)
    except (Exception, SystemExit):
        return False
    return True


def _fault(stack: Sequence[Trial], prober: Prober) -> str:
    """Return how trials break a contract; empty where they do not, or fail in another way, which the plan names."""
    try:
        prober.measure([trial.canonical for trial in stack])
    except ContractError as error:
        return str(error)
    except (ProbeError, NotMeasuredError):
        return ""
    return ""
