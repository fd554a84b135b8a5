"""A method in a user's file that is slow or fails on purpose; `method._target_=rogue.Rogue`."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Point, Turn
from irm_sweeps.worker import worker

STEP_SECONDS = 0.1


class Unforeseen(BaseException):
    """An exception of the user's own that is no `Exception`."""


class Mute(Exception):
    """An exception that cannot be printed."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


def _raise(error: BaseException) -> None:
    raise error


def _raise_mistake() -> None:
    print("about to raise")
    raise RuntimeError("this method has a mistake")


def _lose_gpu() -> None:
    worker.is_lost = lambda device: True  # as a GPU is after a fault in a kernel
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


def _hang() -> None:
    print("about to hang", flush=True)
    time.sleep(3600)


def _hang_with_the_interpreter() -> None:
    """Backtrack without end in C, where no other thread of Python runs meanwhile."""
    re.match(r"(a+)+$", "a" * 64 + "b")


Deed = Literal[
    "none",
    "raise",
    "kill",
    "lose",
    "leave",
    "exit_at_once",
    "exit_with_3",
    "interrupt",
    "close_generator",
    "unforeseen",
    "mute",
    "surrogates",
    "long",
    "ask",
    "hang",
    "hang_in_c",
]
DEEDS: dict[str, Callable[[], None]] = {
    "raise": _raise_mistake,
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "lose": _lose_gpu,
    "leave": lambda: sys.exit(0),
    "exit_at_once": lambda: os._exit(0),
    "exit_with_3": lambda: os._exit(3),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "close_generator": lambda: _raise(GeneratorExit()),
    "unforeseen": lambda: _raise(Unforeseen("not foreseen")),
    "mute": lambda: _raise(Mute()),
    "surrogates": lambda: _raise(RuntimeError(f"no such file: {os.fsdecode(bytes([0xE9]))}.png")),
    "long": lambda: _raise(RuntimeError("x" * 2**25)),
    "ask": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "hang": _hang,
    "hang_in_c": _hang_with_the_interpreter,
}
"""What each deed does."""


class Rogue(ERM):
    """ERM that does `deed` at step 3; `ask` at all later ones too.

    A step is slow until the file named by the variable GATE exists.
    """

    deed: Deed

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        if (at.step == 3 or (at.step > 3 and self.deed == "ask")) and self.deed in DEEDS:
            DEEDS[self.deed]()
        if (gate := os.environ.get("GATE")) and not Path(gate).exists():
            time.sleep(STEP_SECONDS)
        return super().turn(at, moving)
