"""The notes under a table: which trials a cell's mean leaves out and why, and the command that fills the cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis import selection_rules
from irm_sweeps.analysis.readings import Reading, Results, Status
from irm_sweeps.analysis.settings import Setting, contenders
from irm_sweeps.errors import one_line
from irm_sweeps.wording import count, written

if TYPE_CHECKING:
    from irm_sweeps.store.result import Result

CHOSEN_ON_TEST = "chosen on test"
"""Printed with a setting of which `chosen_on_test` is true."""

_MOST_NAMED = 5
"""Largest number of trials or settings that one note names."""

_REASONS: dict[Status, str] = {
    "missing": "not run",
    "unreadable": "not readable",
    "diverged": "diverged",
    "failed": "failed",
    "not finite": "not finite",
    "unselected": "not selected by the rule",
    "unknown metric": "not measured",
}
"""Status -> why a seed has no value, in the note on a setting that was passed over."""


@dataclass(frozen=True)
class Note:
    """A sentence, and the command that mends what it says.

    Attributes
    ----------
    mixed
        What a mean is over several of, e.g. `2 versions of irm_sweeps`; empty where the note is on something else.
    """

    text: str
    command: str | None = None
    mixed: str = ""


def chosen_on_test(rule: str) -> bool:
    """Return whether a rule compares settings by the metric of the cell itself, that is on test images."""
    return rule != "val"


def setting_note(chosen: Setting, candidates: Sequence[Setting], rule: str) -> Note:
    """Return the note on the setting that a cell shows, and on the settings passed over for seeds without a value."""
    differs = spelled(chosen.differs)
    if len(chosen.differs) == 1:
        (key,) = chosen.differs
        differs += f" of {', '.join(written(setting.differs.get(key)) for setting in candidates)}"
    measured, compared = [setting for setting in candidates if setting.values], contenders(candidates)
    several, have = count(len(candidates), "setting"), "results"
    if len(compared) < len(measured):
        have = "all their seeds"
    if len(chosen.values) < len(chosen.readings):
        have = f"{len(chosen.values)} of {count(len(chosen.readings), 'seed')} so far"
    text = f"setting: {differs}"
    if len(compared) < len(candidates) or have != "results":
        text += f"; of {several}, {len(compared)} with {have}"
    elif len(chosen.differs) > 1:
        text += f"; of {several}"
    text += f"; {CHOSEN_ON_TEST}" * chosen_on_test(rule)
    if passed := [_passed(setting) for setting in measured if setting not in compared]:
        text += f"; passed over, without a value of every seed: {_listed(passed)}"
    if any(reading.status in ("missing", "failed") for setting in candidates for reading in setting.readings):
        text += "; provisional while trials are missing or failed"
    return Note(text)


def _passed(setting: Setting) -> str:
    """Return `lam=10 (1 of 3: 2 diverged)`."""
    counts = Counter(reading.status for reading in setting.readings)
    reasons = ", ".join(f"{counts[status]} {reason}" for status, reason in _REASONS.items() if counts[status])
    return f"{spelled(setting.differs)} ({len(setting.values)} of {len(setting.readings)}: {reasons})"


def status_notes(
    candidates: Sequence[Setting], results: Results, rule: str, metric: str, fill: str, rerun: str
) -> list[Note]:
    """Return a note for each reason why trials of a cell have no value.

    `fill` is the command that runs missing trials, `rerun` the one that runs failed trials again.
    """
    total = sum(len(setting.readings) for setting in candidates)
    notes = []

    def note(status: str, text: str, command: str | None = None) -> None:
        trials = [(setting, r) for setting in candidates for r in setting.readings if r.status == status]
        if trials:
            names = _listed([_named(setting, r) for setting, r in trials])
            notes.append(Note(f"{text}: {len(trials)} of {count(total, 'trial')}: {names}", command))

    missing = [r.trial for setting in candidates for r in setting.readings if r.status == "missing"]
    if missing:
        earlier = results.done_by_earlier_code(missing)
        text = f"no result yet: {len(missing)} of {count(total, 'trial')}" + (f", {earlier}" if earlier else "")
        notes.append(Note(text, fill))
    note("unreadable", "has a result that may not be read, left out")
    note("diverged", "diverged, left out")
    note("failed", "failed, left out", rerun)
    note("not finite", f"{metric} not finite, left out")
    hint = (
        _hint_of_val(candidates)
        if rule == "val"
        else f" ({selection_rules.ADVICE[rule]})"
        if rule in selection_rules.ADVICE
        else ""
    )
    note("unselected", f"no evaluation under selection rule {rule}{hint}, left out")
    note("unknown metric", f"{metric} not measured, left out")
    return notes


def mixture_notes(chosen: Setting, results: Results, command: Callable[[str], str]) -> list[Note]:
    """Return a note if one mean is over trials of several versions of this package, and one for each such data source.

    `command` returns the command that runs the trials with one more override.
    """
    measured = [results.of(reading.trial.id) for reading in chosen.readings if reading.value is not None]
    made_by = package_versions(measured)
    notes = []
    if len(made_by) > 1:
        notes.append(Note(f"mixed: {several(made_by)}", command("rerun=changed"), _versions(made_by)))
    data: dict[str, Counter[str]] = {}
    for result in measured:
        for name, digest in result.provenance.data_sha256.items() if result else ():
            data.setdefault(name, Counter())[one_line(digest)[:8]] += 1
    for name, digests in data.items():
        if len(digests) > 1:
            mixed = f"{len(digests)} versions of the data {one_line(name)}"
            notes.append(Note(f"mixed: {mixed} (sha256 {_counted(digests)})", command("rerun=all"), mixed))
    return notes


def package_versions(results: Iterable[Result | None]) -> Counter[str]:
    """Count the results that tell by which code of this package they were made; earlier ones tell its version only."""
    made = [result.provenance for result in results if result]
    digests = Counter(one_line(p.package_sha256)[:8] for p in made if p.package_sha256)
    if len(digests) > 1:
        return Counter({f"sha256 {digest}": n for digest, n in digests.items()})
    return Counter(one_line(p.software["irm-sweeps"]) for p in made if "irm-sweeps" in p.software)


def several(versions: Counter[str]) -> str:
    """Return `2 versions of irm_sweeps (sha256 0a1b2c3d: 2 trials, sha256 4e5f6a7b: 1 trial)`."""
    return f"{_versions(versions)} ({_counted(versions)})"


def made_by(results: Results, trial_ids: Iterable[str]) -> str:
    """Return `Trials of 2 versions of irm_sweeps (...)` if trials were made by several; empty if by one."""
    versions = package_versions(map(results.of, dict.fromkeys(trial_ids)))
    return f"Trials of {several(versions)}" if len(versions) > 1 else ""


def _versions(versions: Counter[str]) -> str:
    return f"{len(versions)} versions of irm_sweeps"


def _counted(versions: Counter[str]) -> str:
    """Return `0a1b2c3d: 2 trials, 4e5f6a7b: 1 trial`."""
    return ", ".join(f"{version}: {count(n, 'trial')}" for version, n in versions.most_common())


def _hint_of_val(candidates: Sequence[Setting]) -> str:
    """Return what to do where trials have no validation inputs."""
    datasets = [reading.trial.dataset for setting in candidates for reading in setting.readings]
    if all("n_val" in type(dataset).model_fields for dataset in datasets):
        return " (run and tabulate with dataset.n_val=N to hold images back)"
    return " (the dataset holds no validation inputs back: give it a `val` split, or select otherwise)"


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return "; ".join([*names[:_MOST_NAMED], *more])


def _named(setting: Setting, reading: Reading) -> str:
    """Return `0123456789abcdef (lam=10, seed=3) at step 120`."""
    where = spelled({**setting.differs, "seed": reading.trial.seed})
    return f"{reading.trial.id} ({where}) {reading.detail}".rstrip()


def spelled(values: Mapping[str, Any]) -> str:
    """Return `key=value, key=value`."""
    return ", ".join(f"{key}={written(value)}" for key, value in values.items())
