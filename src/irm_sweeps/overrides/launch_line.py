"""The command line of `launch.py`, as Hydra's parser is given it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.overrides.paired_axes import hidden, is_zip, keys

_UPWARDS = re.compile(r"[^\s,=\[\]'\"]*\.\./[^\s,=\[\]'\"]*\.ya?ml\b")
"""The path of a YAML with `../` in it."""


def without_parents(argument: str) -> str:
    """Return an override in which the path of a YAML has no `..`, which Hydra 1.4 refuses in a choice."""
    key, equals, value = argument.partition("=")
    if "." in key.lstrip("+~") or "../" not in value:
        return argument
    return key + equals + _UPWARDS.sub(lambda path: os.path.abspath(path[0]), value)


def launch_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the command line that Hydra's parser is given for a command line of `launch.py`."""
    return [without_parents(hidden(argument)) for argument in addressed_to_trials(arguments)]


def addressed_to_trials(arguments: Sequence[str]) -> list[str]:
    """Mark the overrides of a command line that only the trials of a sweep can check, so that Hydra accepts them.

    Which fields there are (`dataset.glove_dim`) depends on choices that Hydra does not see: those of a paper
    file's rows, and those of a group (or of the recipe, which chooses all groups) that is swept, for which it takes the
    default one. With `paper=` any `group.field=value`, else those of the swept groups, become
    `++group.field=value`. The trials refuse what they do not have. A paper file need not have every field of
    `Paper` either.
    """
    swept = [key for a in arguments for key in (keys(a) if is_zip(a) else re.findall(r"^([\w/]+)=.*,", a))]
    groups = [name for name in COMPONENTS if {name, "experiment"} & set(swept)]
    if any(argument.startswith("paper=") for argument in arguments):
        groups = [r"(?!hydra\.)\w+"]
    if not groups:
        return list(arguments)
    field = re.compile(rf"(?:{'|'.join(groups)})\.[\w.]+=")
    return [f"++{argument}" if field.match(argument) else argument for argument in arguments]
