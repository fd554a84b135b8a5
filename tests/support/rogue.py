"""A method in a user's file that is slow or fails on purpose; `method._target_=rogue.Rogue`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Point, Turn
from irm_sweeps.worker import worker

STEP_SECONDS = 0.1


class Rogue(ERM):
    """ERM that fails as `deed` says at step 3. A step is slow until the file named by the variable GATE exists."""

    deed: Literal["none", "raise", "kill", "lose"]

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        if at.step == 3 and self.deed == "raise":
            print("about to raise")
            raise RuntimeError("this method has a mistake")
        if at.step == 3 and self.deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if at.step == 3 and self.deed == "lose":
            worker.is_lost = lambda device: True  # as a GPU is after a fault in a kernel
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if (gate := os.environ.get("GATE")) and not Path(gate).exists():
            time.sleep(STEP_SECONDS)
        return super().turn(at, moving)
