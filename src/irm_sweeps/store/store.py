"""The store: `results/<trial id>/` holds what is known of a trial, and a shared folder is all it needs.

results/<trial id>/result.json       the result, once there is one
                   history.jsonl     risks and penalty over training; rows are added while it trains
                   log.txt           what the trial printed, also when it failed
                   origin.json       the archive that it was unpacked from, if it was
                   claim.<n>.json    who works on it (see `claims`), until it is done
                   checkpoint.safetensors   where it stands, until it is done
                   mlflow_run.txt    with `logger=mlflow`: the id of its run
results/sweeps/<sweep>/manifest.json     a sweep's trials
                       code/             the user's own modules as they were when it was launched (see `code`)
                       workers/          a file for each living worker (see `worker.registry`)
                       finished.<launch>/   what its workers have told that is done (see `finished`)
                       stop.<launch>     with `on_error=stop`: a trial of the launch has failed
                       jobs/, jobs.json, submitting.<launch>   logs of its workers, and its SLURM jobs
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError, UserError, one_line
from irm_sweeps.files.atomic import discard, make_folder, refuse_link, sync, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, is_folder, is_there, names_in, read_fresh, refusal
from irm_sweeps.files.untrusted import parse_json
from irm_sweeps.store.history import HistoryRow
from irm_sweeps.store.layout import CHECKPOINT, HISTORY, ORIGIN, RESULT
from irm_sweeps.store.reader import LARGEST_RESULT, LONGEST_HISTORY, Reader
from irm_sweeps.store.result import Result
from irm_sweeps.store.schema import TRIAL_ID


class NotStorable(UserError):
    """What is to be written could not be read back: too large, not finite, or not of the form of a result."""


def result_bytes(result: Mapping[str, Any]) -> bytes:
    """Return the bytes of a result file, which `Store.result` can read.

    Raises
    ------
    NotStorable
        It could not.
    """
    try:
        content = to_json(result)
        if len(content) > LARGEST_RESULT:
            raise ValueError(f"it has {len(content):,} bytes, more than {LARGEST_RESULT:,}")
        Result.from_values(parse_json(content))
    except (ValueError, TypeError, RecursionError) as error:
        raise NotStorable(f"its result could not be read back: {one_line(str(error))}") from None
    return content


def history_bytes(history: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the bytes of a history file, which `Store.history` can read.

    Raises
    ------
    NotStorable
        It could not.
    """
    lines, size = [], 0
    for number, row in enumerate(history, start=1):
        lines.append(row_bytes(row, number))
        size += len(lines[-1])
        if size > LONGEST_HISTORY:
            raise NotStorable(
                f"row {number} of its history could not be read back: the history has more than "
                f"{LONGEST_HISTORY:,} bytes"
            )
    return b"".join(lines)


def row_bytes(row: Mapping[str, Any], number: int) -> bytes:
    """Return the line of one row of a history, the `number`-th.

    Raises
    ------
    NotStorable
        It could not be read back.
    """
    try:
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        HistoryRow.from_values(parse_json(line))
    except (ValueError, TypeError, RecursionError) as error:
        raise NotStorable(f"row {number} of its history could not be read back: {one_line(str(error))}") from None
    return line


def check_trial_id(trial_id: str) -> None:
    """Check that a name is a trial id, and so names no other folder.

    Raises
    ------
    UserError
        It is none.
    """
    if not TRIAL_ID.fullmatch(trial_id):
        raise UserError(f"{trial_id!r:.80} is no trial id: 16 hexadecimal digits")


class Store(Reader):
    """A results directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)

    def folder(self, trial_id: str) -> Path:
        """Return the trial's folder, which need not exist.

        Raises
        ------
        UserError
            It is no trial id, and so might name any folder.
        """
        check_trial_id(trial_id)
        return self.root / trial_id

    def own_folder(self, trial_id: str) -> Path:
        """Return the trial's folder for writing.

        Raises
        ------
        StoreError
            It is a symbolic link, and so leads out of the store.
        """
        folder = self.folder(trial_id)
        refuse_link(folder)
        return folder

    def prepare(self) -> None:
        """Create the directory and check that it can be written, and that claims can be made in it.

        Raises
        ------
        StoreError
            They cannot, e.g. because the disk is full.
        """
        if is_there(self.root) and not is_folder(self.root):
            raise StoreError(f"results={self.root} is a file: give a directory")
        try:
            make_folder(self.root)
        except StoreError as error:
            raise StoreError(f"results={self.root}: {error}: give a directory that you may write") from None
        probe = self.root / f".probe.{secrets.token_hex(6)}"
        link = probe.with_name(f"{probe.name}.link")
        try:
            probe.write_bytes(b"x" * 4096)
        except OSError as error:
            raise StoreError(
                f"results={self.root} cannot be written: {error.strerror or error}: give a directory that you may write"
            ) from None
        else:
            self._check_links(probe, link)
        finally:
            discard(probe)
            discard(link)

    def _check_links(self, probe: Path, link: Path) -> None:
        try:
            os.link(probe, link)
        except OSError as error:
            raise StoreError(
                f"results={self.root}: its file system makes no hard links ({error.strerror or error}), "
                "which claims on trials need: choose another"
            ) from None

    def content(self, trial_id: str, name: str, at_most: int) -> bytes | None:
        """Return the bytes of one of a trial's files, or None if it has no such file.

        Raises
        ------
        DamagedFile
            It is a link, or lies in a folder that is one; it is a pipe or a folder, too large, or cannot be read.
        """
        check_trial_id(trial_id)
        folder = f"{self._root}/{trial_id}"  # thousands are read at once: a `Path` takes as long as the reading
        if os.path.islink(folder):
            raise DamagedFile(f"{folder}/{name}: in a folder that is a symbolic link, which is not followed")
        try:
            return read_fresh(f"{folder}/{name}", at_most)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise refusal(self.folder(trial_id) / name, error) from None

    def has_result(self, trial_id: str) -> bool:
        """Return whether the trial has a result file, readable or not: one look, for those who ask often.

        Raises
        ------
        StoreError
            This user may not look into the trial's folder.
        """
        return is_there(self.folder(trial_id) / RESULT)

    def trial_ids(self) -> list[str]:
        """Return the ids of all trials that the store has a folder of, with or without a result."""
        return sorted(name for name in names_in(self.root) if TRIAL_ID.fullmatch(name))

    def write_result(self, result: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> bool:
        """Write history and result, in this order: whoever sees a result sees the whole trial.

        False, and nothing changes, if the trial has a result by now: the first one stays.

        Raises
        ------
        NotStorable
            A reader would take the files for damaged: nothing is written.
        """
        trial_id = result["trial_id"]
        self.own_folder(trial_id)
        if self.has_result(trial_id):
            return False
        return self._write(trial_id, result_bytes(result), {HISTORY: history_bytes(history)})

    def import_result(self, trial_id: str, result: bytes, history: bytes | None, origin: bytes) -> bool:
        """Write the files of a result that was made elsewhere, the result last; False as in `write_result`."""
        self.own_folder(trial_id)
        if self.has_result(trial_id):
            return False
        return self._write(trial_id, result, {ORIGIN: origin, **({} if history is None else {HISTORY: history})})

    def _write(self, trial_id: str, result: bytes, others: Mapping[str, bytes]) -> bool:
        """Write a result and before it the files beside it; return False if the trial has a result by now."""
        folder = self.own_folder(trial_id)
        make_folder(folder, parents=False)
        for name, content in others.items():
            write_atomically(folder / name, content)
        written = write_once(folder / RESULT, result)
        sync(self.root)
        return written

    def retire(self, trial_id: str, word: str) -> None:
        """Move a result aside (`result.WORD.N.json`), so that the trial can run again and nothing is lost.

        Does nothing if somebody else has just done so.
        """
        folder = self.own_folder(trial_id)
        if word != "damaged":
            # Left by a worker that was killed just after it had written the result: the trial begins anew.
            discard(folder / CHECKPOINT)
        n = 1
        while (target := folder / f"result.{word}.{n}.json").exists():
            n += 1
        try:
            os.replace(folder / RESULT, target)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"cannot move {folder / RESULT} aside: {error.strerror or error}") from error
