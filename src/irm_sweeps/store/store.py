"""The store: `results/<trial id>/` holds what is known of a trial, and a shared folder is all it needs.

results/<trial id>/result.json       the result, once there is one
                   history.jsonl     risks and penalty over training
                   log.txt           what the trial printed, also when it failed
                   claim.<n>.json    who works on it (see `claims`), until it is done
                   checkpoint.safetensors   where it stands, until it is done
                   mlflow_run.txt    with `logger=mlflow`: the id of its run
results/sweeps/<sweep>/manifest.json     a sweep's trials
                       code/             the user's own modules as they were when it was launched (see `code`)
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irm_sweeps.errors import StoreError, UserError, one_line
from irm_sweeps.files.atomic import discard, make_folder, refuse_link, sync, to_json, write_atomically, write_once
from irm_sweeps.files.reading import DamagedFile, is_folder, is_there, names_in, read_fresh, read_json, refusal
from irm_sweeps.files.untrusted import MIB, parse_json
from irm_sweeps.store.history import Row
from irm_sweeps.store.layout import CHECKPOINT, HISTORY, RESULT
from irm_sweeps.store.result import Result
from irm_sweeps.store.schema import TRIAL_ID

LARGEST_RESULT = 16 * MIB
"""Most bytes of a result."""
LONGEST_HISTORY = 1024 * MIB
"""Most bytes of a history; a million rows have a tenth of it."""


class NotStorable(UserError):
    """What is to be written could not be read back: too large, not finite, or not of the form of a result."""


@dataclass(frozen=True)
class Problem:
    """A file in the store that is damaged or not ours: named and skipped, never deleted."""

    path: Path
    reason: str


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
        try:
            lines.append((json.dumps(row, allow_nan=False) + "\n").encode())
            size += len(lines[-1])
            if size > LONGEST_HISTORY:
                raise ValueError(f"the history has more than {LONGEST_HISTORY:,} bytes")
            Row.from_values(parse_json(lines[-1]))
        except (ValueError, TypeError, RecursionError) as error:
            raise NotStorable(f"row {number} of its history could not be read back: {one_line(str(error))}") from None
    return b"".join(lines)


class Store:
    """A results directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, trial_id: str) -> Path:
        """Return the trial's folder, which need not exist.

        Raises
        ------
        UserError
            It is no trial id, and so might name any folder.
        """
        if not TRIAL_ID.fullmatch(trial_id):
            raise UserError(f"{trial_id!r:.80} is no trial id: 16 hexadecimal digits")
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

    def result(self, trial_id: str) -> Result | None:
        """Return the trial's result, or None if it has none.

        Raises
        ------
        DamagedFile
            There is a result file, but it is no valid result of this trial.
        """
        path = self.folder(trial_id) / RESULT
        if os.path.islink(path.parent):
            raise DamagedFile(f"{path}: in a folder that is a symbolic link, which is not followed")
        try:
            result = Result.from_values(read_json(path, LARGEST_RESULT))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise DamagedFile(f"{path}: {error}") from None
        if result.trial_id != trial_id:
            raise DamagedFile(f"{path}: of trial {result.trial_id}, not {trial_id}")
        return result

    def history(self, trial_id: str) -> list[Row] | None:
        """Return the rows of the trial's history, or None if it has none.

        Raises
        ------
        DamagedFile
            There is a file, but a line of it is no row, or the result counts more or fewer rows.
        """
        path = self.folder(trial_id) / HISTORY
        number = 0
        try:
            refuse_link(path.parent)
            rows = []
            for number, line in enumerate(read_fresh(path, LONGEST_HISTORY).splitlines(), start=1):  # noqa: B007
                rows.append(Row.from_values(parse_json(line)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except StoreError as error:
            raise DamagedFile(str(error)) from None
        except OSError as error:
            raise refusal(path, error) from None
        except ValueError as error:
            raise DamagedFile(f"{path}, line {number}: {error}") from None
        if (counted := self._rows_counted(trial_id)) not in (None, len(rows)):
            raise DamagedFile(f"{path}: the result counts {counted} rows, and it has {len(rows)}")
        return rows

    def _rows_counted(self, trial_id: str) -> int | None:
        """Return how many rows the history had when the result was written, where a readable result says so."""
        try:
            result = self.result(trial_id)
        except DamagedFile:  # which whoever asks for the result is told
            return None
        return None if result is None else result.history_rows

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

    def results(self) -> Iterator[Result | Problem]:
        """Yield every result in the store, and a `Problem` for every file that should be one and is not."""
        for name in self.trial_ids():
            try:
                result = self.result(name)
            except DamagedFile as damage:
                yield Problem(self.folder(name) / RESULT, str(damage))
            else:
                if result is not None:
                    yield result

    def write_result(self, result: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> bool:
        """Write history and result, in this order: whoever sees a result sees the whole trial.

        False, and nothing changes, if the trial has a result by now: the first one stays.

        Raises
        ------
        NotStorable
            A reader would take the files for damaged: nothing is written.
        """
        folder = self.own_folder(result["trial_id"])
        if self.has_result(result["trial_id"]):
            return False
        content, lines = result_bytes(result), history_bytes(history)
        make_folder(folder, parents=False)
        write_atomically(folder / HISTORY, lines)
        written = write_once(folder / RESULT, content)
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

    def find(self, prefix: str) -> str:
        """Return the one trial id that starts with `prefix`.

        Raises
        ------
        UserError
            None does, or several do.
        """
        ids = [name for name in self.trial_ids() if prefix and name.startswith(prefix)]
        if len(ids) == 1:
            return ids[0]
        what = f"{len(ids)} trials start with it: {', '.join(ids[:5])}" if ids else "no trial starts with it"
        raise UserError(f"ID {prefix!r}: {what} in {self.root}")
