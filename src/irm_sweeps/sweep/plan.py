"""The plan of a sweep: which trials have a result that stays, and which are to run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from irm_sweeps.config import Settings
from irm_sweeps.errors import StoreError, one_line
from irm_sweeps.files.reading import DamagedFile, UnreadableFile
from irm_sweeps.provenance import package_sha256
from irm_sweeps.store import claims
from irm_sweeps.store.earlier_code import EarlierCode, told
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial


@dataclass
class Plan:
    """A sweep's trials, sorted by what the store has of them.

    Attributes
    ----------
    done
        Ids with a result that stays.
    to_run
        The other ids.
    retire
        Ids among `to_run` whose result file must be moved aside first, and the word for why.
    running
        Ids among `to_run` that a living worker is training.
    unsuccessful
        Ids among `done` that failed or diverged.
    earlier
        Ids among `to_run` that an earlier version of the user's own classes has a result of, and these classes.
    damaged
        A line for each result file that is damaged.
    results
        The results of `done` if nothing is to run; else they are read with the others when all have ended.
    """

    trials: Mapping[str, Trial]
    done: list[str] = field(default_factory=list)
    to_run: list[str] = field(default_factory=list)
    retire: dict[str, str] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unsuccessful: list[str] = field(default_factory=list)
    earlier: dict[str, list[str]] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)

    def notes(self) -> Iterator[str]:
        """Yield a line if an earlier version of the user's code has done some, and one if code cannot be read."""
        if earlier := told(self.earlier):
            yield f"{earlier}: run again; those results stay, and count once the edit is undone"
        unread = sorted({name for trial in self.trials.values() for name, digest in trial.code.items() if not digest})
        if unread:
            names = one_line(", ".join(unread))
            yield f"warning: no source of {names}: results of before an edit of it count as done; put it into a file"

    def summary(self) -> str:
        """Return e.g. `8 done, 0 to run`."""
        running = f" ({len(self.running)} of them running elsewhere)" if self.running else ""
        return f"{len(self.done)} done, {len(self.to_run)} to run{running}"


def make_plan(store: Store, trials: Mapping[str, Trial], settings: Settings) -> Plan:
    """Sort trials into done and to run, by the store's results and claims; nothing is changed.

    Raises
    ------
    StoreError
        A result or a claim cannot be read: it may be whole, so nobody may set it aside.
    """
    plan = Plan(trials)
    for trial_id in trials:
        try:
            result = store.result(trial_id)
        except UnreadableFile as error:
            raise StoreError(f"{error.told()}, or choose another results=") from None
        except DamagedFile as damage:
            plan.damaged.append(str(damage))
            plan.to_run.append(trial_id)
            plan.retire[trial_id] = "damaged"
            continue
        if result is None:
            plan.to_run.append(trial_id)
            continue
        if _again(result, settings.rerun):
            plan.to_run.append(trial_id)
            plan.retire[trial_id] = result.status
        else:
            plan.done.append(trial_id)
            plan.results[trial_id] = result
            if result.status != "completed":
                plan.unsuccessful.append(trial_id)
    if plan.to_run:
        plan.results.clear()
    for trial_id in plan.to_run:
        if claims.in_force(store, trial_id):
            plan.running.append(trial_id)
    plan.earlier = EarlierCode([store]).of([trials[trial_id] for trial_id in plan.to_run])
    return plan


def _again(result: Result, rerun: str) -> bool:
    if rerun == "all" or (rerun == "changed" and result.provenance.package_sha256 not in (None, package_sha256())):
        return True
    if rerun == "failed" and result.status in ("failed", "diverged"):
        return True
    # A worker that was killed says nothing about the trial: issuing the command again retries it.
    return result.error is not None and result.error.kind == "crash"
