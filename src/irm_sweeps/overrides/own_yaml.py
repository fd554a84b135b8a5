"""A choice that is a user's own YAML, given by its path: `method=/folder/my.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import expanded
from irm_sweeps.files.untrusted import MIB, read_regular


def own_file(config_path: str) -> tuple[str, Path] | None:
    """Return group and file of `method//folder/my.yaml`, Hydra's spelling of `method=/folder/my.yaml`.

    None where the choice is a name, or the group is not one of a trial's.

    Raises
    ------
    UserError
        `~NAME` names no user of this machine.
    """
    group, _, choice = config_path.partition("/")
    if group not in COMPONENTS or not choice.endswith((".yaml", ".yml")):
        return None
    return group, expanded(choice, group)


def read_own_file(config_path: str) -> tuple[dict[Any, Any], str]:
    """Return the values of a user's own YAML, and its text.

    Raises
    ------
    UserError
        There is no such file, or it is not the YAML of a choice.
    """
    from omegaconf import OmegaConf

    group_and_path = own_file(config_path)
    assert group_and_path is not None, config_path
    group, path = group_and_path
    try:
        text = read_regular(path, 16 * MIB, follow=True).decode()
        values = OmegaConf.to_container(OmegaConf.create(text))  # unlike yaml, it reads 1e-3 as a number
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UserError(f"{group}={path}: cannot be read: {reason}") from None
    except Exception as error:  # yaml and OmegaConf raise their own, and what Python's dates and numbers raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{group}={path}: not YAML: {reason}") from None
    if not isinstance(values, dict) or not values.get("_target_"):
        raise UserError(f"{group}={path} has no `_target_`: it must name a class, e.g. `_target_: my_file.MyClass`")
    return values, text
