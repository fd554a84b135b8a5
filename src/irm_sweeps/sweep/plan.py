"""The plan of a sweep: which trials have a result that stays, and which are to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from irm_sweeps.config import Settings
from irm_sweeps.errors import StoreError, one_line
from irm_sweeps.files.reading import DamagedFile, UnreadableFile
from irm_sweeps.provenance import other_code
from irm_sweeps.store import claims
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
    changed
        Ids among `done` that were made by an earlier version of the user's own code, and the modules that have changed.
    damaged
        A line for each result file that is damaged.
    """

    trials: Mapping[str, Trial]
    done: list[str] = field(default_factory=list)
    to_run: list[str] = field(default_factory=list)
    retire: dict[str, str] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    unsuccessful: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)

    def warning(self) -> str | None:
        """Return one line if results that count as done were made by an earlier version of the user's code."""
        if not self.changed:
            return None
        modules = sorted({name for names in self.changed.values() for name in names})
        return (
            f"warning: {len(self.changed)} of those done were made before {one_line(', '.join(modules))} changed: "
            "rerun=changed runs them again"
        )

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
    for trial_id, trial in trials.items():
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
        changed = other_code(result.provenance.own_code, trial.own_code)
        if _again(result, bool(changed), settings.rerun):
            plan.to_run.append(trial_id)
            plan.retire[trial_id] = result.status
        else:
            plan.done.append(trial_id)
            if changed:
                plan.changed[trial_id] = changed
            if result.status != "completed":
                plan.unsuccessful.append(trial_id)
    for trial_id in plan.to_run:
        claim = claims.current(store, trial_id)
        if claim is not None and claim.is_in_force():
            plan.running.append(trial_id)
    return plan


def _again(result: Result, changed: bool, rerun: str) -> bool:
    if rerun == "all" or (rerun == "changed" and changed):
        return True
    if rerun == "failed" and result.status in ("failed", "diverged"):
        return True
    # A worker that was killed says nothing about the trial: issuing the command again retries it.
    return result.error is not None and result.error.kind == "crash"
