"""What a store holds besides numbers: its trials one by one, what went wrong, and where it all comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps.errors import printable
from irm_sweeps.store.result import Result
from irm_sweeps.typed_commands import looking

SHOWN_IDS = 12
"""Most trials of one failure that are named."""


@dataclass(frozen=True)
class Entry:
    """One trial in the list.

    Attributes
    ----------
    worst
        Lowest accuracy over the test environments at the end of training, in per cent; None where there is none.
    foreign
        Whether a class of it is not this package's.
    """

    trial_id: str
    store: Path
    name: str
    status: str
    worst: float | None
    seconds: float | None
    commit: str
    foreign: bool = False

    @property
    def command(self) -> str:
        """The command that makes this trial again and compares."""
        return looking("reproduce", self.trial_id, *(["--trust"] if self.foreign else []), results=self.store)

    @property
    def show(self) -> str:
        """The command that prints what is known of it."""
        return looking("show", self.trial_id, results=self.store)


@dataclass(frozen=True)
class Loss:
    """Trials that were lost for one reason: `diverged`, or `failed` with the last line of the error."""

    status: str
    reason: str
    entries: Sequence[Entry]
    details: str
    first: int = SHOWN_IDS


def entry(result: Result, store: Path) -> Entry:
    """Return what the list says of a result in a store; whatever its file lacks is left open."""
    names = result.class_names
    return Entry(
        trial_id=result.trial_id,
        store=store,
        name=f"{result.label}  {names['dataset']} {names['backbone']}",
        status=result.status,
        worst=_worst(result),
        seconds=result.seconds,
        commit=_commits(result),
        foreign=bool(result.foreign_targets),
    )


def _worst(result: Result) -> float | None:
    test = result.scores("last").get("test", {})
    accuracies = [scores.accuracy for scores in test.values() if scores.accuracy is not None]
    return 100 * min(accuracies) if accuracies else None


def losses(results: Sequence[Result], store_of: Callable[[str], Path]) -> list[Loss]:
    """Group what diverged or failed by its reason, the most frequent first; `store_of`: where a trial's result lies."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.status == "diverged":
            groups.setdefault(("diverged", "the objective was not finite"), []).append(result)
        elif result.error is not None:
            groups.setdefault(("failed", result.error.last_line), []).append(result)
    return [
        Loss(
            status,
            reason,
            [entry(result, store_of(result.trial_id)) for result in lost],
            printable(lost[0].error.details.strip()) if lost[0].error else "",
        )
        for (status, reason), lost in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def origins(results: Sequence[Result]) -> list[tuple[int, dict[str, str]]]:
    """Count the results by code, versions and device, the most frequent first."""
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    for result in results:
        software, hardware = result.provenance.software, result.hardware
        facts = {
            "commit": _commits(result),
            **{package: software.get(package) for package in ("python", "torch", "numpy")},
            "device": hardware.device,
            "name": hardware.name,
            "threads": hardware.threads,
        }
        counts[tuple((key, "–" if value is None else str(value)) for key, value in facts.items())] += 1
    return [(n, dict(facts)) for facts, n in counts.most_common()]


def data(results: Sequence[Result]) -> list[tuple[int, str, str]]:
    """Count the results by source and sha256 of their data."""
    counts = Counter(source for result in results for source in result.provenance.data_sha256.items())
    return [(n, source, digest) for (source, digest), n in counts.most_common()]


def _commits(result: Result) -> str:
    """Return the commit of irm_sweeps and, where a trial's own code lies in a checkout, that of it."""
    git, own = result.provenance.git, result.provenance.own_git
    package = git.short(dirty=" +") if git else "–"
    return f"{package}, yours {own.short(dirty=' +')}" if own else package
