"""Options that several commands share, and what they stand for: a store, a sweep, a trial, trust."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from irm_sweeps.commands import completers
from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import from_home
from irm_sweeps.typed_commands import DEFAULT_STORE, OneLineParser, import_from_here, launching, offers

if TYPE_CHECKING:
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.store import Store

Commands: TypeAlias = "argparse._SubParsersAction[OneLineParser]"
"""What `add_subparsers` returns: each command adds its own parser to it."""


def add_command(commands: Commands, name: str, about: str) -> argparse.ArgumentParser:
    """Add a command without options."""
    return commands.add_parser(name, help=about, description=about)


def add_store_command(commands: Commands, name: str, about: str, *, archives: bool = False) -> argparse.ArgumentParser:
    """Add a command with `--results`; its `run` calls `open_store`, or with `archives` `open_results`."""
    parser = add_command(commands, name, about)
    what = "the store, or an archive of irm-sweeps pack" if archives else "the store"
    parser.add_argument("--results", type=_results, default=DEFAULT_STORE, help=f"{what} (default: results)")
    return parser


def _results(typed: str) -> Path:
    return from_home(typed, "--results")


def add_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the name of a sweep, which must be given."""
    offers(parser.add_argument("sweep", help="name or its beginning"), completers.sweeps)


def add_optional_sweep(parser: argparse.ArgumentParser) -> None:
    """Add the name of a sweep that may be left out: `chosen_sweep` returns the last launched then."""
    about = "name or its beginning (default: the last launched)"
    offers(parser.add_argument("sweep", nargs="?", help=about), completers.sweeps)


def add_trial_id(parser: argparse.ArgumentParser) -> None:
    """Add the id of a trial."""
    offers(parser.add_argument("id", metavar="ID", help="trial id or its beginning"), completers.trials)


def add_trust(parser: argparse.ArgumentParser, where: str) -> None:
    """Add `--trust`, which imports classes from `where`, in words; `run` calls `apply_trust`."""
    what = f"import what the store names besides irm_sweeps: classes of your own, from {where}"
    parser.add_argument("--trust", action="store_true", help=what)


def apply_trust(options: argparse.Namespace) -> None:
    """Let a user's own classes be imported from this folder, if `--trust` is given."""
    if options.trust:
        import_from_here()


def open_store(options: argparse.Namespace) -> Store:
    """Return the store that `--results` names.

    Raises
    ------
    UserError
        It is not there, is a file, or may not be looked at.
    """
    from irm_sweeps.files.reading import is_folder, is_there
    from irm_sweeps.store.store import Store

    root = options.results.absolute()
    if is_there(root) and not is_folder(root):
        raise UserError(
            f"--results {options.results} is a file: give a directory; an archive's results become part of one with "
            "irm-sweeps unpack"
        )
    if not is_folder(root):
        raise UserError(
            f"{root}: no such directory; --results DIR names the store, "
            f"or run something first: {launching('paper=demo')}"
        )
    return Store(root)


def open_results(options: argparse.Namespace) -> Reader:
    """Return the store or archive that `--results` names, for a command that only reads results.

    Raises
    ------
    UserError
        It is not there, is neither, or may not be looked at.
    """
    from irm_sweeps.files.reading import is_folder, is_there
    from irm_sweeps.store.archive import Archive

    path = options.results
    return Archive(path) if is_there(path) and not is_folder(path) else open_store(options)


def chosen_sweep(options: argparse.Namespace, store: Store) -> str:
    """Return the sweep that is named, or else the last launched; a copy of a sweep's folder is named and left out.

    Raises
    ------
    UserError
        None is named and the store has none.
    """
    from irm_sweeps.store.manifest import is_copy
    from irm_sweeps.store.sweeps import sweep_names

    names = sweep_names(store)
    if options.sweep is not None:
        return str(options.sweep)
    for name in reversed(names):
        if not is_copy(store, name):
            return name
        print(f"left out: {store.root / 'sweeps' / name} has the manifest of another sweep", file=sys.stderr)
    raise UserError(f"no sweep has been launched in {store.root}: {launching('paper=demo')} is one")
