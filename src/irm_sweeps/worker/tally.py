"""Count the trials that a worker has given a result."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Tally:
    """How many trials a worker has given a result, by status."""

    completed: int = 0
    diverged: int = 0
    failed: int = 0

    @property
    def trials(self) -> int:
        """Trials that got a result."""
        return self.completed + self.diverged + self.failed

    def add(self, status: str) -> None:
        """Count a trial of this status."""
        setattr(self, status, getattr(self, status) + 1)
