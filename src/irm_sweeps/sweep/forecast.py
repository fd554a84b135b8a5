"""The time that a sweep will still take, from its results, the steps of its running trials, and its schedule."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from statistics import fmean
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.files.reading import DamagedFile, names_in
from irm_sweeps.store import claims
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.schedule import wall_time


class Forecast:
    """The time left of one sweep.

    A trial's time is that of its steps and evaluations: the start of a worker, the reading of data and a trial's first
    step are no part of it.

    Attributes
    ----------
    open
        Ids of the trials that count as not done: those of the manifest's stacks that no result was added of.
    """

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self.open = {trial_id for stack in manifest.stacks for trial_id in stack}
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._keys: dict[str, str] = {}
        self._added: set[str] = set()

    def add(self, result: Result) -> None:
        """Add the result of a trial; the seconds of one that diverged or failed say nothing about the others."""
        if result.trial_id in self._added:
            return
        self._added.add(result.trial_id)
        self.open.discard(result.trial_id)
        if result.status == "completed" and result.seconds is not None:
            self._seconds[cost_key(result.config)].append(result.seconds)

    def seconds_left(self, running: Mapping[str, Claim], workers: int) -> float | None:
        """Return the seconds until all open trials are done; None as long as nothing tells how long any trial takes.

        Parameters
        ----------
        running
            The claims in force, by trial id.
        workers
            Number of workers, those that hold the claims included.
        """
        costs = self._costs(running)
        if not costs:
            return None
        mean = fmean(costs.values())
        waiting, left = [], []
        for stack in self._manifest.stacks:
            own = [trial_id for trial_id in stack if trial_id in self.open]
            at_work = [trial_id for trial_id in own if trial_id in running]
            seconds = mean
            if own and len(costs) > 1:
                seconds = costs.get(self._key(own[0]), mean)
            if at_work:
                left.append(max(_seconds_left(running[trial_id], seconds) for trial_id in at_work))
            if len(own) > len(at_work):
                waiting.append(seconds * (len(own) - len(at_work)))
        return wall_time(waiting, workers, left)

    def _costs(self, running: Mapping[str, Claim]) -> dict[str, float]:
        """Return the seconds of a trial by `cost_key`: the mean of results, and where there are none of running trials.

        The seconds of a stack are shared out among its trials.
        """
        rates: dict[str, list[float]] = defaultdict(list)
        for trial_id, claim in running.items():
            if claim.seconds_per_step is not None:
                rates[self._key(trial_id)].append(claim.seconds_per_step * claim.steps / claim.stack)
        return {key: fmean(seconds) for key, seconds in {**rates, **self._seconds}.items()}

    def _key(self, trial_id: str) -> str:
        if trial_id not in self._keys:
            self._keys[trial_id] = sys.intern(cost_key(self._manifest.trials[trial_id]))
        return self._keys[trial_id]


class LaunchForecast:
    """The time left of a launch that this process follows.

    The store is asked for the running trials at most every `ASK_SECONDS`, and for at most a twentieth of the time.

    Parameters
    ----------
    workers
        Number of workers that the launcher starts.
    """

    ASK_SECONDS = 5.0

    def __init__(self, store: Store, manifest: Manifest, workers: int) -> None:
        self._store, self._workers = store, workers
        self._forecast = Forecast(manifest)
        self._left: float | None = None
        self._asked, self._due = 0.0, 0.0
        self.running: dict[str, Claim] = {}

    def add(self, result: Result) -> None:
        """Add the result of a trial."""
        self._forecast.add(result)

    def seconds_left(self) -> float | None:
        """Return the seconds until the launch is done; None as long as nothing tells how long any trial takes."""
        if (now := time.monotonic()) >= self._due or not self._forecast.open:
            self.running = self._look()
            holders = {claim.holder for claim in self.running.values()}
            self._left = self._forecast.seconds_left(self.running, max(self._workers, len(holders)))
            self._asked, self._due = now, now + max(self.ASK_SECONDS, 20 * (time.monotonic() - now))
        return None if self._left is None else max(0.0, self._left - (now - self._asked))

    def _look(self) -> dict[str, Claim]:
        """Return the claims in force, and add the results that others have written; what cannot be read is left out."""
        running = {}
        with suppress(StoreError):
            for trial_id in self._forecast.open.intersection(names_in(self._store.root)):
                with suppress(StoreError, DamagedFile):
                    if claim := claims.in_force(self._store, trial_id):
                        running[trial_id] = claim
                    elif result := self._store.result(trial_id):
                        self._forecast.add(result)
        return running


def cost_key(config: Mapping[str, Any]) -> str:
    """Return a text that is equal for trials which cost about the same: their config but for seed, lam and fractions.

    It is read off the config alone, so that thousands of trials take no time: `Trial.kind` imports their classes.
    """
    return _cost_key(json.dumps({**config, "lam": None, "seed": None}, sort_keys=True))


@lru_cache(maxsize=1_000)
def _cost_key(config: str) -> str:
    return json.dumps(_without_fractions(json.loads(config)))


def _without_fractions(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_fractions(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_fractions(part) for part in value]
    return "number" if isinstance(value, float) else value


def _seconds_left(claim: Claim, share: float) -> float:
    """Return the seconds that a running stack still takes.

    Parameters
    ----------
    share
        Seconds of one trial of it, which count where the claim tells no rate.
    """
    to_do = claim.steps - claim.step
    if claim.seconds_per_step is None:
        return share * claim.stack * (to_do / claim.steps if claim.steps else 1.0)
    with suppress(OSError):
        return max(0.0, to_do * claim.seconds_per_step - (claim.seconds_since_step_now() or 0.0))
    return 0.0  # finished meanwhile
