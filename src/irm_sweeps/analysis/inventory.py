"""What a store holds besides numbers: its trials one by one, what went wrong, and where it all comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irm_sweeps.compose import COMPONENTS
from irm_sweeps.errors import one_line, printable
from irm_sweeps.typed_commands import looking
from irm_sweeps.user_modules import is_package_module

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


def entry(result: Mapping[str, Any], store: Path) -> Entry:
    """Return what the list says of a result in a store; whatever its file lacks is left open."""
    accuracies = [s.get("accuracy") for s in _at(result, "metrics", "last", "scores", "test", default={}).values()]
    numbers = [float(a) for a in accuracies if a is not None]
    seconds = _at(result, "timing", "seconds")
    size = _at(result, "timing", "stack_size", default=1)
    return Entry(
        trial_id=str(result["trial_id"]),
        store=store,
        name=_name(result["config"]),
        status=str(result["status"]),
        worst=100 * min(numbers) if numbers else None,
        seconds=seconds / size if isinstance(seconds, int | float) and isinstance(size, int) and size else None,
        commit=_commit(result),
        foreign=any(
            not is_package_module(_at(result, "config", group, "_target_", default="irm_sweeps."))
            for group in COMPONENTS
        ),
    )


def losses(results: Sequence[Mapping[str, Any]], store_of: Callable[[str], Path]) -> list[Loss]:
    """Group what diverged or failed by its reason, the most frequent first; `store_of`: where a trial's result lies."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for result in results:
        if result["status"] == "diverged":
            reason = "the objective was not finite"
        elif result["status"] == "failed":
            lines = str(_at(result, "error", "message", default="")).strip().splitlines()
            reason = one_line(lines[-1]) if lines else "no message"
        else:
            continue
        groups.setdefault((result["status"], reason), []).append(result)
    return [
        Loss(
            status,
            reason,
            [entry(r, store_of(r["trial_id"])) for r in lost],
            printable(str(_at(lost[0], "error", "details", default="")).strip()),
        )
        for (status, reason), lost in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def origins(results: Sequence[Mapping[str, Any]]) -> list[tuple[int, dict[str, str]]]:
    """Count the results by code, versions and device, the most frequent first."""
    counts: Counter[tuple[tuple[str, str], ...]] = Counter()
    for result in results:
        software, hardware = (_at(result, "provenance", key, default={}) for key in ("software", "hardware"))
        facts = {
            "commit": _commit(result),
            **{key: software.get(key, "–") for key in ("python", "torch", "numpy")},
            "device": hardware.get("device", "–"),
            "name": hardware.get("name", "–"),
            "threads": hardware.get("threads", "–"),
        }
        counts[tuple((key, str(value)) for key, value in facts.items())] += 1
    return [(n, dict(facts)) for facts, n in counts.most_common()]


def data(results: Sequence[Mapping[str, Any]]) -> list[tuple[int, str, str]]:
    """Count the results by source and sha256 of their data."""
    counts: Counter[tuple[str, str]] = Counter()
    for result in results:
        digests = _at(result, "provenance", "data_sha256", default={})
        counts.update((str(source), str(digest)) for source, digest in digests.items())
    return [(n, source, digest) for (source, digest), n in counts.most_common()]


def _name(config: Mapping[str, Any]) -> str:
    from irm_sweeps.wording import label

    names = [str(config[group]["_target_"]).rpartition(".")[2] for group in ("dataset", "backbone")]
    return f"{label(config)}  {' '.join(names)}"


def _commit(result: Mapping[str, Any]) -> str:
    """Return the commit of irm_sweeps and, where a trial's own code lies in a checkout, that of it."""
    package, own = (_checkout(result, key) for key in ("git", "own_git"))
    return ", yours ".join([package or "–", *([own] if own else [])])


def _checkout(result: Mapping[str, Any], key: str) -> str | None:
    commit = _at(result, "provenance", key, "commit")
    return None if commit is None else str(commit)[:12] + (" +" if _at(result, "provenance", key, "dirty") else "")


def _at(value: Any, *path: str, default: Any = None) -> Any:
    """Return what lies at a path; the default where it ends early or in something of another kind."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return default
        value = value[key]
    return default if isinstance(default, Mapping) and not isinstance(value, Mapping) else value
