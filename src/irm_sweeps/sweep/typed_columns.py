"""Which columns of a paper file's table are left by overrides of a key that columns set themselves.

`dataset.envs=2` leaves the columns with two environments, as `paper.only` leaves rows: in the others its trials would
stand under a label, and beside published cells, that are of other trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.overrides.paired_axes import is_zip
from irm_sweeps.sweep.grid import last_wins, values
from irm_sweeps.sweep.paper_parts import Column


def left(name: str, columns: Sequence[Column], user: Sequence[str]) -> list[int]:
    """Return the places of the columns that the user's overrides leave.

    A typed value that some columns have leaves those. One that none has is taken by all, as in a shrunken run.

    Raises
    ------
    UserError
        No column has all that is typed, or columns with different overrides of their own become the same trials.
    """
    typed = _values([word for word in user if any(_sets(column, word) for column in columns)])
    if not typed:
        return list(range(len(columns)))
    own = [_values(column.sweep) for column in columns]
    choosing = {key for key, found in typed.items() if any(_common(found, each.get(key, ())) for each in own)}
    places = [i for i, each in enumerate(own) if all(_common(typed[key], each.get(key, ())) for key in choosing)]
    if not places:
        words = " ".join(word for word in user if _key(word) in choosing)
        raise UserError(f"{words}: {name} has no column with all of these; its columns: {_listed(columns)}")
    made: dict[frozenset[str], Column] = {}
    for column in (columns[i] for i in places):
        twin = made.setdefault(frozenset(last_wins(column.sweep, without_own(column, user))), column)
        if twin.sweep != column.sweep:
            words = " ".join(word for word in user if _sets(twin, word) or _sets(column, word))
            raise UserError(
                f"{words}: the columns {twin.label!r} and {column.label!r} of {name} would have the same trials, each "
                f"labelled by a value of its own: leave it out, or give one of theirs; its columns: {_listed(columns)}"
            )
    return places


def without_own(column: Column, user: Sequence[str]) -> list[str]:
    """Return the user's overrides without those that leave a column because it has a value that is among theirs."""
    own = _values(column.sweep) if any(_sets(column, word) for word in user) else {}
    return [word for word in user if not (_sets(column, word) and _within(own[_key(word)], _parsed(word)[1]))]


def _sets(column: Column, word: str) -> bool:
    """Return whether a column has an override of its own of the key of one typed; paired axes are left out."""
    return not is_zip(word) and any(_key(own) == _key(word) for own in column.sweep)


def _values(overrides: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """Return the values of each key; paired axes are left out."""
    return dict(_parsed(word) for word in overrides if not is_zip(word) and not word.startswith("~"))


@cache
def _parsed(word: str) -> tuple[str, Sequence[Any]]:
    return values(word)


def _key(word: str) -> str:
    return word.partition("=")[0].lstrip("+")


def _common(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return any(value in others for value in some)


def _within(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return all(value in others for value in some)


def _listed(columns: Sequence[Column]) -> str:
    return "; ".join(f"{column.label} ({' '.join(column.sweep)})" for column in columns if column.sweep)
