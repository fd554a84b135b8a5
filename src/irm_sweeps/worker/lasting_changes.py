"""What the user's code has changed for good in this process, so that other trials would get other numbers here."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from irm_sweeps.process_state import not_restored
from irm_sweeps.process_state.replaced import Functions, changes_by_import
from irm_sweeps.trial import GROUPS, Trial
from irm_sweeps.user_code import modules as user_modules
from irm_sweeps.worker.exceptions import ProcessChanged

_at_start = set(sys._current_frames())
"""The threads that ran when this module was imported."""

THREAD_SECONDS = 1.0
"""How long a thread that a trial has started may take to end after the trial."""


class LastingChanges:
    """The changes that the user's code has made in this process and that nothing can undo.

    A change that the import of a user's module has made counts for the trials of other modules only: trials of that
    module meet it in any process. Changes made while a trial was drawn, built or trained count for all trials after it.
    """

    def __init__(self) -> None:
        self._imported_before = set(changes_by_import())
        self._by_trials: set[str] = set()
        self._functions: Functions | None = None

    def check(self, trial: Trial) -> None:
        """Check that this process trains a trial as a new one would.

        Raises
        ------
        ProcessChanged
            It does not; the message names the changes.
        """
        by_import = changes_by_import()
        # What has been imported since the last check was imported for this trial.
        others = (by_import.keys() & self._imported_before) - _modules_of(trial)
        self._imported_before = set(by_import)
        changes = sorted(self._by_trials.union(*(by_import[module] for module in others)))
        if changes:
            more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            who = f"the import of {', '.join(sorted(others))}" if others else "a trial's own code"
            raise ProcessChanged(f"{who} has changed {', '.join(changes[:3])}{more} in this process")

    @contextmanager
    def watch(self, trial: Trial) -> Iterator[None]:
        """Note what the block, in which this trial is trained, changes for good. A trial of built-in classes costs
        nothing."""
        if not trial.code:
            self._functions = None
            yield
            return
        functions = self._functions = self._functions or Functions()
        failures, threads = len(not_restored), set(sys._current_frames())
        try:
            yield
        finally:
            by_import = frozenset[str]().union(*changes_by_import().values())
            self._by_trials |= functions.replaced() - by_import
            self._by_trials |= set(not_restored[failures:])
            self._by_trials |= {f"the thread {name}" for name in _left_threads(threads)}


def ends_by_itself() -> bool:
    """Return whether this process ends when its main thread does: a thread of the user's may keep it."""
    kept = {thread.ident for thread in threading.enumerate() if not thread.daemon}
    return not any(ident in kept for ident in _user_idents(_at_start))


def _modules_of(trial: Trial) -> set[str]:
    """Return the modules of a trial's classes and of the classes that they derive from."""
    return {base.__module__ for group in GROUPS for base in type(getattr(trial, group)).__mro__}


def _left_threads(before: set[int]) -> list[str]:
    """Return the names of the threads that run the user's code and have begun since; they get a second to end."""
    deadline = time.monotonic() + THREAD_SECONDS
    while (names := _user_threads(before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return names


def _user_threads(before: set[int]) -> list[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return [names.get(ident, str(ident)) for ident in _user_idents(before)]


def _user_idents(before: set[int]) -> list[int]:
    threads = {thread.ident: thread for thread in threading.enumerate()}
    new = sys._current_frames().keys() - before - {threading.get_ident()}
    return [ident for ident in new if _runs_user_code(ident) or _is_to_run_user_code(threads.get(ident))]


def _runs_user_code(ident: int) -> bool:
    frame = sys._current_frames().get(ident)
    while frame is not None:
        if user_modules.is_user_file(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def _is_to_run_user_code(thread: threading.Thread | None) -> bool:
    """Return whether a thread was given a function of the user's, which it may call later, as a timer does."""
    functions = [getattr(thread, name, None) for name in ("_target", "function", "run")]
    return any(user_modules.is_user_module(str(getattr(function, "__module__", ""))) for function in functions)
