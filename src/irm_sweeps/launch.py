"""The command that trains: `python launch.py` in a checkout, `irm-sweeps launch` where the package is installed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import hydra
from omegaconf import DictConfig

from irm_sweeps.compose import (
    check_names,
    conf_dir,
    launch_arguments,
    own_conf_dir,
    plain,
    readable_hydra_errors,
    yamls,
)
from irm_sweeps.errors import UserError, one_line_errors
from irm_sweeps.hydra_versions import register_resolver, version_base
from irm_sweeps.typed_commands import Name, command, import_from_here, issuing

_OVERRIDE = re.compile(r"[+~]*[A-Za-z_][\w./@:-]*=|~[A-Za-z_]")


@hydra.main(config_path=str(conf_dir()), config_name="config", **version_base())
def launch(config: DictConfig) -> float:
    """Run one trial and return what a searching sweeper maximises; `-m` goes through the sweeper instead."""
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.sweep.run import run_trial

    with one_line_errors():
        return run_trial(plain(config), InProcess())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; a user's mistake ends it with one line and exit code 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets a user's mistake arrive here, to become one line
    import_from_here()
    from irm_sweeps.sweep.direction import follow_objective
    from irm_sweeps.sweep.search import best_at_the_end, folder_of_command

    register_resolver("typed", _typed)
    register_resolver("search_folder", folder_of_command)
    words = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_errors(), readable_hydra_errors(words), issuing(words), best_at_the_end():
        follow_objective()
        if (user_conf_dir := own_conf_dir()) and "--config-dir" not in words:
            words = ["--config-dir", str(user_conf_dir), *words]
        sys.argv = [sys.argv[0], *launch_arguments(flags_last(words))]
        launch()


def _typed(name: Name) -> str:
    """Return a command as it is typed here, for the help text (`conf/hydra/help`)."""
    return command(name)


def flags_last(words: Sequence[str]) -> list[str]:
    """Return a command line with its flags last: Hydra's parser refuses overrides on both sides of a flag.

    Raises
    ------
    UserError
        A flag is unknown or lacks its value, a word is neither flag nor override, or a YAML in the folder that
        `--config-dir` gives has the name of one of the package's.
    """
    from hydra._internal.utils import get_args_parser

    if {"-sc", "--shell-completion"} & set(words):
        return list(words)
    overrides = [word for word in words if _OVERRIDE.match(word)]
    flags = [word for word in words if not _OVERRIDE.match(word)]
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    known, unknown = parser.parse_known_args(flags)
    for word in [*unknown, *known.overrides]:
        if "=" in words or words[max(0, words.index(word) - 1)].endswith((",", "=")):
            _refuse(f"{word!r} stands alone: write KEY=VALUE and lists without spaces, e.g. lam=1,10")
        _refuse(f"{word!r} is no override: write KEY=VALUE, e.g. {_meant(word)}")
    if known.config_dir:
        check_names(Path(known.config_dir).absolute())
    return [*overrides, *flags]


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (see {command('launch')} --help)")


def _meant(word: str) -> str:
    """Return the override that may be meant: `lam=...` for `--lam`, `method=irmv1` for `irmv1`."""
    if word.startswith("-"):
        key, equals, value = word.lstrip("-").partition("=")
        return f"{key}={value if equals else '...'}"
    groups = [path.parent.name for path in yamls("*") if path.stem == word]
    return f"{groups[0]}={word}" if groups else "lam=100"
