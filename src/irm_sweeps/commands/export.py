"""`irm-sweeps export`: write the training curves of trials that are done to TensorBoard, MLflow or W&B."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from irm_sweeps.commands import completers
from irm_sweeps.commands.arguments import Commands, add_store_command, chosen_sweep, open_results, open_store
from irm_sweeps.errors import UserError, one_line, printable, raised
from irm_sweeps.typed_commands import import_from_here, offers
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.loggers.logger import Logger, Run
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.result import Result


class _Finished(NamedTuple):
    """A trial that is done, and the run that it becomes."""

    run: Run
    result: Result


class _Names(NamedTuple):
    """A group of trials that are exported together: its name, and the name of each trial in it by id."""

    group: str
    labels: dict[str, str]


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = (
        "Write the curves of a sweep's finished trials to a logger, as training with logger=NAME does. "
        "Runs that are there stay: type it again, and only what is missing is written."
    )
    parser = add_store_command(commands, "export", about, archives=True)
    logger = parser.add_argument("--logger", required=True, metavar="NAME", help="tensorboard, mlflow, wandb, ...")
    offers(logger, completers.loggers)
    sweep = parser.add_argument(
        "--sweep", metavar="NAME", help="name or its beginning (default: the last launched; of an archive, all trials)"
    )
    offers(sweep, completers.sweeps)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="DIR",
        help="folder that is written (default: that of training, e.g. results/tensorboard); also logger.KEY=VALUE",
    )


def run(options: argparse.Namespace) -> None:
    """Write a run for each finished trial that the logger does not have yet; exit with code 1 if one is damaged."""
    import_from_here()
    reader = open_results(options)
    names = _names(options, reader)
    logger = _logger(options, reader.root)
    with tempfile.TemporaryDirectory() as notes:  # an archive has no folders of trials
        trials, damaged = _finished(reader, names, Path(notes) if reader.root.is_file() else reader.root)
        try:
            closed = logger.closed([trial.run for trial in trials])
            missing = [trial for trial in trials if closed.get(trial.run.trial_id) != trial.result.status]
            if missing:
                logger.discard([trial.run for trial in missing])
            written = sum(_write(logger, reader, trial) for trial in missing)
        except (Exception, SystemExit) as error:  # of foreign code
            fix = "mend it, or give another DIR," if isinstance(error, OSError) else "mend it"
            raise UserError(
                f"--logger {options.logger} failed ({one_line(raised(error))}): {fix} and type the command again; "
                "runs that were written stay"
            ) from None
    where = getattr(logger, "tracking_uri", None) or _typed_path(logger) or options.logger
    there = f", {len(trials) - len(missing)} there already" if len(missing) < len(trials) else ""
    without = len(names.labels) - len(trials) - damaged
    rest = f", {count(without, 'trial')} without a result" if without else ""
    print(printable(f"{names.group}: {count(written, 'run')} written to {where}{there}{rest}"))
    if damaged or written < len(missing):
        raise SystemExit(1)


def _typed_path(logger: Logger) -> str:
    """Return the folder that the logger writes, from this folder where it lies below; empty without any."""
    folder = getattr(logger, "directory", None)
    if folder is None:
        return ""
    path = Path(folder).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _names(options: argparse.Namespace, reader: Reader) -> _Names:
    """Return the trials of the sweep with their names in it; of an archive, which has no sweeps, all of them.

    Raises
    ------
    UserError
        There is no such sweep, or no trial.
    """
    from irm_sweeps.commands.archive_status import check_whole
    from irm_sweeps.naming.names import setting_names, with_seed
    from irm_sweeps.store.archive import Archive
    from irm_sweeps.store.manifest import read_manifest
    from irm_sweeps.store.reader import Problem

    if not isinstance(reader, Archive):
        manifest = read_manifest(reader, chosen_sweep(options, open_store(options)))
        return _Names(manifest.name, {trial_id: manifest.label_of(trial_id) for trial_id in manifest.trials})
    check_whole(reader, options.sweep and f"--sweep {options.sweep}")
    results = [result for result in reader.results() if not isinstance(result, Problem)]
    settings = setting_names([{k: v for k, v in result.config.items() if k != "seed"} for result in results])
    labels = {one.trial_id: with_seed(name, one.config) for one, name in zip(results, settings, strict=True)}
    # A damaged result has no name: it is left out, and said to be, where it is read again.
    return _Names(reader.root.stem, {trial_id: labels.get(trial_id, trial_id) for trial_id in reader.trial_ids()})


def _logger(options: argparse.Namespace, root: Path) -> Logger:
    """Return the logger, which can be used here.

    Raises
    ------
    UserError
        It is unknown, cannot be used, or is not told where to write.
    """
    from irm_sweeps.compose import compose
    from irm_sweeps.loggers.logger import build_logger

    overrides = [word for word in options.words if word.startswith("logger.") and "=" in word]
    folders = [word for word in options.words if word not in overrides]
    if len(folders) > 1:
        raise UserError(f"{folders[1]!r}: give one folder, and keys of the logger as logger.KEY=VALUE")
    logger = build_logger(compose([f"logger={options.logger}", *overrides])["logger"])
    if options.logger == "none":
        raise UserError("--logger none writes nothing: give tensorboard, mlflow, wandb, or one of your own")
    has_folder = "directory" in type(logger).model_fields
    if folders and not has_folder:
        raise UserError(f"{folders[0]!r}: --logger {options.logger} writes into no folder: leave it out")
    if has_folder and root.is_file() and not folders and not getattr(logger, "directory", None):
        raise UserError(f"{root} is an archive: say which folder is to be written, e.g. ./{options.logger}")
    if folders:
        logger = logger.model_copy(update={"directory": folders[0]})
    logger = logger.within(root)
    logger.check()
    return logger


def _finished(reader: Reader, names: _Names, folder: Path) -> tuple[list[_Finished], int]:
    """Return the trials that have a result, in the order of the sweep, and the number of those whose result is damaged.

    The runs lie in `folder`, in a folder for each trial.
    """
    from irm_sweeps.files.reading import DamagedFile
    from irm_sweeps.loggers.logger import Run, keys_of, run_name

    keys, found, damaged = keys_of(names.labels.values()), [], 0
    for trial_id, label in names.labels.items():
        try:
            result = reader.result(trial_id)
        except DamagedFile as damage:
            _leave_out(damage)
            damaged += 1
            continue
        if result is not None:
            name = run_name(label, trial_id)
            found.append(_Finished(Run(trial_id, name, names.group, result.config, folder / trial_id, keys), result))
    return found, damaged


def _write(logger: Logger, reader: Reader, trial: _Finished) -> bool:
    """Write one trial's history and scores; False, and nothing is written, where its history is damaged."""
    from irm_sweeps.files.reading import DamagedFile
    from irm_sweeps.loggers.logger import scalars

    try:
        rows = reader.history(trial.run.trial_id) or []
    except DamagedFile as damage:
        _leave_out(damage)
        return False
    trial.run.folder.mkdir(exist_ok=True)
    stream = logger.open(trial.run)
    status = "interrupted"
    try:
        for row in rows:
            stream.write(row.step, dict(scalars(row.model_dump(exclude_unset=True))))
        status = trial.result.status
    finally:
        stream.close(status, dict(scalars(trial.result.raw["metrics"])))
    return True


def _leave_out(damage: Exception) -> None:
    print(printable(f"left out: {damage}"), file=sys.stderr)
