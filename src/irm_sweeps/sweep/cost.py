"""The cost of a sweep before it starts: from results in its store, or else from a probe of a few steps."""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError, one_line, raised
from irm_sweeps.process_state import fresh_state
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.labels import labels
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.stacks import form_stacks, gain_on_cpu
from irm_sweeps.trial import Trial
from irm_sweeps.wording import count, duration, in_stacks

PROBE_STEPS = 3
LATEST = 5
"""Number of results, the latest of its kind, that a price is the median of."""
LISTED = 40
"""Most trials that are listed one by one."""
BYTES_PER_TRIAL = 10_000
"""Result, history and log of a trial, where the store has none to measure."""


@dataclass(frozen=True)
class Price:
    """What trials of one kind (equal `Trial.kind`) cost.

    Attributes
    ----------
    example
        Short name of its first trial.
    seconds
        Time of one worker per trial, a stack's divided by its size; None where it is not known.
    basis
        Where the seconds come from, or why there are none.
    """

    example: str
    trials: int
    seconds: float | None
    basis: str


def report(store: Store, plan: Plan, settings: Settings, launcher: Launcher) -> Generator[str, None, int]:
    """Yield the lines of `plan=true`: what is done, what would run, and what it costs.

    Returns
    -------
    The number of trials that cannot run, as far as a few steps here show.
    """
    waiting = [plan.trials[trial_id] for trial_id in plan.to_run]
    if len(plan.trials) <= LISTED:
        yield from _trial_lines(plan)
    if not waiting:
        return 0
    machine = launcher.machine(settings.device)
    stacks = form_stacks(waiting, settings.stack, machine, settings.data_dir)
    yield from stacks.lines()
    if gain := gain_on_cpu(stacks, waiting, settings.data_dir):
        yield gain
    yield "pricing: history where there is some, else a few steps of each kind of trial ..."
    prices = list(_prices(store, waiting, stacks.ids, settings, launcher, machine.on_gpu))
    yield from _price_lines(prices)
    priced = [(price.trials, price.seconds) for price in prices if price.seconds is not None]
    unpriced = sum(price.trials for price in prices if price.seconds is None)
    if not priced:
        return unpriced
    if len(priced) < len(prices):
        yield "the others:"
    seconds = sum(trials * each for trials, each in priced)
    busy = min(machine.workers, len(stacks.ids))
    unit = "GPU-hours" if machine.on_gpu else "worker-hours"
    yield (
        f"{in_stacks(stacks.ids)} on {count(busy, 'worker')}: about {seconds / 3600:.2f} {unit}, "
        f"{duration(seconds / busy)} of wall time, {_megabytes(store, len(waiting)):.1f} MB of disk"
    )
    return unpriced


def _trial_lines(plan: Plan) -> Iterator[str]:
    for trial_id, name in labels(plan.trials).items():
        state = "done" if trial_id in plan.done else "running" if trial_id in plan.running else "to run"
        yield f"  {trial_id}  {state:8s}{one_line(name)}"


def _price_lines(prices: Sequence[Price]) -> Iterator[str]:
    """Yield a table of the prices, and for each reason how many trials have none."""
    yield f"{'trials':>8s}  {'s/trial':>8s}  kind (seed and numbers vary)"
    unpriced: Counter[str] = Counter()
    for price in prices:
        if price.seconds is None:
            unpriced[price.basis] += price.trials
            yield f"{price.trials:8d}  {'?':>8s}  {price.example}"
        else:
            yield f"{price.trials:8d}  {price.seconds:8.1f}  {price.example}  [{price.basis}]"
    for reason, trials in unpriced.items():
        yield f"{count(trials, 'trial')} cannot run or be priced: {reason}"


def _prices(
    store: Store,
    waiting: Sequence[Trial],
    stacks: Sequence[Sequence[str]],
    settings: Settings,
    launcher: Launcher,
    on_gpu: bool,
) -> Iterator[Price]:
    by_id = {trial.id: trial for trial in waiting}
    stack_of_first = {stack[0]: [by_id[trial_id] for trial_id in stack] for stack in stacks}
    kinds: dict[str, list[Trial]] = {}
    for trial in waiting:
        kinds.setdefault(trial.kind, []).append(trial)
    history = _history(store, set(kinds), on_gpu, settings.compile)
    examples = labels({key: trials[0] for key, trials in kinds.items()})
    for key, trials in kinds.items():
        example = one_line(examples[key])
        if key in history:
            known = history[key]
            yield Price(example, len(trials), statistics.median(known), f"history of {len(known)}")
        else:
            stack = stack_of_first[trials[0].id]
            try:
                seconds = _probe(stack, settings, launcher) / len(stack)
            except (Exception, SystemExit) as error:
                yield Price(example, len(trials), None, one_line(raised(error), at_most=1000))
            else:
                how = ", not compiled" if settings.compile else ""
                how = f", in a stack of {len(stack)}{how}" if len(stack) > 1 else how
                yield Price(example, len(trials), seconds, f"probe of {PROBE_STEPS} steps here{how}")


def _history(store: Store, wanted: set[str], on_gpu: bool, compiled: bool) -> Mapping[str, list[float]]:
    """Return by kind the seconds that the latest trials took on such a device; earlier ones had earlier code."""
    found: dict[str, list[tuple[str, float]]] = {}
    for result in store.results():
        if isinstance(result, Problem) or result.status != "completed":
            continue
        if (result.hardware.device == "cuda") != on_gpu or result.provenance.compiled != compiled:
            continue
        if (seconds := result.seconds) is None:
            continue
        try:
            key = Trial.from_config(result.config, trusted=False).kind
        except UserError:
            continue  # a user's own method that cannot be imported here, or another version's trial
        if key in wanted:
            found.setdefault(key, []).append((result.timing.finished or "", seconds))
    return {key: [seconds for _, seconds in sorted(known)[-LATEST:]] for key, known in found.items()}


@fresh_state()
def _probe(stack: Sequence[Trial], settings: Settings, launcher: Launcher) -> float:
    """Return the seconds that a stack would take: set-up, steps, and its evaluations."""
    import torch

    from irm_sweeps.device import choose_device, open_device, tame_allocator
    from irm_sweeps.training.loop import StackTraining

    tame_allocator()
    threads = launcher.threads(settings.device)
    if threads is not None:
        torch.set_num_threads(threads)
    device = choose_device(settings.device)
    open_device(device)
    started = time.perf_counter()
    training = StackTraining(stack, settings.data_dir, device)
    set_up = time.perf_counter() - started
    steps, evaluation = training.time_steps(PROBE_STEPS)
    every = stack[0].training.evaluate_every
    evaluations = 1 + (training.steps // every if every else 0)
    return set_up + training.steps * steps + evaluations * evaluation


def _megabytes(store: Store, trials: int) -> float:
    """Return the disk space of so many trials, as large as the first that are in the store."""
    sizes: list[int] = []
    for result in store.results():
        if len(sizes) == 50:
            break
        if not isinstance(result, Problem):
            sizes.append(_size(store.folder(result.trial_id)))
    return trials * (statistics.fmean(sizes) if sizes else BYTES_PER_TRIAL) / 1e6


def _size(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(folder))
