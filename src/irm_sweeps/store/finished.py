"""What a launch has finished, told by each worker in a file of its own: it saves the others a look at every trial.

results/sweeps/<sweep>/finished.<launch>/<random>.txt      a line per trial, written after its result

It is a hint. What it does not tell, or told before a worker began, that worker looks up.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress

from irm_sweeps.errors import StoreError
from irm_sweeps.files.reading import names_in
from irm_sweeps.files.untrusted import MIB, append_regular, read_regular
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.schema import TRIAL_ID
from irm_sweeps.store.store import Store

_LARGEST = 64 * MIB


class Finished:
    """The finished trials of a sweep's present launch."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._folder = manifest.folder(store) / f"finished.{manifest.launch}"
        self._own = self._folder / f"{secrets.token_hex(6)}.txt"
        self._begun = False

    def add(self, trial_id: str) -> None:
        """Tell that a trial has its result."""
        with suppress(OSError):
            if not self._begun:
                self._folder.mkdir(exist_ok=True)
                self._begun = True
            descriptor = append_regular(self._own)
            try:
                os.write(descriptor, f"{trial_id}\n".encode())
            finally:
                os.close(descriptor)

    def trial_ids(self) -> set[str]:
        """Return those that any worker of the launch has told of."""
        found: set[str] = set()
        with suppress(StoreError):
            for name in names_in(self._folder):
                with suppress(OSError, UnicodeDecodeError):
                    lines = read_regular(self._folder / name, _LARGEST).decode().splitlines()
                    found.update(filter(TRIAL_ID.fullmatch, lines))
        return found

    def forget_others(self) -> None:
        """Remove what earlier launches left."""
        for other in self._folder.parent.glob("finished.*"):
            if other != self._folder:
                shutil.rmtree(other, ignore_errors=True)
