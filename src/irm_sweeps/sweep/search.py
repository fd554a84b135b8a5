"""A search: what a searching sweeper has tried in this process, and the best of it."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.errors import one_line
from irm_sweeps.files.atomic import make_folder, refuse_link
from irm_sweeps.files.typed_paths import expanded
from irm_sweeps.sweep.direction import told_to_minimise
from irm_sweeps.sweep.labels import labels
from irm_sweeps.sweep.objective import is_minimised
from irm_sweeps.typed_commands import issued, looking
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.config import Settings
    from irm_sweeps.store.store import Store
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class Tried:
    """A trial of a search that has not failed; `value` is its objective."""

    trial: Trial
    overrides: Sequence[str]
    value: float
    diverged: bool


@dataclass
class Search:
    """The trials that a sweeper has asked for.

    Attributes
    ----------
    told_to_minimise
        Whether the sweeper looks for the smallest value; None where it does not say.
    folder
        Where the sweeper writes its own files.
    fixed
        The overrides of the command line: those that a trial has besides are the ones that the search varies.
    tried
        By trial id: a sweeper may ask for a trial again.
    """

    told_to_minimise: bool | None
    folder: Path
    fixed: Sequence[str]
    settings: Settings | None = None
    tried: dict[str, Tried] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: Any) -> Search:
        """Return the search of a command, by its composed Hydra config.

        Raises
        ------
        UserError
            The sweeper is told no direction, or several.
        """
        minimise = told_to_minimise(config.hydra.sweeper)
        return cls(minimise, Path(config.hydra.sweep.dir), list(config.hydra.overrides.task))

    @property
    def minimise(self) -> bool:
        """Whether the smallest value is the best."""
        if self.told_to_minimise is None:
            return self.settings is not None and is_minimised(self.settings.objective)
        return self.told_to_minimise

    def varied(self, overrides: Sequence[str]) -> set[str]:
        """Return the keys that the search varies, by the overrides of one of its trials."""
        return {word.partition("=")[0].lstrip("+~") for word in overrides if word not in self.fixed}

    def make_folder(self, store: Store) -> None:
        """Create the folder in which the sweeper writes when it ends.

        Raises
        ------
        StoreError
            It cannot be created, or would lie outside the store behind a link.
        """
        folder = self.folder.absolute()
        if store.root in folder.parents:
            for own in (folder.parent, folder):
                refuse_link(own)
        make_folder(folder)

    def add(self, trial: Trial, overrides: Sequence[str], value: float, *, diverged: bool) -> None:
        """Record a trial that has a result."""
        self.tried[trial.id] = Tried(trial, list(overrides), value, diverged)

    def best(self) -> Tried | None:
        """Return the best trial, of equals the first that has not diverged; None where all have."""
        sign = 1.0 if self.minimise else -1.0
        usable = [tried for tried in self.tried.values() if not tried.diverged]
        return min(usable, key=lambda tried: sign * tried.value, default=None)

    def lines(self) -> Iterator[str]:
        """Yield what to print at the end."""
        if self.settings is None or not self.tried:
            return
        results, n = self.settings.results, count(len(self.tried), "trial")
        direction = "minimised" if self.minimise else "maximised"
        goal = f"objective={self.settings.objective}, {direction}"
        if (best := self.best()) is None:
            yield f"no best trial: {n} tried, none of which stayed finite ({goal})"
            return
        varied = {key for tried in self.tried.values() for key in self.varied(tried.overrides)}
        names = labels({trial_id: tried.trial for trial_id, tried in self.tried.items()}, varied)
        yield f"best of {n}: {best.trial.id}  {one_line(names[best.trial.id])}"
        yield f"  value: {best.value!r} ({goal})"
        yield f"  overrides: {one_line(shlex.join(best.overrides), at_most=2000)}"
        yield f"  look at it with: {looking('show', best.trial.id, results=results)}"
        if self.folder.is_dir() and (files := sorted(os.listdir(self.folder))) and results in self.folder.parents:
            yield f"  the sweeper's own: {one_line(', '.join(str(self.folder / name) for name in files))}"


_CURRENT: ContextVar[Search | None] = ContextVar("search", default=None)


def begin(config: Any) -> Search:
    """Return the search of a command, whose best trial `best_at_the_end` prints."""
    search = Search.from_config(config)
    _CURRENT.set(search)
    return search


@contextmanager
def best_at_the_end() -> Iterator[None]:
    """Print the best trial of the search that begins in the block, also of one that is interrupted."""
    _CURRENT.set(None)
    try:
        yield
    finally:
        if (search := _CURRENT.get()) is not None:
            for line in search.lines():
                print(line)


def folder_of_command(results: str) -> str:
    """Return the folder of this command's search in a store, the same whenever the command is issued."""
    digest = hashlib.sha256(issued().encode()).hexdigest()[:8]
    return str(expanded(results, "results") / "sweeps" / f"search-{digest}")
