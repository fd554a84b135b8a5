"""The SLURM jobs of a sweep: which were submitted, and what SLURM says of them."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from irm_sweeps.errors import UserError
from irm_sweeps.files.atomic import discard, make_folder, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, read_json
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store

JOB_NAME = "irm_sweeps"

_JOB_ID = re.compile(r"[0-9]{1,18}(_[0-9]{1,9})?")


class SlurmError(UserError):
    """SLURM's commands are missing here, or its controller does not answer."""


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
        """Leave the token."""
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
        return self._read() is None or any(self._folder.glob("submitting.*"))

    def find_lost(self) -> list[str]:
        """Record, and return, the queued jobs that the record should have and has not, by their batch script.

        Raises
        ------
        SlurmError
            SLURM does not answer; it is not asked where nothing was cut short.
        """
        if not self.cut_short():
            return []
        tokens = list(self._folder.glob("submitting.*"))
        answer = ask(["squeue", "--noheader", "--array", f"--name={JOB_NAME}", "--format=%i|%o"])
        scripts = str(self._folder / "jobs") + "/"
        rows = [line.partition("|") for line in answer.splitlines()]
        known = set(self.ids())
        lost = [job for job, _, script in rows if script.startswith(scripts) and job not in known]
        self.submitted(lost)
        for token in tokens:
            discard(token)
        return lost

    def living(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of its jobs, as `living`."""
        return living(self.ids())

    def cancel(self) -> list[str]:
        """Cancel what is queued or running; return its ids.

        Raises
        ------
        SlurmError
            SLURM does not answer, or refuses.
        """
        self.find_lost()
        living = list(self.living())
        if living:
            ask(["scancel", *living])
        return living


def living(ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return state and reason of those of these jobs that SLURM still has queued or running, by id.

    Raises
    ------
    SlurmError
        SLURM does not answer; where there are no ids it is not asked.
    """
    if not ids:
        return {}
    arrays = sorted({job.partition("_")[0] for job in ids}, key=int)
    command = ["squeue", "--noheader", "--array", f"--name={JOB_NAME}", "--format=%i|%T|%r", "--jobs", ",".join(arrays)]
    try:
        answer = ask(command)
    except SlurmError as error:
        if "Invalid job id" in str(error):  # all of them ended long ago
            return {}
        raise
    found = {}
    for line in answer.splitlines():
        job, state, reason = line.split("|", 2)
        found[job] = (state, reason)
    return {job: found[job] for job in ids if job in found}


def in_words(jobs: Mapping[str, tuple[str, str]]) -> str:
    """Return e.g. `2 RUNNING, 6 PENDING (Resources)`."""
    said = Counter(state + (f" ({reason})" if state == "PENDING" else "") for state, reason in jobs.values())
    return ", ".join(f"{n} {state}" for state, n in sorted(said.items(), reverse=True)) or "no jobs"


def max_array_size() -> int:
    """Return the site's MaxArraySize; 1001, SLURM's default, where it cannot be asked."""
    try:
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask(["scontrol", "show", "config"]))
    except SlurmError:
        found = None
    return int(found[1]) if found else 1001


def ask(command: Sequence[str]) -> str:
    """Return what one of SLURM's commands prints.

    Raises
    ------
    SlurmError
        It is missing here, fails, or takes more than a minute; the message is SLURM's own.
    """
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise SlurmError(f"no {command[0]} on this machine") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlurmError(f"{command[0]}: {error}") from None
    if answer.returncode != 0:
        raise SlurmError(f"{command[0]}: {in_one_line(answer.stderr)}")
    return answer.stdout


def in_one_line(error: Exception | str) -> str:
    """Return SLURM's complaint on one line."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line.strip()) for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith("Try ")]
    return "; ".join(said[-3:]) or repr(error)
