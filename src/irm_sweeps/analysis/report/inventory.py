"""The report's lists: the trials of a store, the failed and diverged ones by reason, and the provenance of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irm_sweeps.errors import printable
from irm_sweeps.naming.names import setting_names, with_seed
from irm_sweeps.store.later_fields import without_places
from irm_sweeps.store.result import Result
from irm_sweeps.typed_commands import looking


@dataclass(frozen=True)
class Entry:
    """One trial in the list of trials.

    Attributes
    ----------
    worst
        Lowest accuracy over the test environments at the end of training, in per cent; None without an accuracy.
    seconds
        The trial's share of its stack's wall time; None if it was not recorded.
    foreign
        Whether the config names a class from outside this package.
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
        """The command that trains this trial again and compares the results."""
        return looking("reproduce", self.trial_id, *(["--trust"] if self.foreign else []), results=self.store)

    @property
    def show(self) -> str:
        """The command that prints the trial's scores, or its error."""
        return looking("show", self.trial_id, results=self.store)


@dataclass(frozen=True)
class FailureGroup:
    """Trials that diverged, or that failed with the same last line of the error.

    Attributes
    ----------
    details
        The traceback of the first trial; empty without one.
    shown
        Largest number of entries that the page names.
    """

    status: str
    reason: str
    entries: Sequence[Entry]
    details: str
    shown: int = 12


def names(results: Sequence[Result]) -> dict[str, str]:
    """Return for each trial, by id, a name that tells it apart from all others, with its dataset and backbone."""
    configs = [without_places(result.config) for result in results]
    settings = setting_names(configs, also=("dataset", "backbone"))
    return {
        result.trial_id: with_seed(setting, result.config) for result, setting in zip(results, settings, strict=True)
    }


def entry(result: Result, store: Path, name: str) -> Entry:
    """Return the entry of a result in a store, under one of `names`."""
    return Entry(
        trial_id=result.trial_id,
        store=store,
        name=name,
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


def failure_groups(
    results: Sequence[Result], store_of: Callable[[str], Path], named: Mapping[str, str]
) -> list[FailureGroup]:
    """Group the diverged and the failed trials by reason, the largest group first.

    `store_of` returns the store of a trial; `named` has the `names` of all results.
    """
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.status == "diverged":
            groups.setdefault(("diverged", "the objective was not finite"), []).append(result)
        elif result.error is not None:
            groups.setdefault(("failed", result.error.last_line), []).append(result)
    return [
        FailureGroup(
            status,
            reason,
            [entry(result, store_of(result.trial_id), named[result.trial_id]) for result in group],
            printable(group[0].error.details.strip()) if group[0].error else "",
        )
        for (status, reason), group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def origins(results: Sequence[Result]) -> list[tuple[int, dict[str, str]]]:
    """Count the results by commit, versions and device, the most frequent first."""
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


def data_digests(results: Sequence[Result]) -> list[tuple[int, str, str]]:
    """Count the results by source and sha256 of their data, the most frequent first."""
    counts = Counter(source for result in results for source in result.provenance.data_sha256.items())
    return [(n, source, digest) for (source, digest), n in counts.most_common()]


def _commits(result: Result) -> str:
    """Return the commit of irm_sweeps and, if the user's classes lie in a checkout, its commit."""
    git, user_git = result.provenance.git, result.provenance.own_git
    package = git.short(dirty=" +") if git else "–"
    return f"{package}, yours {user_git.short(dirty=' +')}" if user_git else package
