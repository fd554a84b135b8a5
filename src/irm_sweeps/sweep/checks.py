"""What is checked once, before any worker starts: settings, classes, data, weights, logger, and what is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError, one_line, raised
from irm_sweeps.files.atomic import to_json
from irm_sweeps.files.typed_paths import refuse_file
from irm_sweeps.files.untrusted import MIB, parse_json
from irm_sweeps.loggers.bounded_calls import CallThread, NoAnswer
from irm_sweeps.loggers.logger import Logger, build_logger
from irm_sweeps.naming.leaves import leaves
from irm_sweeps.redaction import HIDDEN, has_user_info, is_secret_key
from irm_sweeps.store.schema import check_config
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.trial import GROUPS, Trial

LOGGER_CHECK_SECONDS = 120.0
"""How long a logger's check may take: the import of its package from a slow disk, and a request."""
LARGEST_CONFIG = MIB
"""Most bytes of a trial's config: each of its results has it."""


def check_settings(settings: Settings, launcher: Launcher) -> None:
    """Check the settings that say where things lie and run, also where nothing is left to run.

    Raises
    ------
    UserError
        There is no such device, a folder is a file, or the logger's config is wrong.
    """
    refuse_file(settings.results, "results")
    refuse_file(settings.data_dir, "data_dir")
    launcher.check(settings.device)
    if settings.logger:
        build_logger(settings.logger)


def check_importable(trials: Iterable[Trial], launcher: Launcher) -> None:
    """Check that worker processes can import the classes.

    Raises
    ------
    UserError
        One stands in the script that is running, which no other process can import.
    """
    if launcher.trains_here:
        return
    for trial in trials:
        for group in GROUPS:
            chosen = type(getattr(trial, group))
            if chosen.__module__ == "__main__":
                raise UserError(
                    f"{group}._target_=__main__.{chosen.__name__}: workers are other processes, and cannot import the "
                    f"script that is running: put {chosen.__name__} into a file of its own, e.g. my_file.py, and give "
                    f"{group}._target_=my_file.{chosen.__name__}; or take hydra/launcher=inprocess"
                )


def check_inputs(trials: Sequence[Trial], settings: Settings) -> None:
    """Check each data set and each backbone (its weights, and whether it takes the features
    and makes the outputs) once.

    Raises
    ------
    UserError
        Data or weights are missing or wrong.
    """
    for dataset in {str(trial.dataset): trial.dataset for trial in trials}.values():
        dataset.check(settings.data_dir)
    networks = {(repr(t.backbone), t.dataset.features, t.dataset.outputs): t.backbone for t in trials}
    for (_, features, outputs), backbone in networks.items():
        backbone.check(features, outputs)


def checked_logger(settings: Settings) -> Logger | None:
    """Return the logger of the settings, which can be used here; None where they name none.

    Raises
    ------
    UserError
        It cannot be used.
    """
    if not settings.logger:
        return None
    logger = build_logger(settings.logger).within(settings.results)
    name = f"logger._target_={logger.target!r:.200}"
    try:
        CallThread().run(logger.check, lambda: LOGGER_CHECK_SECONDS)
    except UserError:
        raise
    except NoAnswer as error:
        raise UserError(f"{name}: its check hangs ({error}): is its server there? Or say logger=none") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"{name}: its check failed ({one_line(raised(error))}): mend it, or say logger=none") from None
    return logger


def check_no_secrets(trials: Iterable[Trial], settings: Settings) -> None:
    """Check that what will be stored for all to read has no password in it.

    Raises
    ------
    UserError
        A value is a URI with a user's name or password, or a key of the logger is named as a secret is.
    """
    logger = dict(_texts(settings.logger or {}, "logger."))
    others = {name: value for name, value in settings.model_dump(mode="json").items() if name != "logger"}
    for values in (logger, dict(_texts(others)), *(dict(_texts(trial.config)) for trial in trials)):
        for key, value in values.items():
            if has_user_info(value):
                raise UserError(
                    f"{key}={HIDDEN}: a URI with a user name or password in it would be stored for everybody to read: "
                    f"leave out what stands before the @, and {_other_way(key)}"
                )
    for key, value in logger.items():
        if value and is_secret_key(key):
            raise UserError(
                f"{key}={HIDDEN}: a secret in a config would be stored for everybody to read: let the logger read it "
                "from an environment variable, or from a file that only you may read"
            )


def _other_way(key: str) -> str:
    if key == "logger.tracking_uri":
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment"
    return "give it in an environment variable or in ~/.netrc"


def _texts(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield `a.b.0` and value for every text in a config."""
    if isinstance(values, str):
        yield prefix.rstrip("."), values
    elif isinstance(values, dict | list | tuple):
        for key, value in values.items() if isinstance(values, dict) else enumerate(values):
            yield from _texts(value, f"{prefix}{key}.")


def check_storable(trials: Iterable[Trial]) -> None:
    """Check that a result with the trial's config can be read back.

    Raises
    ------
    UserError
        A config is too large, or has a value that no file of the store can hold.
    """
    for trial in trials:
        try:
            content = to_json(trial.config)
            if len(content) > LARGEST_CONFIG:
                raise ValueError(f"a config has at most {LARGEST_CONFIG:,} bytes, and this one {len(content):,}")
            check_config(parse_json(content))
        except (ValueError, TypeError, RecursionError) as error:
            key, value = _culprit(trial)
            raise UserError(
                f"{key}={one_line(repr(value), at_most=80)}: cannot be stored: {error}: give a smaller value"
            ) from None


def _culprit(trial: Trial) -> tuple[str, Any]:
    """Return the leaf of a config that cannot be stored; the largest one, if each of them can."""
    sizes: dict[str, int] = {}
    values = dict(leaves(trial.config))
    for key, value in values.items():
        try:
            sizes[key] = len(to_json(value))
            parse_json(to_json(value))
        except (ValueError, TypeError, RecursionError):
            return key, value
    largest = max(sizes, key=lambda key: sizes[key])
    return largest, values[largest]
