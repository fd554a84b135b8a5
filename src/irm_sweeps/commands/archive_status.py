"""What `irm-sweeps status` and `failures` say of an archive: how its trials ended."""

from __future__ import annotations

from irm_sweeps.commands.sweep_status import SweepStatus
from irm_sweeps.errors import UserError
from irm_sweeps.store.reader import Problem, Reader


def archive_status(archive: Reader) -> SweepStatus:
    """Return the status of all trials in an archive, as if they were one sweep that is done."""
    status = SweepStatus(archive.root, archive.root.name, 0)
    for result in archive.results():
        if isinstance(result, Problem):
            status.damaged.append(result.reason)
            continue
        status.counts[result.status] += 1
        if result.error is not None:
            status.failures[result.error.last_line].append(result.trial_id)
        elif result.status == "diverged":
            status.diverged[f"{result.label} {result.divergence}"].append(result.trial_id)
    status.total = status.done
    return status


def check_whole(archive: Reader, part: str | None) -> None:
    """Check that no part of an archive is asked for; `part` is what was typed.

    Raises
    ------
    UserError
        One is.
    """
    if part:
        raise UserError(f"{archive.root} is an archive, which has no sweeps: leave out {part}")
