"""Merging an archive into a store: what is there stays, and what was cut short is completed by doing it again."""

from __future__ import annotations

from dataclasses import dataclass, field

from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import DamagedFile, UnreadableFile
from irm_sweeps.store.archive import Archive
from irm_sweeps.store.disagreements import NOT_COMPARABLE, Differences, differences_of
from irm_sweeps.store.layout import HISTORY, RESULT
from irm_sweeps.store.origin import origin_bytes
from irm_sweeps.store.reader import LARGEST_RESULT, LONGEST_HISTORY
from irm_sweeps.store.store import Store


@dataclass
class Unpacked:
    """What became of an archive's trials, by id.

    Attributes
    ----------
    added
        Their results are in the store now.
    present
        The store had the same files.
    conflicts
        The store had another result or history, and keeps it; with the largest differences of their numbers.
    replaced
        Those added of which the store had a damaged result, which was moved aside.
    """

    added: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    conflicts: dict[str, Differences] = field(default_factory=dict)
    replaced: list[str] = field(default_factory=list)


def unpack(archive: Archive, store: Store) -> Unpacked:
    """Add an archive's results to a store, each with the record of its origin.

    Raises
    ------
    UserError
        A file in the archive is damaged, or no result of its trial: nothing is written.
    StoreError
        The store cannot be written.
    """
    trial_ids = archive.trial_ids()
    try:
        for trial_id in trial_ids:
            archive.result(trial_id)
            archive.check_history(trial_id)
    except DamagedFile as damage:
        raise UserError(f"{damage}: nothing is unpacked; ask for an intact archive") from None
    store.prepare()
    sha256 = archive.sha256()
    unpacked = Unpacked()
    for trial_id in trial_ids:
        result, history = _files(archive, trial_id)
        assert result is not None, "it was read above"
        origin = origin_bytes(archive.root.name, sha256, result)
        if _is_damaged(store, trial_id):
            store.retire(trial_id, "damaged")
            unpacked.replaced.append(trial_id)
        if store.import_result(trial_id, result, history, origin):
            unpacked.added.append(trial_id)
        elif _same(store, trial_id, (result, history)):
            unpacked.present.append(trial_id)
        else:
            unpacked.conflicts[trial_id] = _differences(store, archive, trial_id)
    return unpacked


def _files(reader: Archive | Store, trial_id: str) -> tuple[bytes | None, bytes | None]:
    """Return the bytes of a trial's result and history."""
    return reader.content(trial_id, RESULT, LARGEST_RESULT), reader.content(trial_id, HISTORY, LONGEST_HISTORY)


def _is_damaged(store: Store, trial_id: str) -> bool:
    """Return whether the store has a result of the trial that can be read and is none."""
    try:
        store.result(trial_id)
    except UnreadableFile:
        return False
    except DamagedFile:
        return True
    return False


def _differences(store: Store, archive: Archive, trial_id: str) -> Differences:
    """Return the largest differences of the numbers of two results."""
    try:
        kept, other = store.result(trial_id), archive.result(trial_id)
    except DamagedFile:
        return NOT_COMPARABLE
    return differences_of(kept, other) if kept and other else NOT_COMPARABLE


def _same(store: Store, trial_id: str, files: tuple[bytes, bytes | None]) -> bool:
    try:
        return _files(store, trial_id) == files
    except DamagedFile:
        return False
