"""The folders of YAMLs from which choices are taken: the package's `conf/`, and the user's own."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import expanded

COMPONENTS = ("dataset", "backbone", "method", "optimizer")
"""The config groups of a trial, whose choices name a class; `irm_sweeps.trial.GROUPS` has their contracts."""


def conf_dir() -> Path:
    """Return the package's folder of YAMLs: inside the installed package, else beside `src/` in a checkout."""
    package = Path(__file__).parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parents[1] / "conf"


def own_conf_dir() -> Path | None:
    """Return the user's own folder of YAMLs, searched besides the package's; None if there is none.

    It is IRM_SWEEPS_CONF, else `conf` in the working directory, unless that has a `config.yaml`, as the configuration
    of another Hydra program has.

    Raises
    ------
    UserError
        The variable names no folder, the folder cannot be read, or a YAML has the name of one of the package's.
    """
    name = os.environ.get("IRM_SWEEPS_CONF")
    folder = expanded(name, "IRM_SWEEPS_CONF") if name else Path.cwd() / "conf"
    typed = f"IRM_SWEEPS_CONF={name}" if name else str(folder)
    try:
        if not name and (not folder.is_dir() or (folder / "config.yaml").exists()):
            return None
        if not folder.is_dir():
            what = "is a file: give the folder that it lies in" if folder.exists() else "no such folder"
            raise UserError(f"{typed}: {what}; unset it to use conf/ in the working directory")
        return check_names(folder)
    except OSError as error:
        raise UserError(
            f"{typed} cannot be read: {error.strerror}: make it readable for you, or let IRM_SWEEPS_CONF name another"
        ) from None


def check_names(folder: Path) -> Path:
    """Return a user's own folder of YAMLs, after checking that none has the name of one of the package's.

    Hydra would take the package's in its place.

    Raises
    ------
    UserError
        One has; the message names both files.
    """
    for group, names in _package_yamls().items():
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
def _package_yamls() -> dict[str, frozenset[str]]:
    """Return the file names of the package's YAMLs, by group."""
    folders = {path.parent for path in conf_dir().glob("*/**/*.yaml")}
    return {
        folder.relative_to(conf_dir()).as_posix(): frozenset(path.name for path in folder.glob("*.yaml"))
        for folder in sorted(folders)
    }


def yamls(group: str) -> list[Path]:
    """Return the YAMLs of a group's choices, the package's and the user's own, by name."""
    folders = [folder for folder in (conf_dir(), own_conf_dir()) if folder is not None]
    return sorted((path for folder in folders for path in yamls_in(folder, group)), key=lambda path: (path.stem, path))


def yamls_in(folder: Path, group: str) -> list[Path]:
    """Return the YAMLs of a group's choices in one folder, by name.

    Hidden files are none: an editor's lock of a YAML (`.#mine.yaml`, a link that leads nowhere) and what macOS puts
    beside it on a share (`._mine.yaml`).
    """
    return sorted(path for path in folder.glob(f"{group}/*.yaml") if not _is_hidden(path))


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def not_utf8() -> Path | None:
    """Return the first YAML of the user's own folder that is no text in UTF-8."""
    for path in sorted((own_conf_dir() or conf_dir()).glob("**/*.yaml")):
        if _is_hidden(path):
            continue
        try:
            path.read_bytes().decode()
        except UnicodeDecodeError:
            return path
        except OSError:
            continue
    return None


def search_path() -> list[str]:
    """Return the override by which Hydra looks into the user's own folder of YAMLs too; none where there is none."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if (folder := own_conf_dir()) is None:
        return []
    return [f"hydra.searchpath=[{QuotedString(f'file://{folder}', Quote.single).with_quotes()}]"]
