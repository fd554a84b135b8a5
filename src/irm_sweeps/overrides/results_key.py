"""The override `results=DIR`: as Hydra reads it, and in a launch's command line that is to fill another store."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from irm_sweeps.typed_commands import DEFAULT_STORE

_KEY = re.compile(r"\+*results=(.*)", re.DOTALL)
_ENVIRONMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def results_override(root: Path) -> str:
    """Return `results=DIR` as Hydra's grammar reads it: quoted where a comma, say, would make it a sweep."""
    value = str(root)
    if re.fullmatch(r"[\w./+@%-]+(?: [\w./+@%-]+)*", value):
        return f"results={value}"
    from hydra.core.override_parser.types import Quote, QuotedString

    return f"results={QuotedString(value, Quote.single).with_quotes()}"


def into_store(command: str, root: Path) -> str:
    """Return a launch's command line so that it fills this store, typed in this folder.

    It may have been typed in another folder, or the store may have been moved or copied since; as it is, it would begin
    anew elsewhere. What is no command line of a launch, and one that fills the store already, is returned unchanged.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    first = next((i for i, word in enumerate(words) if not _ENVIRONMENT.fullmatch(word)), len(words))
    if not any(word == "launch" or word.endswith("launch.py") for word in words[first : first + 2]):
        return command
    places = [i for i, word in enumerate(words) if i >= first and _KEY.fullmatch(word)]
    if (_value(words[places[-1]]) if places else DEFAULT_STORE).absolute() == root.absolute():
        return command
    words[slice(places[-1], places[-1] + 1) if places else slice(len(words), None)] = [results_override(root)]
    environment = [f"{name}={shlex.quote(value)}" for word in words[:first] for name, value in [word.split("=", 1)]]
    return " ".join([*environment, shlex.join(words[first:])])


def _value(word: str) -> Path:
    """Return the folder that the override names, with `~` resolved."""
    text = word.partition("=")[2]
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].replace(f"\\{text[0]}", text[0])
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
