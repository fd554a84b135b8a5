"""A method of a user's own, whose step takes a second in which it does nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from irm_sweeps import Point, Turn
from irm_sweeps.methods.erm import ERM


class OneSecond(ERM):
    """ERM that sleeps before each step."""

    stacks: ClassVar[bool] = False

    seconds: float
    """How long a step sleeps."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        """Return ERM's objective, after the sleep."""
        time.sleep(self.seconds)
        return super().turn(at, moving)
