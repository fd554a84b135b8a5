"""The command that trains: `python launch.py` in a checkout, `irm-sweeps launch` where the package is installed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

import hydra
from omegaconf import DictConfig

from irm_sweeps.compose import length_typed_last, plain
from irm_sweeps.conf_folders import check_names, conf_dir, own_conf_dir, yamls
from irm_sweeps.errors import UserError, did_you_mean, one_line_errors
from irm_sweeps.files.typed_paths import expanded
from irm_sweeps.hydra_versions import register_resolver, version_base
from irm_sweeps.overrides.grammar import check_given_once
from irm_sweeps.overrides.hydra_errors import readable_hydra_errors, several
from irm_sweeps.overrides.key_hints import meant_by
from irm_sweeps.overrides.key_meanings import help_text
from irm_sweeps.overrides.launch_line import launch_arguments
from irm_sweeps.overrides.paired_axes import as_typed, is_zip
from irm_sweeps.typed_commands import Name, command, import_from_here, issuing

_OVERRIDE = re.compile(r"[+~]*[A-Za-z_][\w./@:-]*=|~[A-Za-z_]")


@hydra.main(config_path=str(conf_dir()), config_name="config", **version_base())
def launch(config: DictConfig) -> float:
    """Run one trial and return what a searching sweeper maximises; `-m` goes through the sweeper instead."""
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.sweep.run import run_trial

    with one_line_errors():
        with readable_hydra_errors(sys.argv[1:]):
            values = plain(config)
        if paired := [word for word in as_typed(sys.argv[1:]) if is_zip(word)]:
            raise several(paired[0])
        length_typed_last(values, [word.partition("=")[0].lstrip("+") for word in sys.argv[1:]])
        return run_trial(values, InProcess())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line; a user's mistake ends it with one line and exit code 2."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets a user's mistake arrive here, to become one line
    from irm_sweeps.sweep.direction import follow_objective
    from irm_sweeps.sweep.search import best_at_the_end, folder_of_command

    register_resolver("typed", _typed)
    register_resolver("key_meanings", help_text)
    register_resolver("search_folder", folder_of_command)
    words = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_errors(), readable_hydra_errors(words), issuing(words), best_at_the_end():
        import_from_here()
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
        A flag is unknown or lacks its value, a word is neither flag nor override, a key is given twice, or a YAML in
        the folder that `--config-dir` gives has the name of one of the package's.
    """
    from hydra._internal.utils import get_args_parser

    if {"-sc", "--shell-completion"} & set(words):
        return list(words)
    overrides = [word for word in words if _OVERRIDE.match(word)]
    flags = [word for word in words if not _OVERRIDE.match(word)]
    check_given_once(overrides)
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    known, unknown = parser.parse_known_args(flags)
    for word in [*unknown, *known.overrides]:
        before = words[max(0, words.index(word) - 1)]
        if "=" in words or before.endswith((",", "=")) or word.startswith(","):
            _refuse(f"{word!r} stands alone: write KEY=VALUE and lists without spaces, e.g. {_joined(words, word)}")
        options = [option for action in parser._actions for option in action.option_strings]
        if word.startswith("-") and (near := did_you_mean(word.partition("=")[0], options, cutoff=0.75)):
            _refuse(f"{word!r} is no option{near}")
        _refuse(f"{word!r} is no override: write KEY=VALUE, e.g. {_meant(word)}")
    if known.config_dir:
        folder = expanded(known.config_dir, "--config-dir")
        if not folder.is_dir():
            _refuse(
                f"--config-dir {known.config_dir}: no such folder: give the one that holds your method/, dataset/, ..."
            )
        check_names(folder)
    return [*overrides, *flags]


def _refuse(message: str) -> NoReturn:
    raise UserError(f"{message} (see {command('launch')} --help)")


def _joined(words: Sequence[str], word: str) -> str:
    """Return the override that the words around one that stands alone make, or an example."""
    text = re.sub(r"\s*([=,])\s*", r"\1", " ".join(word for word in words if not word.startswith("-")))
    return next((override for override in text.split() if "=" in override and word.strip(",") in override), "lam=1,10")


def _meant(word: str) -> str:
    """Return the override that may be meant: `lam=...` for `--lam`, `method=irmv1` for `irmv1`, `lam=3` for `lam:3`."""
    if word.startswith("-") or re.fullmatch(r"[\w.]+:[^:]+", word):
        key, separator, value = re.sub(r"^([\w.]+):", r"\1=", word.lstrip("-")).partition("=")
        return f"{(meant_by(key) or [key])[0]}={value if separator else '...'}"
    first = word.partition(",")[0]
    groups = [path.parent.name for path in yamls("*") if path.stem == first]
    return f"{groups[0]}={word}" if groups else "lam=100"
