"""A sweep's manifest: its trials, resolved once, and how they are stacked. Workers read nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from irm_sweeps.errors import StoreError, UserError, one_line
from irm_sweeps.files.atomic import make_folder, refuse_link, write_pieces
from irm_sweeps.files.json_pieces import json_pieces
from irm_sweeps.files.json_stream import JsonStream
from irm_sweeps.files.reading import DamagedFile, UnreadableFile, stream_json
from irm_sweeps.files.untrusted import MIB
from irm_sweeps.loggers.logger import build_logger, keys_of
from irm_sweeps.naming.names import label as short_name
from irm_sweeps.overrides.results_key import into_store
from irm_sweeps.redaction import redacted_words
from irm_sweeps.store.code import SweepCode, import_code, write_code
from irm_sweeps.store.package_code import PackageCode, package_code
from irm_sweeps.store.reader import Reader
from irm_sweeps.store.schema import SCHEMA, Part, TrialId, validated
from irm_sweeps.store.store import Store
from irm_sweeps.store.stored_trials import StoredTrials
from irm_sweeps.store.sweeps import SWEEP_NAME, sweep_name, whole_name
from irm_sweeps.typed_commands import issued
from irm_sweeps.user_code.modules import foreign_targets
from irm_sweeps.user_code.of_classes import UserModule
from irm_sweeps.wording import first

LARGEST = 1024 * MIB
"""Most bytes of a manifest: those of a million trials have more."""

PACKAGE_CHANGED = "irm_sweeps has changed"
"""How the error of a worker begins that has another code of this package than the launch."""

_LAUNCH = r"[0-9]{8}T[0-9]{6}\.[0-9]{6}"


class RunSettings(Part):
    """How to run a sweep's trials, none of which changes a result. Manifests of earlier versions lack some.

    Attributes
    ----------
    data_dir
        Where data is looked for.
    device
        As in `device=`.
    compile
        Whether training steps are compiled.
    compile_kinds
        Otherwise, the `Trial.kind` of the trials of which tiny steps are (`compile=auto`).
    on_error
        Whether a failed trial ends the launch.
    checkpoint_seconds
        Time between two checkpoints of a stack.
    stall_seconds
        Time without a step after which a worker ends as if it had died; None: never.
    folders
        Where the command was typed, and so where a user's own files are imported from.
    logger
        Config of the logger; None: no logger.
    """

    data_dir: str
    device: str
    compile: bool = False
    compile_kinds: list[str] = Field(default_factory=list)
    on_error: Literal["continue", "stop"]
    checkpoint_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    stall_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    folders: list[str] = Field(default_factory=list)
    logger: dict[str, Any] | None = None

    def compiled(self, kind: str) -> bool | Literal["if_tiny"]:
        """Return whether trials of a kind train as compiled programs: all of them, or those with tiny steps."""
        return self.compile or ("if_tiny" if kind in self.compile_kinds else False)


class _ManifestFile(Part):
    """What `manifest.json` holds besides its trials."""

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, StringConstraints(pattern=rf"\A{SWEEP_NAME}\z")]
    stacks: list[list[TrialId]]
    settings: RunSettings
    launch: Annotated[str, StringConstraints(pattern=rf"\A{_LAUNCH}\z")]
    created: str
    command: str
    labels: dict[str, str] = Field(default_factory=dict)
    overrides: list[str] = Field(default_factory=list)
    code: SweepCode | None = None
    package: PackageCode | None = None


@dataclass(frozen=True)
class Manifest:
    """One sweep.

    Attributes
    ----------
    name
        `<label>-<hash of the trial ids>`: the same trials are the same sweep.
    trials
        Config by trial id, in the order of the grid; of a manifest that was read, parsed at each look. It is whole, but
        for manifests of earlier versions, which lack fields at their default.
    stacks
        Trial ids that train together, in the order in which to start.
    settings
        How to run them.
    launch
        Changes whenever the command is issued anew.
    labels
        Names by trial id that tell its trials apart, as they were typed; manifests of earlier versions lack some.
    overrides
        Those of the command that say which trials there are, `paper=` included; of a search, a single trial and in
        manifests of earlier versions there are none.
    code
        The user's own modules of which the sweep has a copy; None in manifests of earlier versions.
    package
        The code of this package with which it was launched; None in manifests of earlier versions.
    """

    name: str
    trials: Mapping[str, Mapping[str, Any]]
    stacks: Sequence[Sequence[str]]
    settings: RunSettings
    launch: str
    created: str
    command: str
    labels: Mapping[str, str] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    code: SweepCode | None = None
    package: PackageCode | None = None

    @property
    def launched(self) -> str:
        """When the command was issued, to the minute, in UTC: `2026-11-30 14:39`."""
        return one_line(self.created)[:16].replace("T", " ")

    def label_of(self, trial_id: str) -> str:
        """Return the name of one of its trials, e.g. `erm lr=0.1 seed=0`."""
        return self.labels.get(trial_id) or short_name(self.trials[trial_id])

    @cached_property
    def label_keys(self) -> Sequence[str]:
        """Every key that the names of its trials have, e.g. `lr` and `seed`."""
        return keys_of(self.labels.values())

    def make_importable(self, store: Store) -> None:
        """Let this process import the copied modules from their copies, and all others as the launching process could.

        Raises
        ------
        UserError
            A copy is missing or is not what was submitted.
        """
        if self.code is not None:
            import_code(self.folder(store), self.code)
        sys.path += [folder for folder in self.settings.folders if folder not in sys.path]

    def changed_modules(self) -> list[str]:
        """Return the user's modules whose files have been edited or removed here since the launch."""
        return self.code.changed() if self.code is not None else []

    def check_package(self) -> None:
        """Check that this process runs the code of this package with which the sweep was launched.

        Raises
        ------
        UserError
            It does not; the message names what differs.
        """
        if self.package is not None and (difference := self.package.difference()):
            raise UserError(
                f"{PACKAGE_CHANGED} since sweep {self.name} was launched ({difference}), and a sweep runs what "
                "was submitted: put that back, or go on with the present code by issuing the command again: "
                f"{self.command}"
            )

    def check_needs_no_trust(self, store: Store) -> None:
        """Check that work on it runs nobody's code but this package's, and writes nothing outside the store.

        Raises
        ------
        UserError
            It would; the message names what.
        """
        foreign = sorted({str(target) for trial in self.trials.values() for target in foreign_targets(trial)})
        if not foreign and (values := self.settings.logger):
            logger = build_logger(values, trusted=False)
            foreign = [f"logger to {place}" for place in [logger.outside(store.root)] if place]
        if foreign:
            raise UserError(
                f"sweep {self.name} needs {first(foreign)}, which is not "
                "of irm_sweeps or its store: if it is your own sweep, or of somebody you trust, add --trust"
            )

    def stop_marker(self, store: Store) -> Path:
        """Return the file that, once there, ends this launch (`on_error=stop`)."""
        return self.folder(store) / f"stop.{self.launch}"

    def folder(self, store: Store) -> Path:
        """Return where the sweep's own files lie."""
        return store.root / "sweeps" / self.name


def write_manifest(
    store: Store,
    label: str,
    trials: Mapping[str, Mapping[str, Any]],
    stacks: Sequence[Sequence[str]],
    settings: RunSettings,
    labels: Mapping[str, str] | None = None,
    overrides: Sequence[str] = (),
    modules: Mapping[str, UserModule] | None = None,
) -> Manifest:
    """Write the manifest of a new launch, over that of an earlier launch of the same trials.

    Before it, a copy of the user's own `modules` is written, from which workers import them.
    """
    now = datetime.now(UTC)
    manifest = Manifest(
        name=sweep_name(label, list(trials)),
        trials=trials,
        stacks=stacks,
        settings=settings,
        launch=now.strftime("%Y%m%dT%H%M%S.%f"),
        created=now.isoformat(timespec="seconds"),
        command=issued(),
        labels=dict(labels or {}),
        overrides=redacted_words(overrides),
        package=package_code(),
    )
    folder = manifest.folder(store)
    for own in (folder.parent, folder):
        refuse_link(own)
    make_folder(folder)
    manifest = replace(manifest, code=write_code(folder, modules or {}))
    parts = {name: getattr(manifest, name).model_dump() for name in ("code", "package")}
    content = {"schema": SCHEMA, **manifest.__dict__, "settings": settings.recorded(), **parts}
    write_pieces(folder / "manifest.json", _bounded(json_pieces(content, divided="trials")))
    return manifest


def _bounded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the pieces of a manifest, up to the largest that is read."""
    size = 0
    for piece in pieces:
        if (size := size + len(piece)) > LARGEST:
            raise UserError(f"the sweep's manifest has more than {LARGEST:,} bytes: launch it in parts")
        yield piece


def read_manifest(store: Reader, name: str) -> Manifest:
    """Read a sweep by its name or the beginning of it.

    Raises
    ------
    UserError
        There is no such sweep, several begin so, or its manifest is damaged.
    """
    return load_manifest(store, whole_name(store, name))


def load_manifest(store: Reader, name: str) -> Manifest:
    """Read the sweep of this name.

    Raises
    ------
    UserError
        Its manifest is damaged.
    StoreError
        It may not be read.
    """
    path = store.root / "sweeps" / name / "manifest.json"
    try:
        manifest = stream_json(path, LARGEST, _read)
        if manifest.name != name:
            raise ValueError(f"it is that of {manifest.name}")
    except UnreadableFile as error:
        raise StoreError(error.told()) from None
    except (FileNotFoundError, DamagedFile, ValueError) as error:
        raise UserError(f"manifest {path} cannot be read ({error}): issue the sweep's command again") from None
    return replace(manifest, command=into_store(manifest.command, store.root))


def _read(stream: JsonStream) -> Manifest:
    """Read a manifest, of which only one trial is parsed at a time.

    Raises
    ------
    ValueError
        It is none; the message names the first place and what is wrong there.
    """
    fields: dict[str, Any] = {}
    trials: StoredTrials | None = None
    for key in stream.members():
        if key == "trials":
            trials = StoredTrials.read(stream)
        else:
            fields[key] = stream.value()
    stream.end()
    read = validated(_ManifestFile, fields)
    if trials is None:
        raise ValueError("trials: Field required")
    if unknown := {trial_id for stack in read.stacks for trial_id in stack if trial_id not in trials}:
        raise ValueError(f"a stack has {min(unknown)}, which is none of its trials")
    others = {name: getattr(read, name) for name in Manifest.__dataclass_fields__ if name not in ("trials", "stacks")}
    own = {trial_id: trial_id for trial_id in trials}  # one object for each id
    return Manifest(
        trials=trials, stacks=[tuple(own[trial_id] for trial_id in stack) for stack in read.stacks], **others
    )


def is_copy(store: Reader, name: str) -> bool:
    """Return whether a sweep's folder was copied or renamed by hand: its manifest is that of another sweep."""
    try:
        written = stream_json(store.root / "sweeps" / name / "manifest.json", LARGEST, _name_in)
    except (FileNotFoundError, DamagedFile):  # whoever reads the sweep is told
        return False
    return written not in (None, name)


def _name_in(stream: JsonStream) -> Any:
    for key in stream.members():
        value = stream.value()
        if key == "name":
            return value
    return None
