"""A row of a trial's history, `history.jsonl`: what was logged after a step, or an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from irm_sweeps.store.result import Scores
from irm_sweeps.store.schema import Count, Part


class HistoryRow(Part):
    """What was logged after `step` updates; of an evaluation the scores, by split and environment."""

    step: Count
    scores: dict[str, dict[str, Scores]] | None = None

    @property
    def logged(self) -> dict[str, Any]:
        """The logged quantities by name, e.g. `penalty`, or `risks` with one value for each environment."""
        return self.model_extra or {}


def latest_step(heartbeat: int, rows: Sequence[HistoryRow]) -> int:
    """Return the later of the heartbeat's step and that of the last row: a worker writes rows more often."""
    return max([heartbeat, *(row.step for row in rows[-1:])])
