"""Call foreign code, such as a logger's, and wait for it only so long."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_TICK = 0.5
"""Seconds after which a waiting caller asks for the bound again."""


class NoAnswer(Exception):
    """A call has not returned within its bound; the thread that runs it is stuck, perhaps for ever."""


class CallThread:
    """Runs calls one after another in a thread of its own, which does not keep the process alive.

    After `NoAnswer` it must not be used any more.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], _Answer]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def run(self, call: Callable[[], T], bound: Callable[[], float]) -> T:
        """Return what a call returns, or raise what it raises.

        Parameters
        ----------
        bound
            Returns how many seconds to wait at most; it is asked again while the call runs.

        Raises
        ------
        NoAnswer
            The call has not returned within the bound.
        """
        if not self._thread.is_alive():
            self._thread.start()
        answer, began = _Answer(), time.monotonic()
        self._calls.put((call, answer))
        while not answer.given.wait(max(0.0, min(_TICK, began + bound() - time.monotonic()))):
            if time.monotonic() - began >= bound():
                raise NoAnswer(f"it has not returned within {bound():g} s")
        if answer.error is not None:
            raise answer.error
        value: T = answer.value
        return value

    def _serve(self) -> None:
        while True:
            call, answer = self._calls.get()
            try:
                answer.value = call()
            except BaseException as error:  # the caller's thread raises it
                answer.error = error
            answer.given.set()
            del call, answer  # what they refer to is free while the thread waits


class _Answer:
    """How a call ended."""

    def __init__(self) -> None:
        self.given = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
