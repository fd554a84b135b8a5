"""The cost of a sweep before it starts: from results in its store, or else from a probe of a few steps."""

from __future__ import annotations

import os
import statistics
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError, one_line, raised
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.store.reader import Problem
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.checks import check_inputs
from irm_sweeps.sweep.compiling import Choice, choose, lines, looked_at
from irm_sweeps.sweep.earlier_prices import EarlierPrice, earlier_prices
from irm_sweeps.sweep.labels import labels
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.probe import ALL_SECONDS, SET_UP_SECONDS, NotMeasuredError, ProbeError, Prober
from irm_sweeps.sweep.probe import SECONDS as PROBE_SECONDS
from irm_sweeps.sweep.probe_price import said, span, stack_seconds
from irm_sweeps.sweep.schedule import wall_time
from irm_sweeps.sweep.stacks import Machine, Stacks, gain_on_cpu
from irm_sweeps.trial import Trial, by_kind
from irm_sweeps.wording import count, duration, in_stacks

LISTED = 40
"""Most trials that are listed one by one."""
BYTES_PER_TRIAL = 10_000
"""Result, history and log of a trial, where the store has none to measure."""


@dataclass(frozen=True)
class Price:
    """What trials of one kind (equal `Trial.kind`) cost.

    Attributes
    ----------
    name
        Method, backbone, batch and steps, and what else tells its trials from those of the other kinds.
    seconds
        Time of one worker per trial, a stack's divided by its size: from, to. None where it is not known.
    basis
        Where the seconds come from, or why there are none.
    at_least
        Whether a trial takes longer than that: nothing more was seen before the probe's time was up.
    cannot_run
        Whether there are no seconds because its trials raised.
    """

    name: str
    trials: Sequence[Trial]
    seconds: tuple[float, float] | None
    basis: str
    at_least: bool = False
    cannot_run: bool = False

    def line(self, sizes: Sequence[int], workers: int) -> str:
        """Return the line to print, given the sizes of the stacks of this kind."""
        if self.seconds is None:
            why = "" if self.cannot_run else f"  [{self.basis}]"
            return f"  {self.name}: ?, {count(len(self.trials), 'trial')}{why}"
        low, high = (wall_time([each * size for size in sizes], workers) for each in self.seconds)
        over = "over " if self.at_least else ""
        return (
            f"  {self.name}: {over}{span(*self.seconds)} a trial, {count(len(self.trials), 'trial')}, "
            f"{count(min(workers, len(sizes)), 'worker')}: {over}{span(low, high)}  [{self.basis}]"
        )


def report(
    store: Store, plan: Plan, stacks: Stacks, machine: Machine, settings: Settings, prober: Prober
) -> Generator[str, None, int]:
    """Yield the lines of `plan=true` as they are known: what is done, what would run, and what each kind costs.

    Returns
    -------
    The number of trials that cannot run, as far as a few steps here show.
    """
    waiting = [plan.trials[trial_id] for trial_id in plan.to_run]
    if len(plan.trials) <= LISTED:
        yield from _trial_lines(plan)
    if not waiting:
        return 0
    yield from stacks.lines()
    choices = _compile_choices(plan, settings, machine)
    yield from lines(choices)
    if gain := gain_on_cpu(stacks, waiting, settings.data_dir):
        yield gain
    kinds = by_kind(waiting)
    unpriced: Counter[str] = Counter()
    for key, reason in _missing(kinds, settings).items():
        unpriced[reason] += len(kinds.pop(key))
    yield from _reasons(unpriced)
    compiled = set(kinds) if settings.compile is True else {kind for kind, own in choices.items() if own.compiled}
    earlier = earlier_prices(store, kinds, machine.on_gpu, compiled)
    probed = len(kinds.keys() - earlier.keys())
    if kinds:
        yield _announcement(len(kinds), probed)
    prices, sizes = [], _stack_sizes(kinds, stacks.ids)
    for price in _prices(kinds, earlier, stacks.ids, prober, compiled):
        yield price.line(sizes[price.trials[0].kind], machine.workers)
        prices.append(price)
    yield from _reasons(no_price := _without_price(prices))
    known = {trial.id: price for price in prices if price.seconds for trial in price.trials}
    if known:
        yield from _total(
            known, stacks.ids, machine, _megabytes(store, len(waiting)), partial=len(known) < len(waiting)
        )
    return unpriced.total() + no_price.total()


def _compile_choices(plan: Plan, settings: Settings, machine: Machine) -> dict[str, Choice]:
    """Return what `compile=auto` chooses for each kind of which a trial waits; nothing without it."""
    if settings.compile != "auto":
        return {}
    waiting = {plan.trials[trial_id].kind for trial_id in plan.to_run}
    chosen = choose(plan.trials.values(), machine)
    return looked_at({kind: choice for kind, choice in chosen.items() if kind in waiting}, settings.data_dir)


def _stack_sizes(kinds: Mapping[str, Sequence[Trial]], stacks: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Return how many trials each stack of a kind has, by kind."""
    kind_of = {trial.id: kind for kind, trials in kinds.items() for trial in trials}
    sizes: dict[str, list[int]] = {kind: [] for kind in kinds}
    for stack in stacks:
        if kind := kind_of.get(stack[0]):
            sizes[kind].append(len(stack))
    return sizes


def _trial_lines(plan: Plan) -> Iterator[str]:
    for trial_id, name in labels(plan.trials).items():
        state = "done" if trial_id in plan.done else "running" if trial_id in plan.running else "to run"
        yield f"  {trial_id}  {state:8s}{one_line(name)}"


def _missing(kinds: Mapping[str, Sequence[Trial]], settings: Settings) -> dict[str, str]:
    """Return why trials of a kind cannot run, by kind: their data or weights are missing or wrong."""
    reasons = {}
    for key, trials in kinds.items():
        try:
            check_inputs(trials[:1], settings)
        except UserError as error:
            reasons[key] = one_line(raised(error), at_most=1000)
        except (Exception, SystemExit):
            continue  # the probe meets it too, and tells
    return reasons


def _announcement(kinds: int, probed: int) -> str:
    """Return the line that says where the prices will come from, and how long that takes at most."""
    from_results = f"pricing {count(kinds, 'kind')} of trial: {kinds - probed} by results in this store"
    if not probed:
        return from_results
    longest = SET_UP_SECONDS + PROBE_SECONDS
    in_all = duration(min(probed * longest, ALL_SECONDS + longest))
    bound = f"at most {PROBE_SECONDS:.0f} s each and {SET_UP_SECONDS:.0f} s for its data, {in_all} in all"
    return f"{from_results}, {probed} by a few steps here ({bound}) ..."


def _without_price(prices: Sequence[Price]) -> Counter[str]:
    unpriced: Counter[str] = Counter()
    for price in prices:
        if price.cannot_run:
            unpriced[price.basis] += len(price.trials)
    return unpriced


def _reasons(unpriced: Mapping[str, int]) -> Iterator[str]:
    for reason, trials in unpriced.items():
        yield f"{count(trials, 'trial')} cannot run or be priced: {reason}"


def _total(
    known: Mapping[str, Price], stacks: Sequence[Sequence[str]], machine: Machine, megabytes: float, partial: bool
) -> Iterator[str]:
    """Yield what all trials with a price cost together."""
    if partial:
        yield "the others:"
    priced = [stack for stack in stacks if stack[0] in known]
    ends, sums = [], []
    for end in (0, 1):
        seconds = [len(stack) * (known[stack[0]].seconds or (0.0, 0.0))[end] for stack in priced]
        ends.append(wall_time(seconds, machine.workers))
        sums.append(sum(seconds))
    over = "over " if any(price.at_least for price in known.values()) else ""
    unit = "GPU" if machine.on_gpu else "one worker"
    busy = count(min(machine.workers, len(priced)), "worker")
    yield (
        f"{in_stacks(priced)} on {busy}: {over}{span(ends[0], ends[1])} of wall time "
        f"({over}{span(sums[0], sums[1])} of {unit}), {megabytes:.1f} MB of disk"
    )


def _prices(
    kinds: Mapping[str, Sequence[Trial]],
    earlier: Mapping[str, EarlierPrice],
    stacks: Sequence[Sequence[str]],
    prober: Prober,
    compiled: Collection[str],
) -> Iterator[Price]:
    """Yield the price of each kind: those from results first."""
    names = _names(kinds)
    by_id = {trial.id: trial for trials in kinds.values() for trial in trials}
    stack_of_first = {stack[0]: [by_id[trial_id] for trial_id in stack] for stack in stacks if stack[0] in by_id}
    for key in sorted(kinds, key=lambda key: key not in earlier):
        trials = kinds[key]
        if key in earlier:
            yield Price(names[key], trials, earlier[key].seconds, earlier[key].basis)
            continue
        stack = stack_of_first[trials[0].id]
        try:
            measured = prober.measure([trial.canonical for trial in stack])
        except ProbeError as error:
            yield Price(names[key], trials, None, str(error), cannot_run=True)
            continue
        except NotMeasuredError as error:
            yield Price(names[key], trials, None, str(error))
            continue
        low, high, at_least = stack_seconds(measured)
        how = (f", a stack of {len(stack)}" if len(stack) > 1 else "") + (", not compiled" if key in compiled else "")
        basis = f"{said(measured, prober.seconds)}{how}"
        yield Price(names[key], trials, (low / len(stack), high / len(stack)), basis, at_least)


def _names(kinds: Mapping[str, Sequence[Trial]]) -> dict[str, str]:
    """Return a name for each kind, e.g. `irmv1 mlp full batch, 500 steps`: without the numbers that vary within it."""
    names = {}
    for key, name in labels({key: trials[0] for key, trials in kinds.items()}).items():
        trial = kinds[key][0]
        words = [word for word in name.split(" ") if not word.startswith(("lam=", "seed="))]
        if not any(word.startswith("backbone=") for word in words):
            words.append(choice_name("backbone", trial.config["backbone"]))
        size, epochs = trial.training.batch_size, trial.training.epochs
        length = count(trial.training.steps or 0, "step") if epochs is None else count(epochs, "epoch")
        names[key] = one_line(f"{' '.join(words)} {f'batch {size}' if size else 'full batch'}, {length}")
    return names


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
    """Return the bytes of a folder's files; what a worker removes meanwhile, a claim say, has none."""
    size = 0
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):
            size += entry.stat().st_size
    return size
