"""The contract of a logger, which receives the rows of a trial's history and cannot affect the trial.

A worker writes new rows to the logger whenever it saves a checkpoint, and the remaining rows when the trial is done. If
a trial was interrupted, the process that resumes it opens the run again, which clears it, and writes the whole history
again. So a run never contains a row twice, however often its trial was interrupted.
"""

from __future__ import annotations

import importlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from irm_sweeps.config import Component, build_component
from irm_sweeps.errors import UserError
from irm_sweeps.files.typed_paths import expanded
from irm_sweeps.files.untrusted import open_regular

LONGEST_NAME = 200
"""Most bytes of a label in the name of a run: a file's name has at most 255."""
_WORD = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
"""A word of a label, which may have spaces within quotes."""
LOGGED = "logged.txt"
"""File in a run's own folder, of a logger that has one: the trial's id and the status with which its run was closed."""


@dataclass(frozen=True)
class Run:
    """The trial whose history is logged.

    Attributes
    ----------
    name
        The trial's name within its sweep as it is typed, `irmv1 lam=100 seed=3`, and valid as a file name.
    config
        The trial's config.
    folder
        A folder of the trial, which exists: that in the store. A logger may keep a small file in it to find the run
        again.
    keys
        Every key that the names of the sweep's trials have, e.g. `lam` and `seed`.
    """

    trial_id: str
    name: str
    sweep: str
    config: Mapping[str, Any]
    folder: Path
    keys: Sequence[str] = ()

    def words(self) -> dict[str, str]:
        """Return the values in the name by key, and the method's: `{"method": "irmv1", "lam": "100", "seed": "3"}`.

        A word without a value, e.g. `grayscale`, has an empty one.
        """
        method, *others = _WORD.findall(self.name) or [""]
        return {"method": method, **{key: value for key, _, value in (word.partition("=") for word in others)}}


def run_name(label: str, trial_id: str) -> str:
    """Return a trial's label as the name of its run.

    Characters that no file's name may have become `_`, and of a label that is too long the end is left out; such a
    name ends with the beginning of the trial's id.
    """
    name = re.sub(r"[/\x00-\x1f\x7f]+", "_", label).lstrip(". ")
    name = name.encode(errors="replace")[:LONGEST_NAME].decode(errors="ignore")
    return name if name == label else f"{name} {trial_id[:8]}"


def keys_of(labels: Iterable[str]) -> list[str]:
    """Return every key that the labels of a sweep's trials have, in the order in which they occur."""
    words = dict.fromkeys(word for label in labels for word in _WORD.findall(label)[1:])
    return list(dict.fromkeys(word.partition("=")[0] for word in words))


class Stream(ABC):
    """An open run of one trial in a logger."""

    @abstractmethod
    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write values after `step` updates; steps never decrease, and a step may occur twice with different names."""

    @abstractmethod
    def close(self, status: str, final: Mapping[str, float]) -> None:
        """End the run; also called after a `write` has raised.

        Parameters
        ----------
        status
            `completed`, `diverged`, `failed`, or `interrupted` (another process will resume the trial).
        final
            The trial's metrics under every selection rule, e.g. `last/test/0.9/accuracy`.
        """


class Logger(Component):
    """Base class of loggers. Subclass it, and name the subclass in a YAML's `_target_`."""

    package: ClassVar[str | None] = None
    """Name of the package that the logger imports, and of the extra that installs it; None: no package."""

    def check(self) -> None:
        """Check, before anything trains, that the logger's package is installed.

        A logger that sends to a server overrides it, and asks the server once. Who calls it waits for a minute or two
        at most (`irm_sweeps.sweep.checks`).

        Raises
        ------
        UserError
            The package is not installed.
        """
        if self.package is None:
            return
        try:
            importlib.import_module(self.package)
        except ImportError as error:
            raise UserError(
                f"logger={self.package}: {error}; install it with pip install 'irm-sweeps[{self.package}]', or say "
                "logger=none"
            ) from None

    def within(self, results: Path) -> Self:
        """Return this logger with an absolute `directory`; by default, a folder in the store `results`."""
        if "directory" not in type(self).model_fields:
            return self
        given = getattr(self, "directory")  # noqa: B009
        folder = expanded(given, "logger.directory") if given else results / str(self.package or "log")
        return self.model_copy(update={"directory": str(folder)})

    def outside(self, results: Path) -> str | None:
        """Return in words where the logger writes outside the store; None: nowhere."""
        given = getattr(self, "directory", None)
        inside = given is None or Path(given).resolve().is_relative_to(results.resolve())
        return None if inside else str(given)

    @abstractmethod
    def open(self, run: Run) -> Stream:
        """Open a trial's run, and delete what an earlier process has logged of the trial."""

    def closed(self, runs: Sequence[Run]) -> dict[str, str]:
        """Return by trial id the status of those runs that are there, and whole; `irm-sweeps export` leaves them alone.

        A logger that cannot tell returns none: its runs are deleted and written again.
        """
        del runs
        return {}

    def discard(self, runs: Sequence[Run]) -> None:
        """Delete what an export that was killed has left of these runs, and `open` does not find."""


def build_logger(values: Mapping[str, Any], *, trusted: bool = True) -> Logger:
    """Return the logger for a config; `trusted`: see `irm_sweeps.config.import_class`.

    Raises
    ------
    UserError
        The config does not name a logger, or a key or value is invalid.
    """
    return build_component(values, Logger, "logger", trusted=trusted)  # type: ignore[type-abstract]


def scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of a history row or of scores, by name: `risks/0`, `test/0.9/accuracy`."""
    for name, value in row.items():
        path = prefix if name == "scores" else f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from scalars(value, f"{path}/" if path and name != "scores" else path)
        elif isinstance(value, list):
            yield from scalars({str(i): v for i, v in enumerate(value)}, f"{path}/")
        elif isinstance(value, int | float) and name != "step":
            yield path, float(value)


def write_logged(folder: Path, trial_id: str, status: str) -> None:
    """Record in a run's own folder how it was closed; of an interrupted trial, whose run is not whole, nothing."""
    if status != "interrupted":
        (folder / LOGGED).write_text(f"{trial_id} {status}\n")


def read_logged(folder: Path) -> tuple[str, str] | None:
    """Return the trial's id and status that `write_logged` recorded; None where it has not, or is not readable."""
    try:
        with open_regular(folder / LOGGED) as file:
            trial_id, status = file.read(100).decode(errors="replace").split()
    except (OSError, ValueError):
        return None
    return trial_id, status
