"""Run a stored trial again and compare, bit for bit: what is a result worth that cannot be made a second time?

Two runs give the same bits where everything on record is the same: code, versions, device, instructions, number of
threads (they share out a sum, and so decide in which order its terms are added), data, and the trials that were
trained together (a stack's products are batched, which again is another order), and whether its steps were compiled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.files.atomic import DamagedFile, UnreadableFile
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.result import GitState, Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import looking
from irm_sweeps.wording import count

LISTED = 10
"""Most metrics that are printed one by one."""


@dataclass(frozen=True)
class Change:
    """One number or fact, as stored and as made again; None: there is none."""

    name: str
    then: Any
    now: Any

    @property
    def distance(self) -> float:
        """By how much two numbers differ; infinite where one of them is missing."""
        if isinstance(self.then, int | float) and isinstance(self.now, int | float):
            return abs(self.then - self.now)
        return float("inf")


@dataclass(frozen=True)
class Comparison:
    """What became of the second run.

    Attributes
    ----------
    outcome
        What differs of status, steps and final parameters.
    metrics
        The metrics that differ, the farthest first.
    compared
        Number of metrics that were compared.
    circumstances
        What differs of code, versions, device, data and stack.
    """

    outcome: Sequence[Change]
    metrics: Sequence[Change]
    compared: int
    circumstances: Sequence[Change]

    @property
    def equal(self) -> bool:
        """Whether every bit of parameters and metrics is the same."""
        return not self.outcome and not self.metrics

    def text(self) -> str:
        """Return what a person reads."""
        lines = [f"{change.name}: {change.then} then, {change.now} now" for change in self.circumstances]
        around = [f"  {line}" for line in lines] or ["  nothing that is on record"]
        if self.equal:
            head = f"equal: the parameters and all {self.compared} metrics are the same bits"
            return "\n".join([head, *(["although there differ:", *around] if lines else [])])
        parts = [f"{change.name} ({change.then} then, {change.now} now)" for change in self.outcome]
        if self.metrics:
            parts.append(f"{len(self.metrics)} of {self.compared} metrics, by up to {self.metrics[0].distance:.3g}")
        found = [f"differs: {'; '.join(parts)}"]
        for change in self.metrics[:LISTED]:
            found.append(f"  {change.name}: {change.then} then, {change.now} now ({_signed(change)})")
        if len(self.metrics) > LISTED:
            found.append(f"  and {len(self.metrics) - LISTED} more that differ less")
        return "\n".join([*found, "what else differs between the two runs:", *around])


def _signed(change: Change) -> str:
    return f"{change.now - change.then:+.3g}" if change.distance < float("inf") else "no number"


def stored(store: Store, trial_id: str, *, trusted: bool = False) -> tuple[Result, Trial]:
    """Return a result that can be made again, and its trial; `trusted`: see `Trial.from_config`.

    Raises
    ------
    UserError
        It is missing, damaged or failed, or this version reads its config as another trial's.
    """
    try:
        result = store.result(trial_id)
    except UnreadableFile as error:
        raise UserError(error.told()) from None
    except DamagedFile as damage:
        raise UserError(f"damaged: {damage}; nothing to compare with") from None
    if result is None:
        raise UserError(f"trial {trial_id} has no result yet, so there is nothing to compare with")
    if result.status == "failed":
        show = looking("show", trial_id, results=store.root)
        raise UserError(f"trial {trial_id} failed: see {show}; rerun=failed runs it again")
    return result, _trial(result, trusted=trusted)


def _trial(result: Result, *, trusted: bool = False) -> Trial:
    if not trusted and (foreign := result.foreign_targets):
        raise UserError(
            f"trial {result.trial_id} needs {', '.join(foreign)}, which is not of irm_sweeps: if it is your own, or "
            "of somebody you trust, add --trust"
        )
    trial = Trial.from_config(result.config, trusted=trusted)
    if trial.id != result.trial_id:
        raise UserError(
            f"this version reads the config of trial {result.trial_id} as trial {trial.id}: a default has changed "
            f"since; reproduce it with the version that made it ({_commit(result.provenance.git) or 'unknown commit'})"
        )
    return trial


def run_again(
    store: Store, result: Result, trial: Trial, data_dir: Path, device: str, *, trusted: bool = False
) -> Result:
    """Train a trial a second time, in a temporary store and under the recorded circumstances; return the new result.

    Its stack is formed again if all of it is in the store; the number of threads is the recorded one.

    Raises
    ------
    UserError
        There is no such device, or the data is missing.
    """
    import torch

    from irm_sweeps.device import choose_device, open_device, tame_allocator
    from irm_sweeps.worker.worker import Worker

    chosen = choose_device(device)
    open_device(chosen)
    try:
        trial.dataset.check(data_dir)
    except UserError as error:
        raise UserError(f"{error}; or say where it lies: --data-dir DIR") from None
    trial.backbone.check(trial.dataset.features, trial.dataset.outputs)
    if result.hardware.threads is not None:
        torch.set_num_threads(result.hardware.threads)
    tame_allocator()
    stack = {mate.id: mate.canonical for mate in _stack(store, result, trial, trusted)}
    with tempfile.TemporaryDirectory(prefix="irm-sweeps-") as folder:
        fresh = Store(Path(folder) / "results")
        fresh.prepare()
        settings = RunSettings(
            data_dir=str(data_dir),
            device=str(chosen),
            compile=result.provenance.compiled,
            on_error="continue",
            checkpoint_seconds=1e9,
        )
        manifest = write_manifest(fresh, "reproduce", stack, [list(stack)], settings)
        Worker(fresh, manifest, chosen, capture=False).work()
        again = fresh.result(trial.id)
    assert again is not None, "a worker writes a result for whatever it trains"
    return again


def _stack(store: Store, result: Result, trial: Trial, trusted: bool) -> list[Trial]:
    """Return the trials of the stack that it was trained in; alone, if some are not known any more."""
    mates = []
    for trial_id in result.provenance.stack or [trial.id]:
        if trial_id == trial.id:
            mates.append(trial)
            continue
        try:
            mate = store.result(trial_id)
            if mate is None:
                return [trial]
            mates.append(_trial(mate, trusted=trusted))
        except (DamagedFile, UserError):
            return [trial]
    return mates


def device_of(result: Result) -> str:
    """Return the kind of device that a trial ran on; `auto` where that was not recorded."""
    return result.hardware.device or "auto"


def describe(result: Result) -> str:
    """Return one line on what is about to run, and how long it took."""
    threads, seconds = result.hardware.threads, result.timing.seconds
    return (
        f"trial {result.trial_id}  {result.label}  on {device_of(result)}"
        + ("" if threads is None else f", {count(threads, 'thread')}")
        + (f", in a stack of {result.stack_size}" if result.stack_size > 1 else "")
        + ("" if seconds is None else f": took {seconds:.1f} s")
    )


def compare(then: Result, now: Result) -> Comparison:
    """Compare two results of one trial."""
    outcome = [
        Change("status", then.status, now.status),
        Change("steps", then.steps, now.steps),
        Change("diverged_at", then.diverged_at, now.diverged_at),
    ]
    if now.error is not None:
        outcome.append(Change("error", None, now.error.message))
    else:
        digests = [str(result.provenance.parameters_sha256)[:12] for result in (then, now)]
        outcome.append(Change("parameters_sha256", *digests))
    old, new = dict(_metrics(then)), dict(_metrics(now))
    # A selection rule that a later version adds has nothing to be compared with.
    metrics = [Change(name, value, new.get(name)) for name, value in old.items()]
    facts = [_facts(then), _facts(now)]
    every = dict.fromkeys([*facts[0], *facts[1]])
    # A fact that earlier versions did not write down is not known to differ.
    circumstances = [Change(name, facts[0][name], facts[1][name]) for name in every if all(name in f for f in facts)]
    return Comparison(
        outcome=[change for change in outcome if change.then != change.now],
        metrics=sorted((c for c in metrics if c.then != c.now), key=lambda change: -change.distance),
        compared=len(old),
        circumstances=[change for change in circumstances if change.then != change.now],
    )


def _metrics(result: Result) -> Iterator[tuple[str, Any]]:
    for rule, evaluation in result.metrics.items():
        yield f"{rule}:step", evaluation.step
        for split, environment, scores in evaluation.environments():
            for measure, value in scores.measures.items():
                yield f"{rule}:{split}/{environment}/{measure}", value


def _facts(result: Result) -> dict[str, Any]:
    """Return the circumstances of a result, flat."""
    provenance = result.provenance
    return {
        "commit": _commit(provenance.git),
        **{f"sha256 of {module}": digest for module, digest in provenance.own_code.items()},
        **({"your commit": _commit(provenance.own_git)} if provenance.own_git else {}),
        **provenance.software,
        **result.hardware.recorded(),
        **{f"sha256 of {source}": digest for source, digest in provenance.data_sha256.items()},
        "stack size": result.stack_size,
    }


def _commit(git: GitState | None) -> str | None:
    return None if git is None else git.short(dirty=" and changes")
