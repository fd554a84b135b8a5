"""Compare two results of one trial: what differs, and under which circumstances each was made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


def device_of(result: Mapping[str, Any]) -> str:
    """Return the kind of device that a trial ran on."""
    return str((result.get("provenance", {}).get("hardware") or {}).get("device", "auto"))


def describe(result: Mapping[str, Any]) -> str:
    """Return one line on what is about to run, and how long it took."""
    facts = circumstances_of(result)
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
    facts = [circumstances_of(then), circumstances_of(now)]
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


def circumstances_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the circumstances of a result, by name: code, versions, hardware, data, stack."""
    provenance = result.get("provenance", {})
    return {
        "commit": commit_of(result),
        **{f"sha256 of {module}": digest for module, digest in provenance.get("own_code", {}).items()},
        **({"your commit": commit} if (commit := commit_of(result, "own_git")) else {}),
        **provenance.get("software", {}),
        **(provenance.get("hardware") or {}),
        **{f"sha256 of {source}": digest for source, digest in provenance.get("data_sha256", {}).items()},
        "stack size": result.get("timing", {}).get("stack_size") or 1,
    }


def commit_of(result: Mapping[str, Any], whose: str = "git") -> str | None:
    """Return the commit of the code that made a result: irm_sweeps's, or with `own_git` the user's; None if unknown."""
    git = result.get("provenance", {}).get(whose)
    return None if git is None else git["commit"][:12] + (" and changes" if git.get("dirty") else "")
