"""From command-line overrides to resolved configs, with errors that say what to type instead."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from irm_sweeps.errors import UnknownChoice, UserError, did_you_mean
from irm_sweeps.files.untrusted import MIB, read_regular
from irm_sweeps.hydra_versions import version_base
from irm_sweeps.typed_commands import command

COMPONENTS = ("dataset", "backbone", "method", "optimizer")
"""The groups whose choices name a class (`irm_sweeps.trial.GROUPS`)."""
_LISTED = re.compile(rf"^({'|'.join(COMPONENTS)})=\[(.*)\]$")
"""Choices as they would be listed in a YAML."""
_UPWARDS = re.compile(r"[^\s,=\[\]'\"]*\.\./[^\s,=\[\]'\"]*\.ya?ml\b")
"""The path of a YAML that leads upwards somewhere."""


def conf_dir() -> Path:
    """Return the folder of YAMLs: inside the installed package, else beside `src/` in a checkout."""
    package = Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def own_conf_dir() -> Path | None:
    """Return the user's own folder of YAMLs, searched besides the package's; None if there is none.

    It is IRM_SWEEPS_CONF, else `conf` in the working directory, unless that is a whole program's (`config.yaml`).

    Raises
    ------
    UserError
        The variable names no folder, or a YAML has a name of the package's.
    """
    name = os.environ.get("IRM_SWEEPS_CONF")
    if not name:
        beside = Path.cwd() / "conf"
        return check_names(beside) if beside.is_dir() and not (beside / "config.yaml").exists() else None
    folder = Path(name).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"IRM_SWEEPS_CONF={name}: no such folder")
    return check_names(folder)


def check_names(folder: Path) -> Path:
    """Return a user's own folder of YAMLs, in which none has a name of the package's: Hydra would take the package's.

    Raises
    ------
    UserError
        One has; the message names both files.
    """
    for group, names in _package_s().items():
        listed = os.listdir(folder / group) if (folder / group).is_dir() else []
        for name in sorted(names.intersection(listed)):
            mine, theirs = folder / group / name, conf_dir() / group / name
            if not (mine.exists() and mine.samefile(theirs)):  # a link may lead nowhere
                raise UserError(
                    f"{mine} has the name of the package's own {theirs}, which would be taken in its place: rename it, "
                    f"e.g. my_{name}, and take {group}=my_{mine.stem}"
                )
    return folder


@cache
def _package_s() -> dict[str, frozenset[str]]:
    """Return the names of the package's YAMLs by group."""
    folders = {path.parent for path in conf_dir().glob("*/**/*.yaml")}
    return {
        folder.relative_to(conf_dir()).as_posix(): frozenset(path.name for path in folder.glob("*.yaml"))
        for folder in sorted(folders)
    }


def yamls(group: str) -> list[Path]:
    """Return the YAMLs of a group's choices, the package's and the user's own, by name."""
    folders = [folder for folder in (conf_dir(), own_conf_dir()) if folder is not None]
    return sorted(path for folder in folders for path in folder.glob(f"{group}/*.yaml"))


def own_file(config_path: str) -> tuple[str, Path] | None:
    """Return group and file of `method//folder/my.yaml`, Hydra's spelling of `method=/folder/my.yaml`.

    None where the choice is a name or the group none of a trial's.
    """
    group, _, choice = config_path.partition("/")
    if group not in COMPONENTS or not choice.endswith((".yaml", ".yml")):
        return None
    return group, Path(choice).expanduser().absolute()


def read_own_file(config_path: str) -> tuple[dict[Any, Any], str]:
    """Return what a user's own YAML says, and its text.

    Raises
    ------
    UserError
        There is no such file, or it is not the YAML of a choice.
    """
    from omegaconf import OmegaConf

    found = own_file(config_path)
    assert found is not None, config_path
    group, path = found
    try:
        text = read_regular(path, 16 * MIB, follow=True).decode()
        values = OmegaConf.to_container(OmegaConf.create(text))  # unlike yaml, it reads 1e-3 as a number
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{group}={path}: cannot be read: {reason}") from None
    except Exception as error:  # yaml and OmegaConf raise their own, and what Python's dates and numbers raise
        told = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{group}={path}: not YAML: {told}") from None
    if not isinstance(values, dict) or not values.get("_target_"):
        raise UserError(f"{group}={path} has no `_target_`: it must name a class, e.g. `_target_: my_file.MyClass`")
    return values, text


def compose(overrides: Sequence[str], *, resolve: bool = True) -> dict[str, Any]:
    """Return the config of these overrides as plain values, without Hydra's own part.

    Without `resolve`, what refers to another key (`${lam}`) stays as it is written.

    Raises
    ------
    UserError
        An override names an unknown key or choice, or cannot be parsed.
    """
    from hydra import compose as hydra_compose

    with readable_hydra_errors(overrides), hydra_initialized():
        own = own_conf_dir()
        found = [] if own is None else [f"hydra.searchpath=['file://{own}']"]
        return plain(hydra_compose("config", [*found, *map(without_parents, overrides)]), resolve=resolve)


def without_parents(argument: str) -> str:
    """Return an override in which the path of a YAML has no `..`, which Hydra 1.4 refuses in a choice."""
    key, equals, value = argument.partition("=")
    if "." in key.lstrip("+~") or "../" not in value:
        return argument
    return key + equals + _UPWARDS.sub(lambda found: os.path.abspath(found[0]), value)


def addressed_to_trials(arguments: Sequence[str]) -> list[str]:
    """Return a command line on which Hydra lets pass what only the trials of a sweep can judge.

    Which fields there are (`dataset.glove_dim`) depends on choices that Hydra does not see: those of a paper
    file's rows, and those of a group that is swept, for which it takes the default one. With `paper=` any
    `group.field=value`, else those of the swept groups, become `++group.field=value`. The trials refuse what
    they do not have. A paper file need not have every field of `Paper` either.
    """
    groups = [name for name in COMPONENTS if any(re.match(rf"{name}=.*,", argument) for argument in arguments)]
    if any(argument.startswith("paper=") for argument in arguments):
        groups = [r"(?!hydra\.)\w+"]
    if not groups:
        return list(arguments)
    field = re.compile(rf"(?:{'|'.join(groups)})\.[\w.]+=")
    return [f"++{argument}" if field.match(argument) else argument for argument in arguments]


@contextmanager
def hydra_initialized() -> Iterator[Any]:
    """Yield Hydra's global state: that of the command that is running, else one that knows `conf/`."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    if GlobalHydra.instance().is_initialized():
        yield GlobalHydra.instance()
    else:
        with initialize_config_dir(str(conf_dir()), **version_base()):
            yield GlobalHydra.instance()


def plain(config: Any, *, resolve: bool = True) -> dict[str, Any]:
    """Return an OmegaConf config as dicts and lists, without Hydra's own part."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(config, resolve=resolve)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if key != "hydra"}


def dotted_keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield `a.b.c` for every leaf and every inner node of a config."""
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from dotted_keys(value, f"{prefix}{key}.")


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `a.b.c` and value for every leaf of a config."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def facts(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's config flat, the class of a group under the group's own name: what sets it apart, for people."""
    return {key.removesuffix("._target_"): value for key, value in leaves(config)}


def unknown_key(key: str, known: Sequence[str]) -> UserError:
    """Return the error for a key that no config has."""
    group, _, field = key.rpartition(".")
    siblings = [k for k in known if k.rpartition(".")[0] == group and not k.endswith("_target_")]
    hint = did_you_mean(key, siblings) if not group else did_you_mean(field, [k[len(group) + 1 :] for k in siblings])
    if not hint and siblings and group:
        hint = f": {group} has {', '.join(k[len(group) + 1 :] for k in siblings)}"
    return UserError(f"unknown key `{key}`" + (hint or f": see {command('launch')} --help"))


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
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__")).startswith("hydra.")


def _unknown_argument(text: str) -> UserError | None:
    """Return what Hydra means that could not instantiate a launcher, say, with a key that it does not have."""
    found = re.search(r"unexpected keyword argument '(\w+)'.*full_key: (\S+)", text, re.S)
    return unknown_key(f"{found[2]}.{found[1]}", []) if found else None


def _with_notes(error: Exception) -> str:
    """Return an error's message and its notes, where Hydra 1.4 says which key it was at."""
    return "\n".join([str(error), *getattr(error, "__notes__", [])])


def _translated(error: Exception, overrides: Sequence[str]) -> UserError:
    if isinstance(error.__cause__, UserError):  # raised by a launcher that Hydra instantiated
        return error.__cause__
    text = re.sub(r"\AError when parsing index: .*\n", "", str(error))  # which Hydra 1.4 says first
    if unknown := _unknown_argument(text):
        return unknown
    if found := re.fullmatch(r"Sweep parameters '(.*)' requires --multirun", text):
        return _several(found[1])
    if found := re.search(r"Could not (?:override|append to config|delete from config).*?'([^']+)'", text):
        if "Multiple values" in text:
            return UserError(text.splitlines()[0])
        return unknown_key(found[1], _keys(overrides))
    if found := re.search(r"Could not find 'paper/(.*/[^'/]+)'", text):
        return paper_by_path(f"paper={found[1]}", found[1])
    if found := re.search(r"Could not find '([^'/]+(?:/[^'/]+)*)/([^'/]+)'", text):
        options = re.search(r"Available options in '[^']+':\s*(.*?)(?:\n\s*Config search path|\Z)", text, re.S)
        names = options[1].split() if options else []
        listed = f"; choose from {', '.join(names)}" if names else ""
        return UnknownChoice(f"{found[1]}={found[2]}: no such {found[1]}{did_you_mean(found[2], names)}{listed}")
    if text.startswith("Ambiguous value for argument"):
        return _several(getattr(error, "override", None) or re.findall("'(.*)'", text)[0])
    wrong = getattr(error, "override", None)
    if wrong and (found := re.search(r"Unknown function '(\w+)'", text + str(error.__cause__))):
        return UserError(
            f"{wrong.lstrip('+')}: there is no {found[1]}(...); a list is 1,10,100, whole numbers are range(0,3), and "
            "interval(0.1,1) goes with a searching sweeper"
        )
    if wrong and "LexerNoViableAltException" in text:
        meant = re.sub(r"\s*;\s*", ",", wrong) if ";" in wrong else "'KEY=\"...\"' with quotes around the value"
        return UserError(f"{wrong!r} cannot be read: write {meant}")
    if wrong and text.startswith("Error parsing override"):
        return UserError(f"{wrong!r} cannot be read: {text.splitlines()[1]}")
    if "Error resolving interpolation" in text and (gone := [w for w in overrides if w.lstrip("~") in COMPONENTS]):
        group = gone[0].lstrip("~")
        return UserError(f"{gone[0]}: every trial has a {group}: choose another one, {group}=NAME, or leave it")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "Error resolving interpolation" in text and (lists := [word for word in overrides if _LISTED.match(word)]):
        choices = _LISTED.sub(r"\1=\2", lists[0])
        return UserError(f"{lists[0]}: a choice is a name; several are a sweep: {command('launch')} -m {choices}")
    told = lines[0] if lines else repr(error)
    return UserError(told if wrong is None or wrong in told else f"{wrong!r} cannot be read: {told}")


def paper_by_path(typed: str, path: str) -> UserError:
    """Return the error for a paper file that is given as a path: it is known by its name, which commands repeat."""
    name = Path(path).stem
    return UserError(
        f"{typed}: a paper file is chosen by its name, {name}, and found as conf/paper/{name}.yaml in the working "
        f"directory, or as paper/{name}.yaml in the folder that IRM_SWEEPS_CONF names"
    )


def _several(override: str) -> UserError:
    return UserError(f"{override} has several values, which is a sweep: {command('launch')} -m ...")


def _keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys of a config with the choices among the overrides; of the defaults, if these are wrong too."""
    chosen = [word for word in overrides if re.match(rf"(?:{'|'.join(COMPONENTS)})=[^,]+$", word)]
    try:
        return list(dotted_keys(compose(chosen)))
    except UserError:
        return list(dotted_keys(compose([])))
