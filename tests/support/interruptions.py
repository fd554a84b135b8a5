"""Interrupt a worker while it trains."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from irm_sweeps.training.loop import StackTraining
from irm_sweeps.worker.exceptions import Interrupted
from irm_sweeps.worker.worker import Worker


def work_until(worker: Worker, step: int) -> None:
    """Run the worker, and request it to stop as soon as a stack has done `step` steps."""
    advance = StackTraining._advance

    def asking(training: StackTraining) -> None:
        advance(training)
        if training.step == step:
            worker.stop_requested.set()

    with patch.object(StackTraining, "_advance", asking), pytest.raises(Interrupted):
        worker.work()
