"""Removing submitit's pickles once nothing reads them any more.

submitit hands a worker its task in `jobs/<job>_submitted.pkl` and leaves what the worker returned, which is nothing,
in `jobs/<job>_<task>_result.pkl`. A job that SLURM starts again reads the first once more.
"""

from __future__ import annotations

import atexit
import os
import re
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from irm_sweeps import slurm
from irm_sweeps.errors import StoreError
from irm_sweeps.files.atomic import discard
from irm_sweeps.files.reading import names_in

_PICKLE = re.compile(r"(?P<job>[0-9]{1,18}(_[0-9]{1,9})?)_(submitted|[0-9]{1,9}_result)\.pkl", re.ASCII)


def discard_pickles(folder: Path, jobs: Collection[str]) -> None:
    """Remove the pickles of these jobs, which have ended for good, from a sweep's folder `jobs`."""
    for path, job in _pickles(folder):
        if job in jobs:
            discard(path)


def discard_earlier_pickles(folder: Path, slurm_jobs: Collection[str]) -> None:
    """Remove the pickles of workers on any machine that were started before the sweep's last launch.

    A worker that no job of SLURM's runs reads its task once, when it starts.
    """
    with suppress(OSError):
        launched = os.lstat(folder.parent / "manifest.json").st_mtime
        for path, job in _pickles(folder):
            if job not in slurm_jobs and os.lstat(path).st_mtime < launched:
                discard(path)


def discard_own_pickles_at_exit(folder: Path) -> None:
    """Remove this worker's pickles from `folder` when its process ends, which has done all that there was to do.

    The tasks of a SLURM job share the file that was submitted: one of several that is yet to start would find it gone.
    """
    if Path(os.environ.get("SUBMITIT_FOLDER", "/")).absolute() != folder.absolute():
        return
    if slurm.is_submitted_task() and slurm.has_several_tasks():
        return
    from submitit import JobEnvironment

    paths = JobEnvironment().paths
    atexit.register(discard, paths.submitted_pickle)
    atexit.register(discard, paths.result_pickle)


def _pickles(folder: Path) -> list[tuple[Path, str]]:
    """Return every pickle in a sweep's folder `jobs`, and the job that it is of."""
    try:
        found = [_PICKLE.fullmatch(name) for name in names_in(folder)]
    except StoreError:
        return []
    return [(folder / match[0], match["job"]) for match in found if match]
