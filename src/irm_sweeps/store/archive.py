"""Archives: the results and histories of many trials in one zip file, which is read like a store.

0094c5628f9cd9b4/history.jsonl    as in the store, byte for byte; logs, checkpoints and claims stay there
0094c5628f9cd9b4/result.json
...                               every trial that has a result, in the order of the ids
contents.json                     the sha256 of each file before it

The same results give the same bytes on every machine: dates and modes are constant, and the files are compressed as
bzip2, whose encoder has not changed since 2000. Those of zlib differ between its versions.
"""

from __future__ import annotations

import bz2
import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import SEEK_END, BufferedReader
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field

from irm_sweeps.errors import UserError, one_line
from irm_sweeps.files.atomic import replacing, to_json
from irm_sweeps.files.reading import DamagedFile, is_folder, is_there
from irm_sweeps.files.untrusted import MIB, open_regular, parse_json
from irm_sweeps.store.layout import HISTORY, RESULT
from irm_sweeps.store.origin import Sha256
from irm_sweeps.store.reader import LARGEST_RESULT, LONGEST_HISTORY, Reader
from irm_sweeps.store.schema import SCHEMA, Part, validated
from irm_sweeps.store.store import Store

CONTENTS = "contents.json"
LARGEST_CONTENTS = 64 * MIB
"""Most bytes of `contents.json`, and of a zip file's own list of its files: those of 300,000 trials have fewer."""
MOST_EXPANSION = 200
"""Unpacked, an archive of more than a few trials has at most this many times its size; results have about 10 times."""
_NEVER_TOO_LARGE = 64 * MIB

_MOST_BYTES = {HISTORY: LONGEST_HISTORY, RESULT: LARGEST_RESULT}
"""The files of a trial, in their order in the archive, with the most bytes of each."""
_NAME = re.compile(rf"[0-9a-f]{{16}}/({'|'.join(map(re.escape, _MOST_BYTES))})|{re.escape(CONTENTS)}")
_MODE = (stat.S_IFREG | 0o644) << 16
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_MALFORMED = (ValueError, EOFError, OverflowError, RuntimeError, NotImplementedError, struct.error, zipfile.BadZipFile)


class _Contents(Part):
    """What `contents.json` holds."""

    schema_: Literal[1] = Field(alias="schema")
    files: dict[str, Sha256]

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        return validated(cls, parse_json(content))


@dataclass(frozen=True)
class _Member:
    """Where a file lies in the archive, and its sizes there and unpacked in bytes."""

    name: str
    offset: int
    packed: int
    size: int

    def read(self, file: BufferedReader) -> bytes:
        """Return the file's content.

        Raises
        ------
        ValueError, OSError, struct.error
            It is not of the size that the archive states, or not compressed as bzip2.
        """
        file.seek(self.offset)
        signature, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        if signature != b"PK\3\4" or file.read(name) != self.name.encode():
            raise ValueError("the list of files has it in the wrong place")
        file.seek(extra, 1)
        content = bz2.BZ2Decompressor().decompress(file.read(self.packed), max_length=self.size + 1)
        if len(content) != self.size:
            relation = "more" if len(content) > self.size else "fewer"
            raise ValueError(f"it has {relation} than the {self.size:,} bytes that the list of files states")
        return content


class Archive(Reader):
    """The results in an archive.

    Only the list of its files is read at first. Each file is checked against its sha256 when it is read.

    Raises
    ------
    UserError
        The file is no archive of `irm-sweeps pack`, cannot be read, or would grow out of proportion.
    """

    def __init__(self, path: Path) -> None:
        self.root = path
        try:
            with open_regular(path, follow=True) as file:
                self._members = _members(file)
                contents = self._members.pop(CONTENTS, None)
                if contents is None:
                    raise ValueError(f"it has no {CONTENTS}")
                self._sha256 = _Contents.from_bytes(contents.read(file)).files
            self._check_names()
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
        except _MALFORMED as error:
            reason = one_line(str(error)) or type(error).__name__
            raise UserError(
                f"{path} is a file, and no archive of `irm-sweeps pack` ({reason}): "
                "give a directory, or an intact archive"
            ) from None

    def _check_names(self) -> None:
        if others := self._members.keys() ^ self._sha256.keys():
            raise ValueError(f"{CONTENTS} and the list of files differ in {min(others)!r:.60}")
        for name in self._members:
            if (result := f"{name.partition('/')[0]}/{RESULT}") not in self._members:
                raise ValueError(f"{name} is there without {result}")

    def trial_ids(self) -> list[str]:
        """Return the ids of all trials, in order."""
        return sorted({name.partition("/")[0] for name in self._members})

    def content(self, trial_id: str, name: str, at_most: int) -> bytes | None:
        """Return the bytes of one of a trial's files, or None if it has no such file.

        Raises
        ------
        DamagedFile
            It is not what `contents.json` says, has more than `at_most` bytes, or cannot be read.
        """
        member = self._members.get(f"{trial_id}/{name}")
        if member is None:
            return None
        try:
            if member.size > at_most:
                raise ValueError(f"larger than {at_most // MIB} MiB")
            with open_regular(self.root, follow=True) as file:
                content = member.read(file)
        except (OSError, *_MALFORMED) as error:
            raise DamagedFile(f"{self.root / member.name}: {error}") from None
        if hashlib.sha256(content).hexdigest() != self._sha256[member.name]:
            raise DamagedFile(f"{self.root / member.name}: its sha256 is not the one in {CONTENTS}")
        return content

    def sha256(self) -> str:
        """Return the sha256 of the whole file.

        Raises
        ------
        UserError
            It cannot be read any more.
        """
        try:
            with open_regular(self.root, follow=True) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UserError(f"{self.root} cannot be read: {error.strerror or error}") from None


class _BoundedReads:
    """A file of which no more than `LARGEST_CONTENTS` bytes are read at once, as zipfile would at an archive's word."""

    def __init__(self, file: BufferedReader) -> None:
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > LARGEST_CONTENTS:
            raise ValueError(f"its list of files is larger than {LARGEST_CONTENTS // MIB} MiB")
        return self._file.read(size)


def _members(file: BufferedReader) -> dict[str, _Member]:
    """Return every file that an archive lists by name.

    Raises
    ------
    ValueError, zipfile.BadZipFile
        It is no zip file, or `write_archive` would not write such a list.
    """
    members: dict[str, _Member] = {}
    with zipfile.ZipFile(cast(Any, _BoundedReads(file))) as archive:
        for info in archive.infolist():
            _check_listed(info)
            if info.filename in members:
                raise ValueError(f"{info.filename} is there twice")
            members[info.filename] = _Member(info.filename, info.header_offset, info.compress_size, info.file_size)
    total, size = sum(member.size for member in members.values()), file.seek(0, SEEK_END)
    if total > max(_NEVER_TOO_LARGE, MOST_EXPANSION * size):
        raise ValueError(f"{size:,} bytes would unpack to {total:,}, more than {MOST_EXPANSION} times as many")
    return members


def _check_listed(info: zipfile.ZipInfo) -> None:
    name = f"{info.filename!r:.60}"
    if not (match := _NAME.fullmatch(info.filename)):
        raise ValueError(f"{name} is no file of an archive")
    if info.external_attr != _MODE:
        raise ValueError(f"{name} is not marked as an ordinary file")
    if info.compress_type != zipfile.ZIP_BZIP2 or info.flag_bits:
        raise ValueError(f"{name} is encrypted, or not compressed as bzip2: it was written by another program")
    if info.compress_size > info.file_size + info.file_size // 50 + 1024:
        raise ValueError(f"{name} takes more room than it has content")
    if info.file_size > (most := _MOST_BYTES.get(match[1], LARGEST_CONTENTS)):
        raise ValueError(f"{name} is larger than {most // MIB} MiB")


def open_reader(path: Path) -> Reader:
    """Return what reads a path: a store, there or not yet, or an archive.

    Raises
    ------
    UserError
        It is a file and no archive.
    """
    return Archive(path) if is_there(path) and not is_folder(path) else Store(path)


@dataclass(frozen=True)
class Packed:
    """What `write_archive` wrote: the ids of the trials, and why others that have a result were left out."""

    trial_ids: list[str]
    problems: list[str]


def write_archive(path: Path, reader: Reader, trial_ids: Iterable[str]) -> Packed:
    """Write an archive of those of the trials that have a result; a file in its place is replaced at the end.

    Raises
    ------
    OSError
        It cannot be written.
    UserError
        None of them has a readable result: nothing is written.
    """
    packed = Packed([], [])
    sha256: dict[str, str] = {}
    with replacing(path, durable=True) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        for trial_id in sorted(trial_ids):
            try:
                files = dict(_files(reader, trial_id))
            except DamagedFile as damage:
                packed.problems.append(str(damage))
                continue
            for name, content in files.items():
                archive.writestr(_info(name), content)
                sha256[name] = hashlib.sha256(content).hexdigest()
            packed.trial_ids.extend([trial_id] if files else [])
        if not sha256:
            raise UserError("; ".join([f"nothing to pack: no result in {reader.root}", *packed.problems[:1]]))
        archive.writestr(_info(CONTENTS), to_json({"schema": SCHEMA, "files": sha256}))
    return packed


def _files(reader: Reader, trial_id: str) -> Iterator[tuple[str, bytes]]:
    """Yield the names in an archive and contents of a trial's files; none without a result.

    Raises
    ------
    DamagedFile
        One is damaged.
    """
    if reader.result(trial_id) is None:
        return
    reader.check_history(trial_id)
    for name, most in _MOST_BYTES.items():
        if (content := reader.content(trial_id, name, most)) is not None:
            yield f"{trial_id}/{name}", content


def _info(name: str) -> zipfile.ZipInfo:
    """Return a file's entry in the zip: nothing in it depends on the machine."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr, info.compress_type = 3, _MODE, zipfile.ZIP_BZIP2
    return info
