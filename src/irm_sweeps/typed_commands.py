"""The project's commands as a user types them here, and an argument parser with one-line errors."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Literal, NoReturn

from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.redaction import redacted_words

Name = Literal["launch", "table", "figure", "report"]

SCRIPTS: dict[str, str] = {
    "launch": "launch.py",
    "table": "analysis/tables.py",
    "figure": "analysis/figures.py",
    "report": "analysis/report.py",
}
"""`irm-sweeps NAME` -> the script of a checkout that does the same."""


def command(name: Name) -> str:
    """Return a command as it is typed here.

    That is `python launch.py` in a checkout's root, else, or once the user has typed `irm-sweeps`, `irm-sweeps launch`.
    """
    script = Path(SCRIPTS[name])
    in_checkout = script.resolve() == Path(__file__).parents[2] / script
    return f"python {script}" if in_checkout and Path(sys.argv[0]).name != "irm-sweeps" else f"irm-sweeps {name}"


def launching(*words: str) -> str:
    """Return the command that runs a sweep, as it is typed here and with its words quoted for a shell."""
    return typed("launch", "-m", *words)


def typed(name: Name, *words: str) -> str:
    """Return a command as it is typed here, with its words quoted for a shell."""
    return " ".join([command(name), *map(shlex.quote, words)])


DEFAULT_STORE = Path("results")
"""The store of commands that are not told another, in the folder where they are typed."""
_ISSUED: ContextVar[Sequence[str]] = ContextVar("issued")


@contextmanager
def issuing(words: Sequence[str]) -> Iterator[None]:
    """Store the words of a launch's command line for `issued`: Hydra's parser is given changed ones."""
    token = _ISSUED.set(list(words))
    try:
        yield
    finally:
        _ISSUED.reset(token)


def issued() -> str:
    """Return the command line of this process, ready to paste into a shell in the same folder; secrets are left out."""
    if (words := _ISSUED.get(None)) is None:
        return shlex.join(redacted_words(sys.argv))
    conf = os.environ.get("IRM_SWEEPS_CONF")
    setting = [f"IRM_SWEEPS_CONF={shlex.quote(conf)}"] if conf else []
    return " ".join([*setting, command("launch"), *map(shlex.quote, redacted_words(words))])


def looking(name: str, *words: str, results: Path) -> str:
    """Return `irm-sweeps NAME WORDS` for a store, with `--results` unless the store is `results` in this folder."""
    where = [] if is_default_store(results) else ["--results", str(results)]
    return shlex.join(["irm-sweeps", name, *words, *where])


def is_default_store(results: Path) -> bool:
    """Return whether a store is `results` in this folder, which commands look at unless they are told another."""
    return results.absolute() == DEFAULT_STORE.absolute()


def import_from_here() -> None:
    """Add the working directory to the import path: a `_target_` may name a class of the user's there."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)


class OneLineParser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises a `UserError` where others print their usage."""

    def error(self, message: str) -> NoReturn:
        """Raise the message as a `UserError`."""
        raise UserError(f"{message} (see {self.prog} --help)")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Check a value as argparse does, and suggest the nearest choice in the message."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            raise argparse.ArgumentError(
                action, f"no {value!r}{did_you_mean(str(value), known)}; choose from {', '.join(known)}"
            )


def offers(action: argparse.Action, completer: Any) -> None:
    """Complete an argument's value with a function of (prefix, parsed_args) when Tab is pressed."""
    action.completer = completer  # type: ignore[attr-defined]
