"""Which columns of a paper file's table are left by overrides of a key that columns set themselves.

`dataset.envs=2` leaves the columns with two environments, as `paper.only` leaves rows: in the others its trials would
stand under a label, and beside published cells, that are of other trials. Keys of `training` do not choose: columns
have them for the length of training, and another length is a smaller run of all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.overrides.paired_axes import is_zip, keys
from irm_sweeps.sweep.grid import last_wins, values
from irm_sweeps.sweep.paper_parts import Column
from irm_sweeps.wording import written


def left(name: str, columns: Sequence[Column], user: Sequence[str]) -> list[int]:
    """Return the places of the columns that the user's overrides leave.

    A typed value that no column has, and whatever is in paired axes, is taken by all columns; see `replaced`.

    Raises
    ------
    UserError
        Of several typed values, columns have some and not the others; or no column has all that is typed.
    """
    typed = _choosing(columns, user)
    own = [_values(column.sweep) for column in columns] if typed else []
    for key, asked in typed.items():
        had = [value for each in own for value in each.get(key, ())]
        if lacking := [written(value) for value in asked if value not in had]:
            known = ", ".join(dict.fromkeys(map(written, had)))
            raise UserError(
                f"{_shown(key, asked)}: it chooses columns of {name}, which have {known}, and none has "
                f"{', '.join(lacking)}: leave that out"
            )
    places = [i for i in range(len(columns)) if all(_meet(asked, own[i].get(key, ())) for key, asked in typed.items())]
    if not places:
        words = " ".join(_shown(key, asked) for key, asked in typed.items())
        listed = "; ".join(f"{column.label} ({' '.join(column.sweep)})" for column in columns)
        raise UserError(f"{words}: {name} has no column with all of these; its columns: {listed}")
    return places


def without_own(column: Column, columns: Sequence[Column], user: Sequence[str]) -> list[str]:
    """Return the overrides without those that choose a column and have all of its values, which then hold."""
    typed = _choosing(columns, user)
    own = _values(column.sweep) if typed else {}
    chosen = {key for key, asked in typed.items() if key in own and all(value in asked for value in own[key])}
    return [word for word in user if is_zip(word) or not chosen.intersection(keys(word))]


def replaced(columns: Sequence[Column], user: Sequence[str]) -> Iterator[str]:
    """Yield for each override that replaces one of a column's own a text such as `dataset.envs=3 (2 Env: 2)`."""
    typed = _choosing(columns, user)
    for word in user:
        for key in keys(word):
            if is_zip(word) or key not in typed:
                setting = [column for column in columns if _sets(column, key)]
                if had := {column.label: _values(column.sweep)[key] for column in setting}:
                    told = "; ".join(f"{label}: {','.join(map(written, found))}" for label, found in had.items())
                    yield f"{word.lstrip('+')} ({told})"


def _choosing(columns: Sequence[Column], user: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Return the values of each typed key that chooses columns: some column has one of them."""
    found = {}
    for word in filter(_is_plain, last_wins(user)):
        (key,) = keys(word)
        if key.startswith("training.") or not any(_sets(column, key) for column in columns):
            continue
        if any(_meet(_parsed(word)[1], _values(column.sweep).get(key, ())) for column in columns):
            found[key] = _parsed(word)[1]
    return found


def _sets(column: Column, key: str) -> bool:
    return any(keys(word) == [key] for word in column.sweep if _is_plain(word))


def _is_plain(word: str) -> bool:
    """Return whether an override gives a key values: it pairs no axes, and does not take a key out."""
    return not is_zip(word) and not word.startswith("~")


def _values(overrides: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """Return the values of each key."""
    return dict(map(_parsed, filter(_is_plain, overrides)))


def _shown(key: str, asked: Sequence[Any]) -> str:
    return f"{key}={','.join(map(written, asked))}"


@cache
def _parsed(word: str) -> tuple[str, Sequence[Any]]:
    return values(word)


def _meet(some: Sequence[Any], others: Sequence[Any]) -> bool:
    return any(value in others for value in some)
