"""What is checked once, in the parent, before any worker starts: settings, compilation, data, weights, logger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from irm_sweeps.config import Settings
from irm_sweeps.files.typed_paths import refuse_file
from irm_sweeps.loggers.logger import Logger, build_logger
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.trial import Trial


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


def check_compiles(trials: Iterable[Trial], settings: Settings) -> None:
    """Check that every trial can be trained compiled, if the settings ask for it.

    Raises
    ------
    UserError
        One cannot.
    """
    if settings.compile:
        for trial in trials:
            trial.check_compiles()


def check_inputs(trials: Sequence[Trial], settings: Settings) -> None:
    """Check each data set and each backbone (its weights, and whether it takes the features) once.

    Raises
    ------
    UserError
        Data or weights are missing or wrong.
    """
    for dataset in {str(trial.dataset): trial.dataset for trial in trials}.values():
        dataset.check(settings.data_dir)
    for trial in {f"{trial.backbone!r} {trial.dataset.features}": trial for trial in trials}.values():
        trial.backbone.check(trial.dataset.features, trial.dataset.outputs)


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
    logger.check()
    return logger
