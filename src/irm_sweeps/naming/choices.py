"""The names by which components are chosen: `irmv1` for the class `IRMv1`, which `conf/method/irmv1.yaml` names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from irm_sweeps.conf_folders import conf_dir, own_conf_dir, yamls_in
from irm_sweeps.errors import UserError
from irm_sweeps.files.untrusted import MIB, read_regular

_TARGET = re.compile(r"""^["']?_target_["']?\s*:\s*["']?([\w.]+)""", re.MULTILINE)


def choice_name(group: str, values: Mapping[str, Any]) -> str:
    """Return the name of the YAML that a component of a stored config was chosen by; without one, that of its class.

    A class may stand in several YAMLs, the package's and the user's own: it is the one from which the fewest values
    differ, of equals the package's.
    """
    target = str(values.get("_target_", "?"))
    paths = _yamls_of_classes(_folders(), group).get(target, ())
    if not paths:
        return target.rpartition(".")[2]
    return (paths[0] if len(paths) == 1 else min(paths, key=lambda path: _distance(path, values))).stem


def _folders() -> tuple[Path, ...]:
    """Return the package's folder of YAMLs, and the user's own where it can be read."""
    try:
        return _folders_seen_from(os.getcwd(), os.environ.get("IRM_SWEEPS_CONF"))
    except OSError:  # the working directory is gone
        return (conf_dir(),)


@cache
def _folders_seen_from(_folder: str, _variable: str | None) -> tuple[Path, ...]:
    try:
        own = own_conf_dir()
    except UserError:  # which whoever launches is told
        own = None
    return (conf_dir(),) if own is None else (conf_dir(), own.absolute())


@cache
def _yamls_of_classes(folders: tuple[Path, ...], group: str) -> Mapping[str, list[Path]]:
    """Return by import path of a class the YAMLs that name it, the package's first."""
    paths: dict[str, list[Path]] = {}
    for path in (path for folder in folders for path in yamls_in(folder, group)):
        try:
            named = _TARGET.search(_text(path))
        except OSError:
            continue
        if target := named[1] if named else str(_values(path).get("_target_", "")):
            paths.setdefault(target, []).append(path)
    return paths


def _distance(path: Path, values: Mapping[str, Any]) -> int:
    """Return in how many of a YAML's values a component differs from it."""
    return sum(value != values.get(key) for key, value in _values(path).items())


@cache
def _values(path: Path) -> dict[str, Any]:
    """Return the values of a choice's YAML and of those in its folder that it begins with; none where it has errors."""
    from omegaconf import OmegaConf  # unlike yaml, it reads 1e-3 as a number

    try:
        own: Any = OmegaConf.to_container(OmegaConf.create(_text(path)))
        bases = [_values(base) for base in _bases(path, own) if base != path]
    except Exception:  # yaml and OmegaConf raise their own; also where two begin with each other
        return {}
    merged = {key: value for base in bases for key, value in base.items()}
    return {**merged, **{str(key): value for key, value in own.items() if key != "defaults"}}


def _bases(path: Path, values: Any) -> Iterator[Path]:
    for name in values.get("defaults", ()):
        for folder in (path.parent, conf_dir() / path.parent.name):
            if isinstance(name, str) and (base := folder / f"{name}.yaml").is_file():
                yield base
                break


def _text(path: Path) -> str:
    return read_regular(path, 16 * MIB, follow=True).decode(errors="replace")
