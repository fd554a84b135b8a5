"""The notes under a table: what a cell lacks, what it leaves out, and the command that fills it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.readings import Reading, Results, Setting, Status, contenders
from irm_sweeps.errors import one_line
from irm_sweeps.wording import written

_NAMED = 5
"""Most trials or settings that one note names."""

_LACKS: dict[Status, str] = {
    "missing": "not run",
    "unreadable": "not readable",
    "diverged": "diverged",
    "failed": "failed",
    "not finite": "not finite",
    "unselected": "not selected by the rule",
    "unknown metric": "not measured",
}
"""Why a seed has no value, in the note on a setting that was passed over."""


@dataclass(frozen=True)
class Note:
    """A sentence, and the command that goes with it."""

    text: str
    command: str | None = None


def setting_note(chosen: Setting, candidates: Sequence[Setting], rule: str) -> Note:
    """Say which hyperparameter setting speaks for a cell, and which were passed over for their fewer usable seeds."""
    differs = spelled(chosen.differs)
    if len(chosen.differs) == 1:
        (key,) = chosen.differs
        differs += f" of {', '.join(written(setting.differs.get(key)) for setting in candidates)}"
    measured, equal = [setting for setting in candidates if setting.values], contenders(candidates)
    what = "results"
    if len(equal) < len(measured):
        what = f"{len(chosen.values)} usable seed" + ("s" if len(chosen.values) > 1 else "")
    among = f"{len(equal)} settings with {what}" if len(equal) > 1 else f"the only setting with {what}"
    text = f"setting: {differs}; of {among} out of {len(candidates)} it has {selection_rules.SETTINGS[rule]}"
    if passed := [_passed(setting) for setting in measured if len(setting.values) < len(chosen.values)]:
        text += f"; passed over, with fewer usable seeds: {_listed(passed)}"
    if any(reading.status in ("missing", "failed") for setting in candidates for reading in setting.readings):
        text += "; provisional while trials are missing or failed"
    return Note(text)


def _passed(setting: Setting) -> str:
    """Return `lam=10 (1 of 3: 2 diverged)`."""
    counts = Counter(reading.status for reading in setting.readings)
    lacks = ", ".join(f"{counts[status]} {words}" for status, words in _LACKS.items() if counts[status])
    return f"{spelled(setting.differs)} ({len(setting.values)} of {len(setting.readings)}: {lacks})"


def status_notes(candidates: Sequence[Setting], rule: str, metric: str, fill: str, rerun: str) -> list[Note]:
    """Account for every trial of a cell that is not in its mean, but for those of other settings."""
    total = sum(len(setting.readings) for setting in candidates)
    notes = []

    def note(status: str, text: str, command: str | None = None, named: bool = True) -> None:
        some = [(setting, r) for setting in candidates for r in setting.readings if r.status == status]
        if some:
            names = f": {_named(some)}" if named else ""
            notes.append(Note(f"{text}: {len(some)} of {total} trials{names}", command))

    note("missing", "no result yet", fill, named=False)
    note("unreadable", "has a result that may not be read, left out")
    note("diverged", "diverged, left out")
    note("failed", "failed, left out", rerun)
    note("not finite", f"{metric} not finite, left out")
    hint = _hint_of_val(candidates) if rule == "val" else ""
    note("unselected", f"no evaluation under selection rule {rule}{hint}, left out")
    note("unknown metric", f"{metric} not measured, left out")
    return notes


def mixture_notes(chosen: Setting, results: Results, command: Callable[[str], str]) -> list[Note]:
    """Say where the seeds of a mean were made by several versions of the user's own code, or from several data.

    `command` is what runs them with one override more.
    """
    own: dict[str, Counter[str]] = {}
    data: dict[str, Counter[str]] = {}
    for reading in chosen.readings:
        result = results.of(reading.trial.id) if reading.value is not None else None
        if result is None:
            continue
        for found, digests in ((own, result.provenance.own_code), (data, result.provenance.data_sha256)):
            for name, digest in digests.items():
                found.setdefault(name, Counter())[digest] += 1
    kinds = ((own, "versions of the code of", "changed"), (data, "versions of the data", "all"))
    return [
        Note(f"mixed: {len(found)} {what} {one_line(name)} (sha256 {_counted(found)})", command(f"rerun={word}"))
        for versions, what, word in kinds
        for name, found in versions.items()
        if len(found) > 1
    ]


def _counted(digests: Counter[str]) -> str:
    from irm_sweeps.wording import count

    return ", ".join(f"{one_line(digest)[:8]}: {count(n, 'trial')}" for digest, n in digests.most_common())


def _hint_of_val(candidates: Sequence[Setting]) -> str:
    datasets = [reading.trial.dataset for setting in candidates for reading in setting.readings]
    if all("n_val" in type(dataset).model_fields for dataset in datasets):
        return " (run and tabulate with dataset.n_val=N to hold images back)"
    return " (the dataset holds no validation inputs back: give it a `val` split, or select otherwise)"


def _named(some: Sequence[tuple[Setting, Reading]]) -> str:
    return _listed([_name(setting, reading) for setting, reading in some])


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return "; ".join([*names[:_NAMED], *more])


def _name(setting: Setting, reading: Reading) -> str:
    where = spelled({**setting.differs, "seed": reading.trial.seed})
    return f"{reading.trial.id} ({where}) {reading.detail}".rstrip()


def spelled(values: Mapping[str, Any]) -> str:
    """Return `key=value, key=value`."""
    return ", ".join(f"{key}={written(value)}" for key, value in values.items())
