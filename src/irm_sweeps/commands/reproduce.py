"""Run a stored trial again and compare, bit for bit: what is a result worth that cannot be made a second time?

Two runs give the same bits where everything on record is the same: code, versions, device, instructions, number of
threads (they share out a sum, and so decide in which order its terms are added), data, and the trials that were
trained together (a stack's products are batched, which again is another order), and whether its steps were compiled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import DamagedFile, UnreadableFile
from irm_sweeps.store.manifest import write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.trial import GROUPS, Trial
from irm_sweeps.typed_commands import looking
from irm_sweeps.user_modules import is_package_module
from irm_sweeps.wording import label

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


def stored(store: Store, trial_id: str, *, trusted: bool = False) -> tuple[dict[str, Any], Trial]:
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
    if result["status"] == "failed":
        show = looking("show", trial_id, results=store.root)
        raise UserError(f"trial {trial_id} failed: see {show}; rerun=failed runs it again")
    return result, _trial(result, trusted=trusted)


def _trial(result: Mapping[str, Any], *, trusted: bool = False) -> Trial:
    foreign = [str(result["config"][group]["_target_"]) for group in GROUPS]
    if not trusted and (foreign := [target for target in foreign if not is_package_module(target)]):
        raise UserError(
            f"trial {result['trial_id']} needs {', '.join(foreign)}, which is not of irm_sweeps: if it is your own, or "
            "of somebody you trust, add --trust"
        )
    trial = Trial.from_config(result["config"], trusted=trusted)
    if trial.id != result["trial_id"]:
        raise UserError(
            f"this version reads the config of trial {result['trial_id']} as trial {trial.id}: a default has changed "
            f"since; reproduce it with the version that made it ({_commit(result) or 'unknown commit'})"
        )
    return trial


def run_again(
    store: Store, result: Mapping[str, Any], trial: Trial, data_dir: Path, device: str, *, trusted: bool = False
) -> dict[str, Any]:
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
    threads = _facts(result).get("threads")
    if isinstance(threads, int):
        torch.set_num_threads(threads)
    tame_allocator()
    stack = {own.id: own for own in _stack(store, result, trial, trusted)}
    with tempfile.TemporaryDirectory(prefix="irm-sweeps-") as folder:
        fresh = Store(Path(folder) / "results")
        fresh.prepare()
        settings = {
            "data_dir": str(data_dir),
            "device": str(chosen),
            "compile": bool(result.get("provenance", {}).get("compiled")),
            "on_error": "continue",
            "checkpoint_seconds": 1e9,
        }
        configs = {own.id: own.canonical for own in stack.values()}
        manifest = write_manifest(fresh, "reproduce", configs, [list(stack)], settings)
        Worker(fresh, manifest, chosen, capture=False).work()
        again = fresh.result(trial.id)
    assert again is not None, "a worker writes a result for whatever it trains"
    return again


def _stack(store: Store, result: Mapping[str, Any], trial: Trial, trusted: bool) -> list[Trial]:
    """Return the trials of the stack that it was trained in; alone, if some are not known any more."""
    mates = []
    for trial_id in result.get("provenance", {}).get("stack") or [trial.id]:
        try:
            mate = store.result(trial_id)
            mates.append(trial if trial_id == trial.id else _trial(mate or {}, trusted=trusted))
        except (DamagedFile, KeyError, UserError):
            return [trial]
    return mates


def device_of(result: Mapping[str, Any]) -> str:
    """Return the kind of device that a trial ran on."""
    return str((result.get("provenance", {}).get("hardware") or {}).get("device", "auto"))


def describe(result: Mapping[str, Any]) -> str:
    """Return one line on what is about to run, and how long it took."""
    facts = _facts(result)
    n = facts.get("threads")
    threads = "" if n is None else f", {n} thread{'s' * (n != 1)}"
    stack = int(facts["stack size"])
    return (
        f"trial {result['trial_id']}  {label(result['config'])}  on {device_of(result)}{threads}"
        + (f", in a stack of {stack}" if stack > 1 else "")
        + (f": took {seconds:.1f} s" if (seconds := result.get("timing", {}).get("seconds")) is not None else "")
    )


def compare(then: Mapping[str, Any], now: Mapping[str, Any]) -> Comparison:
    """Compare two results of one trial."""
    outcome = [Change(name, then.get(name), now.get(name)) for name in ("status", "steps", "diverged_at")]
    digests = [r.get("provenance", {}).get("parameters_sha256") for r in (then, now)]
    if "error" in now:
        outcome.append(Change("error", None, now["error"]["message"]))
    else:
        outcome.append(Change("parameters_sha256", *(str(digest)[:12] for digest in digests)))
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


def _metrics(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for rule, chosen in result["metrics"].items():
        yield f"{rule}:step", chosen["step"]
        for split, environments in chosen["scores"].items():
            for environment, scores in environments.items():
                for measure, value in scores.items():
                    yield f"{rule}:{split}/{environment}/{measure}", value


def _facts(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the circumstances of a result, flat."""
    provenance = result.get("provenance", {})
    return {
        "commit": _commit(result),
        **{f"sha256 of {module}": digest for module, digest in provenance.get("own_code", {}).items()},
        **({"your commit": own} if (own := _commit(result, "own_git")) else {}),
        **provenance.get("software", {}),
        **(provenance.get("hardware") or {}),
        **{f"sha256 of {source}": digest for source, digest in provenance.get("data_sha256", {}).items()},
        "stack size": result.get("timing", {}).get("stack_size") or 1,
    }


def _commit(result: Mapping[str, Any], whose: str = "git") -> str | None:
    git = result.get("provenance", {}).get(whose)
    return None if git is None else git["commit"][:12] + (" and changes" if git.get("dirty") else "")
