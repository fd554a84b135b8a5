"""Read in the workers' logs why workers ended before their sweep was done."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from irm_sweeps.errors import one_line
from irm_sweeps.store.liveness import Process
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import tail
from irm_sweeps.worker.registry import logs_of_living

_LOG = re.compile(r"[\w.-]+_log\.err", re.ASCII)
_REASON = re.compile(r"(\w+\.)*\w*(Error|Exception)(:|$)|(slurmstepd: )?error: ")
"""What an exception, an error of this package or of SLURM's memory limit begins with; a hint may follow it."""
_COMPLAINT = re.compile(
    r"\berror\b|\w+error\b|\b(segmentation )?fault\b|aborted|core dumped|killed|terminated|cancelled"
    r"|not found|no such|denied|illegal instruction",
    re.IGNORECASE,
)
_WARNING = re.compile(r"^.*Warning: .*(\n[ \t]+.*)?|^[ \t]*warnings\.warn\(.*", re.MULTILINE)
"""Python prints below a warning the line of code that issued it."""
_FROM_SRUN = re.compile(r"srun: ")
_ORDERLY_EXIT = re.compile(r"srun: error: .*: Exited with exit code (1|143)$")
"""1: a trial failed, and its result says why. 143: the worker was asked to stop."""


def complaints_of_ended_workers(
    store: Store, manifest: Manifest, at_work: Collection[Process] = ()
) -> dict[str, list[str]]:
    """Return the last complaint of each worker that ended since the last launch -> its logs, relative to the store.

    A worker that ended as it should left no complaint. A worker's own complaint is preferred to srun's about it. Only
    files are read, so the answer is the same on every node.

    Parameters
    ----------
    at_work
        Who holds a claim in force: a worker on another machine that does has not ended, whatever its log says.
    """
    folder = manifest.folder(store) / "jobs"
    living = logs_of_living(store, manifest, at_work)
    complaints: dict[str, list[str]] = defaultdict(list)
    try:
        logs = [name for name in _logs_since_launch(folder) if name not in living]
    except OSError:
        return {}
    for name in logs:
        if complaint := _last_complaint(tail(folder / name)):
            complaints[complaint].append(str((folder / name).relative_to(store.root)))
    return dict(complaints)


def _logs_since_launch(folder: Path) -> list[str]:
    """Return the names of the workers' logs that were written after the manifest, sorted."""
    launched = os.lstat(folder.parent / "manifest.json").st_mtime
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if _LOG.fullmatch(entry.name) and entry.stat(follow_symlinks=False).st_mtime >= launched
        )


def _last_complaint(log: str) -> str:
    """Return the line that says best why a worker ended, or an empty string."""
    lines = [line.strip() for line in _WARNING.sub("", log).splitlines()]
    complaints = [line for line in lines if _COMPLAINT.search(line) and not _ORDERLY_EXIT.fullmatch(line)]
    of_worker = [line for line in complaints if not _FROM_SRUN.match(line)]
    reasons = [line for line in of_worker if _REASON.match(line)]
    return one_line((reasons or of_worker or complaints or [""])[-1])
