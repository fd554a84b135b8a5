"""What Hydra and OmegaConf raise about a user's overrides, as errors that say what to type instead."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from irm_sweeps.conf_folders import COMPONENTS, not_utf8, yamls
from irm_sweeps.errors import UnknownChoice, UserError, did_you_mean
from irm_sweeps.naming.leaves import leaves
from irm_sweeps.overrides.grammar import unreadable
from irm_sweeps.overrides.key_hints import unknown_key
from irm_sweeps.typed_commands import command

_LISTED = re.compile(rf"^({'|'.join(COMPONENTS)})=\[(.*)\]$")
"""A group's choices written as a YAML list, which Hydra does not sweep."""


@contextmanager
def readable_hydra_errors(overrides: Sequence[str] = ()) -> Iterator[None]:
    """Turn what Hydra and OmegaConf raise about a user's overrides into a `UserError`.

    The overrides' choices (`method=irmv1`) say which keys there would have been.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        yield
    except YAMLError as error:  # its message names the file and the line
        raise UserError(f"not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:  # it does not say of which file
        raise UserError(f"{not_utf8() or 'a YAML'} is no text in UTF-8: save it in UTF-8") from None
    except (HydraException, OmegaConfBaseException) as error:
        raise _translated(error, overrides) from None
    except RecursionError:
        raise UserError("an override is nested too deeply, or refers to itself") from None
    except ValueError as error:
        if _raised_by_hydra(error):  # e.g. for a group that is set to null
            raise UserError(str(error)) from None
        raise
    except TypeError as error:
        if _raised_by_hydra(error) and (unknown := _unknown_argument(_with_notes(error))):
            raise unknown from None
        raise


def _raised_by_hydra(error: Exception) -> bool:
    """Return whether the innermost frame of an error is in Hydra's code."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__")).startswith("hydra.")


def _unknown_argument(text: str) -> UserError | None:
    """Return the error for a key that the class of a config does not have, e.g. a launcher's; None for other texts."""
    match = re.search(r"unexpected keyword argument '(\w+)'.*full_key: (\S+)", text, re.S)
    return unknown_key(f"{match[2]}.{match[1]}", {}) if match else None


def _with_notes(error: Exception) -> str:
    """Return an error's message and its notes, in which Hydra 1.4 names the key."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def _translated(error: Exception, overrides: Sequence[str]) -> UserError:
    """Return the `UserError` for an error of Hydra's or OmegaConf's."""
    if isinstance(error.__cause__, UserError):  # raised by a launcher that Hydra instantiated
        return error.__cause__
    if lists := [word for word in overrides if _LISTED.match(word)]:
        choices = _LISTED.sub(r"\1=\2", lists[0])
        return UserError(f"{lists[0]}: a choice is a name; several are a sweep: {command('launch')} -m {choices}")
    text = re.sub(r"\AError when parsing index: .*\n", "", str(error))  # which Hydra 1.4 says first
    if unknown := _unknown_argument(text):
        return unknown
    if match := re.fullmatch(r"Sweep parameters '(.*)' requires --multirun", text):
        return several(match[1])
    if match := re.search(r"Could not (?:override|append to config|delete from config).*?'([^']+)'", text):
        if "Multiple values" in text or "The value of" in text:
            return UserError(text.splitlines()[0])
        config = _config(overrides)
        if f"~{match[1]}" in overrides and match[1] in dict(leaves(config)):  # Hydra does not find a key that is null
            return UserError(f"~{match[1]}: `{match[1]}` is null: give it a value instead of removing it")
        inner = re.search(rf"full_key: ({re.escape(match[1])}\.\S+)", str(error.__cause__))  # of `dataset={foo:1}`
        return unknown_key(inner[1] if inner else match[1], config)
    if match := re.search(r"Could not find 'paper/(.*/[^'/]+)'", text):
        return paper_by_path(f"paper={match[1]}", match[1])
    if match := re.search(r"Could not find 'experiment/(.*/[^'/]+)'", text):
        return UserError(
            f"experiment={match[1]}: a recipe is chosen by its name, {Path(match[1]).stem}, and found as "
            f"conf/experiment/{Path(match[1]).stem}.yaml in the working directory{_listed_names('experiment')}"
        )
    if match := re.search(rf"Could not find '({'|'.join(COMPONENTS)})/([^']*/[^']*|)'", text):
        return _no_file(match[1], match[2])
    if match := re.search(r"Could not find '([^'/]+(?:/[^'/]+)*)/([^'/]+)'", text):
        options = re.search(r"Available options in '[^']+':\s*(.*?)(?:\n\s*Config search path|\Z)", text, re.S)
        names = options[1].split() if options else []
        listed = f"; choose from {', '.join(names)}" if names else ""
        return UnknownChoice(f"{match[1]}={match[2]}: no such {match[1]}{did_you_mean(match[2], names)}{listed}")
    if match := re.match(r"Multiple values for (\S+?)\. To override", text):
        added = next((word for word in overrides if re.match(rf"\++{re.escape(match[1])}=", word)), f"+{match[1]}=...")
        return UserError(f"{added}: every config has a {match[1]}: write {added.lstrip('+')}")
    if text.startswith("Ambiguous value for argument"):
        return several(getattr(error, "override", None) or re.findall("'(.*)'", text)[0])
    wrong = getattr(error, "override", None)
    if wrong and (match := re.search(r"Unknown function '(\w+)'", text + str(error.__cause__))):
        return UserError(
            f"{wrong.lstrip('+')}: there is no {match[1]}(...); a list is 1,10,100, whole numbers are range(0,3), and "
            "interval(0.1,1) goes with a searching sweeper"
        )
    if wrong and "LexerNoViableAltException" in text:
        return UserError(unreadable(wrong, ""))
    if wrong and text.startswith("Error parsing override"):
        return UserError(unreadable(wrong, text.splitlines()[1]))
    if "Error resolving interpolation" in text and (removed := [w for w in overrides if w.lstrip("~") in COMPONENTS]):
        group = removed[0].lstrip("~")
        return UserError(f"{removed[0]}: every trial has a {group}: choose another one, {group}=NAME, or leave it")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    message = lines[0] if lines else repr(error)
    if match := re.match(r"Interpolation key '([^']+)' not found", message):
        referring = [word for word in overrides if f"${{{match[1]}" in word.partition("=")[2]]
        place = f"{referring[0]}: " if referring else ""
        return UserError(f"{place}there is no key `{match[1]}`; ${{KEY}} stands for the value of another key")
    if message == "Recursive interpolation detected":
        return UserError(f"{next((word for word in overrides if '${' in word), 'a key')}: it refers to itself")
    if message.startswith("Cannot find primary config"):
        return UserError(
            f"{message} Leave out --config-name and --config-path: --config-dir DIR adds YAMLs of your own"
        )
    if match := re.match(r"In '[^']*': Could not find '([^']+)/'", message):
        return UserError(f"{match[1]}= is empty: give a name{_listed_names(match[1])}")
    return UserError(message if wrong is None or wrong in message else unreadable(wrong, message))


def paper_by_path(typed: str, path: str) -> UserError:
    """Return the error for a paper file that is given by its path: commands repeat its name, so it needs one."""
    name = Path(path).stem
    return UserError(
        f"{typed}: a paper file is chosen by its name, {name}, and found as conf/paper/{name}.yaml in the working "
        f"directory, or as paper/{name}.yaml in the folder that IRM_SWEEPS_CONF names"
    )


def several(override: str) -> UserError:
    """Return the error for a sweep without `-m`."""
    return UserError(f"{override} has several values, which is a sweep: {command('launch')} -m ...")


def _no_file(group: str, choice: str) -> UserError:
    """Return the error for a choice that is empty, or a path that no YAML lies at (`method=../my/file`)."""
    if not choice:
        return UserError(f"{group}= is empty: give a name{_listed_names(group)}")
    return UserError(
        f"{group}={choice}: no {group} has a path for a name; a YAML of your own is given with its ending, "
        f"{group}={choice}.yaml, others by name{_listed_names(group)}"
    )


def _listed_names(group: str) -> str:
    names = [path.stem for path in yamls(group)]
    return f": {', '.join(names)}" if names else ""


def _config(overrides: Sequence[str]) -> dict[str, Any]:
    """Return the config that the overrides' choices make, or the default config if these are wrong."""
    from irm_sweeps.compose import compose

    named = re.compile(rf"(?:{'|'.join(COMPONENTS)}|logger|paper|experiment)=[^,[{{]+")
    chosen = [word for word in overrides if named.fullmatch(word)]
    try:
        return compose(chosen, resolve=False)
    except UserError:
        return compose([], resolve=False)
