"""Claims: at most one living worker trains a trial, with nothing but a shared directory to arbitrate.

A claim is a file `claim.<n>.json` in the trial's folder, complete from the moment it exists (it is
hard-linked into place, which fails if the name is taken, also on NFS). The highest n is in force. Who finds
its holder dead or done with it creates n + 1; of several who try, one succeeds. Names never come back while
a trial is open, so nobody can remove a claim that he has not seen. A file whose number no counting can have
reached is no claim: it would take the place of all that follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError
from irm_sweeps.files.atomic import discard, make_folder, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, UnreadableFile, is_there, names_in, read_json
from irm_sweeps.files.untrusted import MIB
from irm_sweeps.store.layout import CHECKPOINT, HISTORY, RESULT
from irm_sweeps.store.liveness import Process, age_of, this_process
from irm_sweeps.store.store import Store

MAX_DEATHS = 2
"""A trial whose workers died this often in one launch, without progress in between, has failed."""
_NAME = re.compile(r"claim\.([1-9][0-9]{0,17})\.json")
_LIKE_A_CLAIM = re.compile(r"claim\.[0-9]+\.json")
_LARGEST_GAP = 1_000_000
"""A file counts as a claim only if its number exceeds the number of the trial's claims by at most this: claims are
numbered one by one, and none is removed while the trial is open."""
TEMPORARY = (".claim.*", f".{RESULT}.*", f".{HISTORY}.*", f".{CHECKPOINT}.*", ".now.*")
"""What a writer that was killed may leave in a trial's folder."""


@dataclass(frozen=True)
class Claim:
    """One worker's hold on one trial.

    Attributes
    ----------
    n
        Generation: how many claims the trial has had, this one included.
    launch
        Which launch of the sweep the holder belongs to: deaths are counted per launch.
    deaths
        How many holders of this launch died on the trial before, with no new checkpoint in between. A release
        neither adds to it nor clears it.
    checkpoint
        Time stamp of the trial's checkpoint when it was claimed, 0 without one: has there been progress since?
    released
        The holder gave it up in an orderly way.
    step, steps
        Where the training is, for `irm-sweeps status`.
    seconds_since_step
        When it was renewed: seconds since the last step, or since the training began. None until the first renewal, and
        in claims of earlier versions.
    longest_step
        Seconds of the longest step so far; None as above, and before the second step.
    seconds_per_step
        Mean seconds of a step of this holder's but for its first, evaluations included; None as above.
    """

    path: Path
    n: int
    holder: Process
    launch: str
    deaths: int
    checkpoint: float
    released: bool = False
    step: int = 0
    steps: int = 0
    stack: int = 1
    seconds_since_step: float | None = None
    longest_step: float | None = None
    seconds_per_step: float | None = None

    def content(self) -> bytes:
        """Return the file's bytes."""
        return to_json(
            {
                "holder": self.holder.as_json(),
                "launch": self.launch,
                "deaths": self.deaths,
                "checkpoint": self.checkpoint,
                "released": self.released,
                "step": self.step,
                "steps": self.steps,
                "stack": self.stack,
                "seconds_since_step": self.seconds_since_step,
                "longest_step": self.longest_step,
                "seconds_per_step": self.seconds_per_step,
            }
        )

    @classmethod
    def read(cls, path: Path, n: int) -> Claim:
        """Read a claim.

        Raises
        ------
        DamagedFile
            It is none.
        FileNotFoundError
            It is gone.
        """
        values: Any = read_json(path, MIB)
        try:
            return cls(
                path,
                n,
                Process.from_json(values["holder"]),
                str(values["launch"]),
                int(values["deaths"]),
                float(values["checkpoint"]),
                bool(values["released"]),
                int(values["step"]),
                int(values["steps"]),
                int(values["stack"]),
                _seconds(values.get("seconds_since_step")),
                _seconds(values.get("longest_step")),
                _seconds(values.get("seconds_per_step")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFile(f"{path}: not a claim ({error!r})") from None

    def is_in_force(self) -> bool:
        """Return whether the holder lives and has not released it."""
        if self.released:
            return False
        try:
            return self.holder.is_alive(self.path)
        except FileNotFoundError:
            return False

    def is_doubtful(self) -> bool:
        """Return whether it is in force, but perhaps not for long: its holder may be dead."""
        try:
            return not self.released and self.holder.may_be_dead(self.path)
        except FileNotFoundError:
            return False

    def seconds_since_step_now(self) -> float | None:
        """Return the seconds since the training's last step, or since its beginning; None where it is not known.

        Raises
        ------
        FileNotFoundError
            The claim is gone.
        """
        return None if self.seconds_since_step is None else self.seconds_since_step + max(0.0, age_of(self.path))

    def renew(
        self,
        step: int,
        steps: int | None = None,
        seconds_since_step: float | None = None,
        longest_step: float | None = None,
        seconds_per_step: float | None = None,
    ) -> Claim:
        """Tell the others that this worker lives, where it is, and of how many steps if that has become known."""
        renewed = replace(
            self,
            step=step,
            steps=self.steps if steps is None else steps,
            seconds_since_step=seconds_since_step,
            longest_step=longest_step,
            seconds_per_step=seconds_per_step,
        )
        write_atomically(self.path, renewed.content())
        return renewed

    def release(self, step: int) -> None:
        """Give the trial up; the next worker may take it at once, and it does not count as a death."""
        write_atomically(self.path, replace(self, released=True, step=step).content())

    def is_latest(self) -> bool:
        """Return whether nobody has taken the trial over since."""
        newest = _numbers(self.path.parent)
        return bool(newest) and newest[-1] == self.n


def _seconds(value: Any) -> float | None:
    return None if value is None else float(value)


def current(store: Store, trial_id: str) -> Claim | None:
    """Return the claim with the highest number, in force or not; a damaged one counts as given up.

    Raises
    ------
    StoreError
        It cannot be read, and may well be in force: another user's, or the file server fails.
    """
    folder = store.folder(trial_id)
    numbers = _numbers(folder)
    return _read(folder, numbers[-1]) if numbers else None


def in_force(store: Store, trial_id: str) -> Claim | None:
    """Return the claim of the living worker that holds a trial, None where nobody does; raises as `current`."""
    claim = current(store, trial_id)
    return claim if claim is not None and claim.is_in_force() else None


def every(store: Store, trial_id: str) -> list[Claim]:
    """Return all claims that the trial has had since it was begun, the latest last; raises as `current`."""
    folder = store.folder(trial_id)
    return [claim for n in _numbers(folder) if (claim := _read(folder, n)) is not None]


def _read(folder: Path, n: int) -> Claim | None:
    path = folder / f"claim.{n}.json"
    try:
        return Claim.read(path, n)
    except FileNotFoundError:
        return None
    except UnreadableFile as error:
        raise StoreError(f"{error}, so nobody knows whether the trial is being trained") from None
    except DamagedFile:
        nobody = Process("unknown", "unknown", 0, 0, None, 0)
        return Claim(path, n, nobody, "", 0, 0.0, released=True)


def acquire(store: Store, trial_id: str, launch: str, steps: int, stack: int) -> Claim | None:
    """Claim a trial; None if it is done or in another living worker's hands."""
    folder = store.own_folder(trial_id)
    if store.has_result(trial_id):
        return None
    before = current(store, trial_id)
    if before is not None and before.is_in_force():
        return None
    make_folder(folder, parents=False)
    claim = Claim(
        path=folder / f"claim.{(before.n if before else 0) + 1}.json",
        n=(before.n if before else 0) + 1,
        holder=this_process(),
        launch=launch,
        deaths=_deaths(before, launch, folder),
        checkpoint=_checkpoint_time(folder),
        steps=steps,
        stack=stack,
    )
    if not _create(claim):
        return None
    if store.has_result(trial_id):
        # Finished between the look and the claim: its worker removed claims n and below, not this one.
        discard(claim.path)
        return None
    return claim


def _deaths(before: Claim | None, launch: str, folder: Path) -> int:
    if before is None or before.launch != launch:
        return 0
    before_it = before.deaths if _checkpoint_time(folder) == before.checkpoint else 0
    return before_it if before.released else before_it + 1


def _checkpoint_time(folder: Path) -> float:
    try:
        return (folder / CHECKPOINT).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _create(claim: Claim) -> bool:
    try:
        # A claim that a power cut erases has lost its holder too.
        return write_once(claim.path, claim.content(), durable=False)
    except StoreError:
        if is_there(claim.path.parent / RESULT):
            return False  # whoever finished the trial has tidied up
        raise


def clear(store: Store, trial_id: str) -> None:
    """Remove what a trial that has its result needs no more: claims, checkpoint, what killed writers left half-done.

    What cannot be removed stays; it harms nobody.
    """
    folder = store.own_folder(trial_id)
    try:
        names = names_in(folder)
    except StoreError:
        return
    for name in names:
        if _LIKE_A_CLAIM.fullmatch(name) or name == CHECKPOINT or _is_temporary(name):
            discard(folder / name)


def _is_temporary(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in TEMPORARY)


def tidy(store: Store, trial_ids: Iterable[str]) -> None:
    """Clear those of these trials that have a result: a worker may have been killed between the two."""
    for trial_id in trial_ids:
        if store.has_result(trial_id):
            clear(store, trial_id)


def _numbers(folder: Path) -> list[int]:
    numbers = sorted(int(found[1]) for name in names_in(folder) if (found := _NAME.fullmatch(name)))
    return [n for n in numbers if n <= len(numbers) + _LARGEST_GAP]
