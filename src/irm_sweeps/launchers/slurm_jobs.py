"""The SLURM jobs of a sweep: which were submitted, and what SLURM says of them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from irm_sweeps import slurm
from irm_sweeps.errors import StoreError
from irm_sweeps.files.atomic import discard, make_folder, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, is_there, names_in, read_json
from irm_sweeps.launchers.job_pickles import discard_pickles
from irm_sweeps.slurm import JobState, JobsUnknownError, SlurmError
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store

JOB_NAME = "irm_sweeps"

_JOB_ID = re.compile(r"[0-9]{1,18}(_[0-9]{1,9})?")


class JobRecord:
    """The SLURM jobs submitted for a sweep, and to which cluster: `results/sweeps/<sweep>/jobs.json`.

    A token file stands while a submission is under way, so that one cut short is seen later.
    """

    def __init__(self, store: Store, manifest: Manifest) -> None:
        self._folder = manifest.folder(store)
        self._token = self._folder / f"submitting.{manifest.launch}"

    @property
    def path(self) -> Path:
        """Where the ids are."""
        return self._folder / "jobs.json"

    def ids(self) -> list[str]:
        """Return all ids ever submitted, e.g. `12_0`, in order; none if the record is damaged (see `cut_short`)."""
        return self._read() or []

    def _read(self) -> list[str] | None:
        """Return the ids, or None if the record is damaged."""
        try:
            jobs = [str(job) for job in read_json(self.path)["jobs"]]
        except FileNotFoundError:
            return []
        except (DamagedFile, KeyError, TypeError):
            return None
        return jobs if all(_JOB_ID.fullmatch(job) for job in jobs) else None

    def about_to_submit(self) -> None:
        """Write the token."""
        make_folder(self._folder)
        write_once(self._token, b"")

    def submitted(self, ids: Sequence[str]) -> None:
        """Record ids and remove the token."""
        if ids or self._read() is None:
            cluster = slurm.cluster_name() if ids else None
            clusters = self._clusters() | {_array(job): cluster for job in ids if cluster is not None}
            jobs = list(dict.fromkeys([*self.ids(), *ids]))
            write_atomically(self.path, to_json({"jobs": jobs, **({"clusters": clusters} if clusters else {})}))
        discard(self._token)

    def _clusters(self) -> dict[str, str]:
        """Return the cluster of each array where it is on record."""
        try:
            return {str(array): str(cluster) for array, cluster in read_json(self.path)["clusters"].items()}
        except (FileNotFoundError, DamagedFile, KeyError, TypeError, AttributeError):
            return {}

    def whereabouts(self) -> Whereabouts:
        """Return which of its jobs the cluster asked here can know; asks its name only where clusters are on record."""
        ids, clusters = self.ids(), self._clusters()
        if not ids:
            return Whereabouts()
        here = slurm.cluster_name() if clusters else None
        elsewhere = {job: name for job in ids if here and (name := clusters.get(_array(job), here)) != here}
        left = [job for job in ids if job not in elsewhere]
        certain = here is not None and all(_array(job) in clusters for job in left)
        return Whereabouts(left, elsewhere, certain, self._may_be_hidden())

    def _may_be_hidden(self) -> bool:
        """Return whether the jobs are another user's and SLURM does not show these."""
        try:
            owner = os.stat(self.path).st_uid
        except OSError:
            return True
        return os.geteuid() not in (0, owner) and slurm.hides_jobs_of_others()

    def cut_short(self) -> bool:
        """Return whether ids are missing from the record; `find_lost` finds them.

        It is damaged, or a launcher is, or died, between sbatch and the record.
        """
        return self._read() is None or self._tokens() != []

    def _tokens(self) -> list[Path] | None:
        """Return the tokens of submissions under way or cut short; None where they may not be listed."""
        try:
            return [self._folder / name for name in names_in(self._folder) if name.startswith("submitting.")]
        except StoreError:
            return None

    def find_lost(self) -> list[str]:
        """Record, and return, the queued jobs that are missing from the record; their batch script tells the sweep.

        Raises
        ------
        SlurmError
            SLURM does not answer; it is not asked where nothing was cut short.
        """
        if not self.cut_short():
            return []
        tokens = self._tokens() or []
        scripts = slurm.batch_scripts(JOB_NAME)
        folder_of_scripts = str(self._folder / "jobs") + "/"
        recorded = set(self.ids())
        lost = [job for job, path in scripts.items() if path.startswith(folder_of_scripts) and job not in recorded]
        self.submitted(lost)
        for token in tokens:
            discard(token)
        return lost

    def living(self) -> dict[str, JobState]:
        """Return the states of those of its jobs on this cluster that are queued or running, by id.

        Raises
        ------
        SlurmError
            SLURM does not answer.
        """
        try:
            return listed(self.whereabouts().here)
        except JobsUnknownError:
            return {}

    def discard_pickles_of_ended(self, queued: Collection[str]) -> None:
        """Remove what submitit wrote for its jobs that have begun and ended, where this cluster can tell."""
        whereabouts, folder = self.whereabouts(), self._folder / "jobs"
        if whereabouts.hidden:
            return
        ended = set(whereabouts.here) - set(queued)
        discard_pickles(folder, {job for job in ended if is_there(folder / f"{job}_0_log.out")})

    def cancel(self) -> list[str]:
        """Cancel what is queued or running; return its ids.

        Raises
        ------
        SlurmError
            SLURM does not answer, refuses, or is asked on another cluster than the one that may have jobs.
        """
        self.find_lost()
        ids = list(self.living())
        if ids:
            slurm.cancel(ids)
        elif elsewhere := self.whereabouts().elsewhere:
            raise SlurmError(f"nothing was cancelled: {_told_elsewhere(elsewhere)}")
        self.discard_pickles_of_ended(ids)
        discard_pickles(self._folder / "jobs", ids)
        return ids


@dataclass(frozen=True)
class Whereabouts:
    """What the cluster that is asked can know of a sweep's jobs.

    Attributes
    ----------
    here
        The jobs that it can know.
    elsewhere
        Jobs that another cluster was given -> its name.
    certain
        Whether it is on record that it was given all those in `here`.
    hidden
        Whether it may know jobs and not show them.
    """

    here: Sequence[str] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    certain: bool = True
    hidden: bool = False

    def doubt(self, listed: Collection[str], any_known: bool) -> str | None:
        """Return why jobs that squeue does not list may be queued or running all the same; None where they are not.

        Parameters
        ----------
        listed
            The jobs that it lists.
        any_known
            Whether it knows any of those that it was asked for.
        """
        if self.elsewhere:
            return _told_elsewhere(self.elsewhere)
        if self.hidden and not set(self.here) <= set(listed):
            return "they are another user's, whose jobs SLURM may hide"
        if self.here and not any_known and not self.certain:
            return "the cluster asked here knows none of them: they ended long ago, or are another cluster's"
        return None


def _told_elsewhere(elsewhere: Mapping[str, str]) -> str:
    names = ", ".join(sorted(set(elsewhere.values())))
    return f"{next(iter(elsewhere))}{' and more' if len(elsewhere) > 1 else ''} went to cluster {names}: ask there"


def _array(job: str) -> str:
    return job.partition("_")[0]


def listed(ids: Sequence[str]) -> dict[str, JobState]:
    """Return the states of those of these jobs that are queued or running, by id, in the order of `ids`.

    Raises
    ------
    JobsUnknownError
        The cluster knows none of them.
    SlurmError
        SLURM does not answer; where there are no ids it is not asked.
    """
    if not ids:
        return {}
    arrays = sorted({_array(job) for job in ids}, key=int)
    queued = slurm.queued_jobs(JOB_NAME, arrays)
    return {job: queued[job] for job in ids if job in queued}


def in_words(jobs: Mapping[str, tuple[str, str]]) -> str:
    """Return e.g. `2 RUNNING, 6 PENDING (Resources)`."""
    counts = Counter(state + (f" ({reason})" if state == "PENDING" else "") for state, reason in jobs.values())
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items(), reverse=True)) or "no jobs"
