"""The contract of a logger, which receives the rows of a trial's history and cannot affect the trial.

A worker writes new rows to the logger whenever it saves a checkpoint, and the remaining rows when the trial is done. If
a trial was interrupted, the process that resumes it opens the run again, which clears it, and writes the whole history
again. So a run never contains a row twice, however often its trial was interrupted.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from irm_sweeps.config import Component, build_component
from irm_sweeps.errors import UserError


@dataclass(frozen=True)
class Run:
    """The trial whose history is logged.

    Attributes
    ----------
    name
        Readable name that is valid as a file name: `irmv1_lam=100_seed=3_0094c562`.
    config
        The trial's config.
    folder
        The trial's folder in the store, which exists. A logger may keep a small file in it to find the run again.
    """

    trial_id: str
    name: str
    sweep: str
    config: Mapping[str, Any]
    folder: Path


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
        folder = Path(given).expanduser().absolute() if given else results / str(self.package or "log")
        return self.model_copy(update={"directory": str(folder)})

    def outside(self, results: Path) -> str | None:
        """Return in words where the logger writes outside the store; None: nowhere."""
        given = getattr(self, "directory", None)
        inside = given is None or Path(given).resolve().is_relative_to(results.resolve())
        return None if inside else str(given)

    @abstractmethod
    def open(self, run: Run) -> Stream:
        """Open a trial's run, and delete what an earlier process has logged of the trial."""


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
