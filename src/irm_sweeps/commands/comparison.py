"""Compare two results of one trial: what differs, and under which circumstances each was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.store.result import GitState, Provenance, Result
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
    """How the second run differs from the first.

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
        """Return the lines to print."""
        lines = [f"{change.name}: {change.then} then, {change.now} now" for change in self.circumstances]
        around = [f"  {line}" for line in lines] or ["  nothing that is on record"]
        if self.equal:
            head = f"equal: the parameters and all {self.compared} metrics are the same bits"
            return "\n".join([head, *(["although there differ:", *around] if lines else [])])
        parts = [f"{change.name} ({change.then} then, {change.now} now)" for change in self.outcome]
        if self.metrics:
            parts.append(f"{len(self.metrics)} of {self.compared} metrics, by up to {self.metrics[0].distance:.3g}")
        report = [f"differs: {'; '.join(parts)}"]
        for change in self.metrics[:LISTED]:
            report.append(f"  {change.name}: {change.then} then, {change.now} now ({_signed(change)})")
        if len(self.metrics) > LISTED:
            report.append(f"  and {len(self.metrics) - LISTED} more that differ less")
        return "\n".join([*report, "what else differs between the two runs:", *around])


def _signed(change: Change) -> str:
    return f"{change.now - change.then:+.3g}" if change.distance < float("inf") else "no number"


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
    facts = [circumstances_of(then), circumstances_of(now)]
    every = dict.fromkeys([*facts[0], *facts[1]])
    # A fact that earlier versions did not write down is not known to differ.
    circumstances = [Change(name, facts[0][name], facts[1][name]) for name in every if all(name in f for f in facts)]
    circumstances = [*_code_changes(then.provenance, now.provenance), *circumstances]
    return Comparison(
        outcome=[change for change in outcome if change.then != change.now],
        metrics=sorted((c for c in metrics if c.then != c.now), key=lambda change: -change.distance),
        compared=len(old),
        circumstances=[change for change in circumstances if change.then != change.now],
    )


def _code_changes(then: Provenance, now: Provenance) -> list[Change]:
    """Return the user's modules whose code differs; of an earlier version's result, those whose files do."""
    if then.code_sha256:
        names = sorted({**then.code_sha256, **now.code_sha256})
        codes = [{name: digest[:12] for name, digest in side.code_sha256.items()} for side in (then, now)]
        return [Change(f"code of {name}", *(code.get(name) for code in codes)) for name in names]
    names = sorted(then.own_code.keys() & now.own_code.keys())
    return [Change(f"sha256 of {name}", then.own_code[name][:12], now.own_code[name][:12]) for name in names]


def _metrics(result: Result) -> Iterator[tuple[str, Any]]:
    for rule, evaluation in result.metrics.items():
        yield f"{rule}:step", evaluation.step
        for split, environment, scores in evaluation.environments():
            for measure, value in scores.measures.items():
                yield f"{rule}:{split}/{environment}/{measure}", value


def circumstances_of(result: Result) -> dict[str, Any]:
    """Return the circumstances of a result, by name: versions, hardware, numeric state, data, stack."""
    provenance = result.provenance
    return {
        "commit": commit_of(provenance.git),
        **({"code of irm_sweeps": provenance.package_sha256[:12]} if provenance.package_sha256 else {}),
        **({"your commit": commit_of(provenance.own_git)} if provenance.own_git else {}),
        **provenance.software,
        **result.hardware.recorded(),
        **provenance.numerics,
        **{f"sha256 of {source}": digest for source, digest in provenance.data_sha256.items()},
        "stack size": result.stack_size,
    }


def commit_of(git: GitState | None) -> str | None:
    """Return the commit of a checkout and whether it had changes; None if unknown."""
    return None if git is None else git.short(dirty=" and changes")
