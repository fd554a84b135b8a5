"""The contract of a logger: it is told what a trial's history says, and can neither change nor end the trial.

A worker hands over the rows of a trial's history whenever it saves a checkpoint, and the rest when the trial is done.
A trial that was interrupted goes on in another process with its whole history, so whoever opens its run starts the
run over and gets every row again: a run never holds a row twice, however often its trial was interrupted.
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
    """The trial that a logger is told about.

    Attributes
    ----------
    name
        Readable, and fit for a file: `IRMv1_lam=100_seed=3_0094c562`.
    config
        The trial's config.
    folder
        The trial's folder in the store, which is there: a logger may keep a small file in it, to find the run again.
    """

    trial_id: str
    name: str
    sweep: str
    config: Mapping[str, Any]
    folder: Path


class Stream(ABC):
    """One trial's run in a logger, open."""

    @abstractmethod
    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Take what is known after `step` updates; steps never decrease, and one may come twice with other names."""

    @abstractmethod
    def close(self, status: str, final: Mapping[str, float]) -> None:
        """End the run; called after a `write` that raised too.

        Parameters
        ----------
        status
            `completed`, `diverged`, `failed`, or `interrupted`: another process will go on.
        final
            The trial's metrics under every selection rule, e.g. `last/test/0.9/accuracy`.
        """


class Logger(Component):
    """Where training curves go. Subclass it, and name the subclass in a YAML's `_target_`."""

    package: ClassVar[str | None] = None
    """What has to be installed, by the name that it is imported as and that the extra has."""

    def check(self) -> None:
        """Find out, before anything trains, whether this logger can work here.

        Raises
        ------
        UserError
            Its package is not installed.
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
        """Return this logger with its folders made absolute; without a `directory`, in the store's own."""
        if "directory" not in type(self).model_fields:
            return self
        given = getattr(self, "directory")  # noqa: B009
        folder = Path(given).expanduser().absolute() if given else results / str(self.package or "log")
        return self.model_copy(update={"directory": str(folder)})

    def outside(self, results: Path) -> str | None:
        """Return where it writes besides the store, in words; None: nowhere."""
        given = getattr(self, "directory", None)
        inside = given is None or Path(given).resolve().is_relative_to(results.resolve())
        return None if inside else str(given)

    @abstractmethod
    def open(self, run: Run) -> Stream:
        """Start a trial's run over: what an earlier process logged of it is replaced."""


def build_logger(values: Mapping[str, Any], *, trusted: bool = True) -> Logger:
    """Validate a logger's config; `trusted`: see `irm_sweeps.config.import_class`.

    Raises
    ------
    UserError
        It names no logger, or a key or value is wrong.
    """
    return build_component(values, Logger, "logger", trusted=trusted)  # type: ignore[type-abstract]


def scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of a history row or of scores, by name: `risks/0`, `test/0.9/accuracy`."""
    for name, value in row.items():
        own = prefix if name == "scores" else f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from scalars(value, f"{own}/" if own and name != "scores" else own)
        elif isinstance(value, list):
            yield from scalars({str(i): v for i, v in enumerate(value)}, f"{own}/")
        elif isinstance(value, int | float) and name != "step":
            yield own, float(value)
