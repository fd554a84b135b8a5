"""The notes under a table: what a cell lacks, what it leaves out, and the command that fills it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rules
from measured import Reading, Setting

_NAMED = 5
"""Most trials that one note names."""


@dataclass(frozen=True)
class Note:
    """A sentence, and the command that goes with it."""

    text: str
    command: str | None = None


def setting_note(chosen: Setting, candidates: Sequence[Setting], rule: str) -> Note:
    """Say which hyperparameter setting speaks for a cell."""
    differs = spelled(chosen.differs)
    if len(chosen.differs) == 1:
        (key,) = chosen.differs
        differs += f" of {', '.join(_value(setting.differs.get(key)) for setting in candidates)}"
    measured = sum(bool(setting.values) for setting in candidates)
    among = f"{measured} settings with results" if measured > 1 else "the only setting with results"
    return Note(f"setting: {differs}; of {among} out of {len(candidates)} it has {rules.SETTINGS[rule]}")


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
    note("diverged", "diverged, left out")
    note("failed", "failed, left out", rerun)
    note("not finite", f"{metric} not finite, left out")
    hint = " (run and tabulate with dataset.n_val=N to hold images back)" if rule == "val" else ""
    note("unselected", f"no evaluation under selection rule {rule}{hint}, left out")
    note("unknown metric", f"{metric} not measured, left out")
    return notes


def _named(some: Sequence[tuple[Setting, Reading]]) -> str:
    named = [_name(setting, reading) for setting, reading in some[:_NAMED]]
    more = [f"{len(some) - _NAMED} more"] if len(some) > _NAMED else []
    return "; ".join(named + more)


def _name(setting: Setting, reading: Reading) -> str:
    where = spelled({**setting.differs, "seed": reading.trial.seed})
    return f"{reading.trial.id} ({where}) {reading.detail}".rstrip()


def spelled(values: Mapping[str, Any]) -> str:
    """Return `key=value, key=value`."""
    return ", ".join(f"{key}={_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else json.dumps(value)
