"""Stacks: which trials train together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from irm_sweeps.device import free_memory
from irm_sweeps.naming.names import label
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.training.footprint import Footprint
    from irm_sweeps.trial import Trial

LARGEST = 16
"""Largest automatic stack. If it does not fit in memory after all, the worker halves it."""
SHARE = 0.5
"""The part of the free memory that automatic stacks may take."""
ON_CPU = "on a CPU trials train alone"


@dataclass(frozen=True)
class Machine:
    """What a launcher's workers train on.

    Attributes
    ----------
    free
        Bytes for each worker; None where they cannot be known here.
    """

    on_gpu: bool
    workers: int
    free: float | None

    @classmethod
    def of(cls, on_gpu: bool, workers: int, gpus: Sequence[str]) -> Machine:
        """Measure the free memory of the `gpus`, or the main memory, of this machine; others cannot be measured."""
        free = free_memory(gpus) if gpus or not on_gpu else None
        each = math.ceil(workers / len(gpus)) if gpus else workers
        return cls(on_gpu, workers, None if free is None else SHARE * free / max(1, each))


@dataclass(frozen=True)
class Stacks:
    """A sweep's trials as stacks, in the order of their first trials, and the reason for their sizes.

    Attributes
    ----------
    reasons
        Number of trials by (size, why it was chosen); empty where the user chose the size.
    """

    ids: list[list[str]]
    reasons: Mapping[tuple[int, str], int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return one line for each choice."""
        return [f"stack=auto: {size} for {count(n, 'trial')}: {why}" for (size, why), n in self.reasons.items()]


def form_stacks(trials: Iterable[Trial], limit: int | Literal["auto"], machine: Machine, data_dir: Path) -> Stacks:
    """Group trials of one `stack_key` into stacks of `limit`; `auto` chooses for each group by device and shape."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.stack_key, []).append(trial)
    total = sum(len(group) for group in groups.values())
    reasons: Counter[tuple[int, str]] = Counter()
    ids = []
    for group in groups.values():
        size, why = (limit, "") if limit != "auto" else automatic(group, total, machine, data_dir)
        if why:
            reasons[size, why] += len(group)
        ids += [[trial.id for trial in group[i : i + size]] for i in range(0, len(group), size)]
    return Stacks(ids, reasons)


def automatic(group: Sequence[Trial], total: int, machine: Machine, data_dir: Path) -> tuple[int, str]:
    """Return the size of this group's stacks, and why; `total`: trials of the whole sweep."""
    if len(group) == 1:
        return 1, "they train alone"
    share = math.ceil(total / machine.workers)
    if share == 1:
        return 1, "there is a worker for each"
    if not machine.on_gpu:
        # Alone, a trial has the same bits whatever else the sweep holds, which stacks have only up to rounding.
        return 1, ON_CPU
    footprint = footprint_if_known(group[0], data_dir)
    if footprint is None:
        return LARGEST, "their data could not be looked at"
    fits = LARGEST if machine.free is None else max(1, int(machine.free / footprint.bytes))
    if fits < min(LARGEST, share):
        return fits, "no more fit in half of the free memory"
    if share < LARGEST:
        return share, f"no worker stays idle ({machine.workers} workers)"
    return LARGEST, "the largest"


def gain_on_cpu(stacks: Stacks, trials: Sequence[Trial], data_dir: Path) -> str | None:
    """Return a line on what `stack=16` would gain, if the first kind of trial that a CPU trains alone is tiny.

    The data of that trial is drawn for it.
    """
    if not any(why == ON_CPU for _, why in stacks.reasons):
        return None
    group_sizes = Counter(trial.stack_key for trial in trials)
    first = next(trial for trial in trials if group_sizes[trial.stack_key] > 1)
    footprint = footprint_if_known(first, data_dir)
    if footprint is None or not footprint.tiny:
        return None
    return f"tiny trials, as {label(first.config)}: stack=16 is 3 times as fast, with compile=true 4 to 7"


def footprint_if_known(trial: Trial, data_dir: Path) -> Footprint | None:
    """Return the trial's footprint; None where its code raises: the worker that trains it reports the error."""
    from irm_sweeps.training.footprint import footprint

    try:
        return footprint(trial, data_dir)
    except (Exception, SystemExit):
        return None
