"""Methods of a user's own file: IRMv1 at a pace that a test sets, and one that fails.

The environment says where the test's files are: `GATE`, without which a step takes `STEP_SECONDS`, and `TRACE`,
the folder in which each process that trains leaves a file with the times of its steps.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from torch import Tensor

from irm_sweeps.methods.irmv1 import IRMv1
from irm_sweeps.methods.method import Point

STEP_SECONDS = 0.1


class Gated(IRMv1):
    """IRMv1, slow until the gate opens."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        _leave_trace(at.step)
        if not Path(os.environ["GATE"]).exists():
            time.sleep(STEP_SECONDS)
        return super().penalty(at, features, logits, risks)


class Failing(IRMv1):
    """IRMv1 until its third step."""

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        if at.step == 3:
            raise RuntimeError("this method fails at step 3")
        return super().penalty(at, features, logits, risks)


class Ending(IRMv1):
    """IRMv1 that ends its process at the third step: at once, by a signal, or by a hang."""

    how: str

    def penalty(self, at: Point, features: Tensor, logits: Tensor, risks: Tensor) -> Tensor:
        if at.step == 3:
            if self.how == "exit":
                os._exit(3)
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hang":
                time.sleep(3600)
        return super().penalty(at, features, logits, risks)


def _leave_trace(step: int) -> None:
    if folder := os.environ.get("TRACE"):
        with open(Path(folder) / f"{os.getpid()}.{os.environ.get('SLURM_JOB_ID', '')}", "a") as file:
            file.write(f"{time.time()} {step}\n")
