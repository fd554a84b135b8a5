"""A worker that is asked to stop while it trains."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from irm_sweeps.training.loop import StackTraining
from irm_sweeps.worker.exceptions import Interrupted
from irm_sweeps.worker.worker import Worker


def work_until(worker: Worker, step: int) -> None:
    """Let it work, and ask it to stop as soon as a stack has made so many steps."""
    advance = StackTraining._advance

    def asking(training: StackTraining) -> None:
        advance(training)
        if training.step == step:
            worker.stop_requested.set()

    with patch.object(StackTraining, "_advance", asking), pytest.raises(Interrupted):
        worker.work()
