"""The SLURM jobs of a sweep: which were submitted, and what SLURM says of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from irm_sweeps import slurm
from irm_sweeps.errors import StoreError
from irm_sweeps.files.atomic import discard, make_folder, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, is_there, names_in, read_json
from irm_sweeps.launchers.job_pickles import discard_pickles
from irm_sweeps.slurm import JobState
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store

JOB_NAME = "irm_sweeps"

_JOB_ID = re.compile(r"[0-9]{1,18}(_[0-9]{1,9})?")


class JobRecord:
    """The SLURM jobs submitted for a sweep: `results/sweeps/<sweep>/jobs.json`.

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
            write_atomically(self.path, to_json({"jobs": list(dict.fromkeys([*self.ids(), *ids]))}))
        discard(self._token)

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
        """Return the states of those of its jobs that are queued or running, by id; raises as `living`."""
        return living(self.ids())

    def discard_pickles_of_ended(self, queued: Collection[str]) -> None:
        """Remove what submitit wrote for those of its jobs that have begun and are not among the queued or running."""
        folder = self._folder / "jobs"
        ended = set(self.ids()) - set(queued)
        discard_pickles(folder, {job for job in ended if is_there(folder / f"{job}_0_log.out")})

    def cancel(self) -> list[str]:
        """Cancel what is queued or running; return its ids.

        Raises
        ------
        SlurmError
            SLURM does not answer, or refuses.
        """
        self.find_lost()
        ids = list(self.living())
        if ids:
            slurm.cancel(ids)
        self.discard_pickles_of_ended(ids)
        discard_pickles(self._folder / "jobs", ids)
        return ids


def living(ids: Sequence[str]) -> dict[str, JobState]:
    """Return the states of those of these jobs that are queued or running, by id, in the order of `ids`.

    Raises
    ------
    SlurmError
        SLURM does not answer; where there are no ids it is not asked.
    """
    if not ids:
        return {}
    arrays = sorted({job.partition("_")[0] for job in ids}, key=int)
    queued = slurm.queued_jobs(JOB_NAME, arrays)
    return {job: queued[job] for job in ids if job in queued}


def in_words(jobs: Mapping[str, tuple[str, str]]) -> str:
    """Return e.g. `2 RUNNING, 6 PENDING (Resources)`."""
    counts = Counter(state + (f" ({reason})" if state == "PENDING" else "") for state, reason in jobs.values())
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items(), reverse=True)) or "no jobs"
