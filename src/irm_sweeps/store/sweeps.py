"""The sweeps of a store: how each is named, and which was launched last."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.files.reading import names_in
from irm_sweeps.store.reader import Reader
from irm_sweeps.store.store import Store

SWEEP_NAME = r"[A-Za-z0-9_.+-]+-[0-9a-f]{8}"
"""The pattern of a sweep's name, `<label>-<hash of the trial ids>`."""
LONGEST_NAME = 255
"""Most bytes of the name of a folder, on most file systems."""
_NAME = re.compile(SWEEP_NAME)


def sweep_name(label: str, ids: Sequence[str]) -> str:
    """Return the name of the sweep with these trials."""
    end = f"-{hashlib.sha256(''.join(sorted(ids)).encode()).hexdigest()[:8]}"
    start = re.sub(r"[^A-Za-z0-9_.]+", "_", label) or "sweep"
    return start[: LONGEST_NAME - len(end)] + end


def is_of_paper(name: str) -> bool:
    """Return whether a sweep of this name is one of paper files: the labels of others are those of `sweep.run`."""
    return not is_own_grid(name) and not name.startswith("trial-")


def is_own_grid(name: str) -> bool:
    """Return whether a sweep of this name is a grid or a search of the user's own: no paper's, and no single trial."""
    return name.startswith(("sweep-", "search-"))


def whole_name(store: Reader, name: str) -> str:
    """Return the name of the sweep with this name or this beginning of it.

    Raises
    ------
    UserError
        There is no such sweep, or several begin so.
    """
    names = sweep_names(store)
    matching = [name] if name in names else [n for n in names if name and n.startswith(name)]
    if len(matching) != 1:
        what = f"{len(matching)} sweeps begin so" if matching else f"no such sweep{did_you_mean(name, names)}"
        newest = (matching or names)[:-6:-1]
        listed = f"; the newest: {', '.join(newest)}" if newest else ""
        raise UserError(f"sweep {name!r}: {what} in {store.root / 'sweeps'}{listed}")
    return matching[0]


def sweep_names(store: Reader) -> list[str]:
    """Return the names of all sweeps of a store, the most recently launched last; an archive has none.

    Not a sweep are symbolic links, files, folders without a manifest, and folders with a name that no sweep can have.
    Sweeps whose time of launch cannot be read come first.

    Raises
    ------
    StoreError
        The sweeps may not be listed.
    """
    folder = store.root / "sweeps"
    if os.path.islink(folder):
        return []
    launched = {
        name: when
        for name in names_in(folder)
        if _NAME.fullmatch(name) and (when := launched_at(folder / name)) is not None
    }
    return sorted(launched, key=lambda name: launched[name])


def note_launch(store: Store, name: str) -> None:
    """Make a sweep the one that was launched last, as its command was given again; nothing where it has no manifest."""
    with contextlib.suppress(OSError):
        os.utime(store.root / "sweeps" / name / "manifest.json")


def launched_at(folder: Path) -> float | None:
    """Return when a sweep was launched last; minus infinity where that may not be asked, None where there is none."""
    try:
        return os.lstat(folder / "manifest.json").st_mtime if stat.S_ISDIR(os.lstat(folder).st_mode) else None
    except FileNotFoundError:
        return None
    except OSError:
        return -math.inf
