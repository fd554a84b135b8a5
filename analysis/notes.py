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
    only = f", of which {measured} {'has' if measured == 1 else 'have'} results" if measured < len(candidates) else ""
    return Note(f"setting {differs} ({len(candidates)} settings{only}); it has {rules.SETTINGS[rule]}")


def status_notes(candidates: Sequence[Setting], rule: str, metric: str, fill: str, rerun: str) -> list[Note]:
    """Account for every trial of a cell that is not in its mean, but for those of other settings."""
    notes = []
    total = sum(len(setting.readings) for setting in candidates)

    def of(status: str) -> list[tuple[Setting, Reading]]:
        return [(setting, r) for setting in candidates for r in setting.readings if r.status == status]

    if missing := of("missing"):
        all_of = "no trial has a result yet" if len(missing) == total else f"{_count(missing, total)} no result yet"
        notes.append(Note(all_of, fill))
    if diverged := of("diverged"):
        notes.append(Note(f"{_count(diverged, total)} diverged and {_left_out(diverged)}: {_named(diverged)}"))
    if failed := of("failed"):
        notes.append(Note(f"{_count(failed, total)} failed and {_left_out(failed)}: {_named(failed)}", rerun))
    if infinite := of("not finite"):
        notes.append(
            Note(f"{_count(infinite, total)} no finite {metric} and {_left_out(infinite)}: {_named(infinite)}")
        )
    if unselected := of("unselected"):
        needs = "; it needs validation images: run and tabulate with dataset.n_val=N" if rule == "val" else ""
        notes.append(Note(f"{_count(unselected, total)} no evaluation under the rule {rule}{needs}"))
    if unknown := of("unknown metric"):
        notes.append(Note(f"{_count(unknown, total)} no {metric}, but {unknown[0][1].detail or 'nothing like it'}"))
    return notes


def _count(some: Sequence[Any], total: int) -> str:
    return f"{len(some)} of {total} trials have"


def _left_out(some: Sequence[Any]) -> str:
    return "is left out" if len(some) == 1 else "are left out"


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
