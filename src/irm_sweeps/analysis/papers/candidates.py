"""Which cells of a paper file can have results, by the classes that their rows name: a look that composes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

from irm_sweeps.conf_folders import COMPONENTS, conf_dir, yamls

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.store.result import Result
    from irm_sweeps.sweep.paper import Column, Paper, Row

Classes = tuple[str, ...]
"""The classes of a trial, in the order of `COMPONENTS`."""

_TARGET = re.compile(r"^_target_:[ ]*([\w.]+)[ ]*(#.*)?$", re.MULTILINE)
_NAMES = re.compile(r"[\w]+(,[\w]+)*", re.ASCII)


def classes_of(results: Results) -> set[Classes]:
    """Return the classes of every result, each combination once."""
    return classes_among(results.everything())


def classes_among(results: Iterable[Result | None]) -> set[Classes]:
    """Return the classes of results, each combination once."""
    return {tuple(str(result.config[group]["_target_"]) for group in COMPONENTS) for result in results if result}


def candidate_cells(paper: Paper, found: set[Classes]) -> Iterator[tuple[Row, Column]]:
    """Yield row and column of the cells whose trials, as the file stands, may be among results of these classes.

    Of a user's own file these are all cells: the trials are composed, and so are mistakes found.
    """
    is_own = not (conf_dir() / "paper" / f"{paper.name}.yaml").is_file()
    every = is_own or not _choices_alone_name_classes()
    for row in paper.shown.values():
        for column in paper.columns if row.sweep is not None else ():
            if every or any(_matches(paper.cell_overrides(row, column), classes) for classes in found):
                yield row, column


def _matches(words: Sequence[str], classes: Classes) -> bool:
    """Return whether overrides may name these classes."""
    for group, target in zip(COMPONENTS, classes, strict=True):
        named = _named(words, group)
        if named is not None and target not in named:
            return False
    return True


def _named(words: Sequence[str], group: str) -> set[str] | None:
    """Return the classes of the choices that overrides make in a group; None where these do not say."""
    if any("_target_" in word or "zip(" in word or word.lstrip("+~").startswith("experiment") for word in words):
        return None
    choices = next((word.partition("=")[2] for word in words if word.startswith(f"{group}=")), "")
    if not _NAMES.fullmatch(choices):
        return None
    targets = {_targets(group).get(name) for name in choices.split(",")}
    return None if None in targets else {target for target in targets if target is not None}


@cache
def _targets(group: str) -> dict[str, str]:
    """Return the class that each YAML of a group names itself."""
    matches = ((path.stem, _TARGET.search(path.read_text(errors="replace"))) for path in yamls(group))
    return {name: match[1] for name, match in matches if match}


@cache
def _choices_alone_name_classes() -> bool:
    """Return whether no YAML of a protocol or recipe names a class, in place of the one that was chosen."""
    folders = ("protocol", "protocol/*", "experiment", "experiment/*")
    return not any("_target_" in path.read_text(errors="replace") for name in folders for path in yamls(name))
