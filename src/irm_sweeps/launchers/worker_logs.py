"""What a launch's workers said before they ended without being done: from their logs, the same on every node."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection

from irm_sweeps.errors import one_line
from irm_sweeps.store.liveness import Process
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.trial_log import tail
from irm_sweeps.worker.registry import logs_of_living

_LOG = re.compile(r"[\w.-]+_log\.err", re.ASCII)
_REASON = re.compile(r"(\w+\.)*\w*(Error|Exception)(:|$)|(slurmstepd: )?error: ")
"""What an exception, this package or the guard of SLURM's memory limit begins with: a hint may follow it."""
_COMPLAINT = re.compile(
    r"\berror\b|\w+error\b|\b(segmentation )?fault\b|aborted|core dumped|killed|terminated|cancelled"
    r"|not found|no such|denied|illegal instruction",
    re.IGNORECASE,
)
_WARNING = re.compile(r"^.*Warning: .*(\n[ \t]+.*)?|^[ \t]*warnings\.warn\(.*", re.MULTILINE)
"""Python shows below a warning the line of code that gave it."""
_OF_SRUN = re.compile(r"srun: ")
_ORDERLY = re.compile(r"srun: error: .*: Exited with exit code (1|143)$")
"""Trials failed, which the trials tell better, or the worker was asked to stop."""


def last_words(store: Store, manifest: Manifest, at_work: Collection[Process] = ()) -> dict[str, list[str]]:
    """Return the last complaint -> the logs that end with it, relative to the store, of workers since the last launch.

    A worker that ended as it should left none. The worker's own words are preferred to those of SLURM about it.

    Parameters
    ----------
    at_work
        Who holds a claim in force: a worker on another machine that does has not ended, whatever it said.
    """
    folder = manifest.folder(store)
    found: dict[str, list[str]] = defaultdict(list)
    living = logs_of_living(store, manifest, at_work)
    try:
        launched = os.lstat(folder / "manifest.json").st_mtime
        with os.scandir(folder / "jobs") as entries:
            logs = sorted(
                entry.name
                for entry in entries
                if _LOG.fullmatch(entry.name)
                and entry.name not in living
                and entry.stat(follow_symlinks=False).st_mtime >= launched
            )
    except OSError:
        return {}
    for name in logs:
        if words := _complaint(tail(folder / "jobs" / name)):
            found[words].append(str((folder / "jobs" / name).relative_to(store.root)))
    return dict(found)


def _complaint(text: str) -> str:
    lines = [line.strip() for line in _WARNING.sub("", text).splitlines()]
    said = [line for line in lines if _COMPLAINT.search(line) and not _ORDERLY.fullmatch(line)]
    own = [line for line in said if not _OF_SRUN.match(line)]
    reasons = [line for line in own if _REASON.match(line)]
    return one_line((reasons or own or said or [""])[-1])
