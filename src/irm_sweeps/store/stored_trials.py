"""The trials of a manifest in little memory: of each config only what differs from the first one is kept, as text."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from irm_sweeps.files.json_stream import JsonStream
from irm_sweeps.files.untrusted import parse_json
from irm_sweeps.store.schema import TRIAL_ID, check_config

_SHORT = 100
"""Characters below which a text is kept as it is: compressing it gains little and takes longer than reading it."""


class StoredTrials(Mapping[str, Mapping[str, Any]]):
    """Configs by trial id, in the order of the grid; each is parsed at each look.

    A sweep's configs are much alike. While they are read, a part (the dataset, say) with the same text as in the config
    before is not parsed again. A long text of what differs is compressed with the first config as dictionary.
    """

    def __init__(self) -> None:
        self._own: dict[str, str | bytes] = {}
        self._first: dict[str, str] = {}
        self._first_text = ""
        self._before: dict[str, tuple[Any, str]] = {}

    @classmethod
    def read(cls, stream: JsonStream) -> StoredTrials:
        """Read the object of trials that comes next in a manifest.

        Raises
        ------
        ValueError
            It is none: an id or a config is wrong; the message names the first.
        """
        trials = cls()
        for trial_id in stream.members():
            if not TRIAL_ID.fullmatch(trial_id):
                raise ValueError(f"trials: {trial_id!r:.40} is no trial id")
            try:
                parts = {key: trials._part(key, stream) for key in stream.members()}
                check_config({key: value for key, (value, _) in parts.items()})
            except ValueError as error:
                raise ValueError(f"trials.{trial_id}.{error}") from None
            trials._keep(trial_id, {key: text for key, (_, text) in parts.items()})
        trials._before.clear()
        return trials

    def _part(self, key: str, stream: JsonStream) -> tuple[Any, str]:
        """Read the value of a config's key; return it and its text."""
        before = self._before.get(key)
        if before is None or not stream.skip(before[1]):
            before = self._before[key] = stream.value_and_text()
        return before

    def _keep(self, trial_id: str, parts: Mapping[str, str]) -> None:
        if not self._first:
            self._first, self._first_text = dict(parts), f"{{{_members(parts)}}}"
        if list(parts) == list(self._first):
            text = _members({key: text for key, text in parts.items() if text != self._first[key]})
        else:
            text = f"{{{_members(parts)}}}"
        if len(text) < _SHORT:
            self._own[trial_id] = text
            return
        compressor = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, zdict=self._first_text.encode())
        self._own[trial_id] = compressor.compress(text.encode()) + compressor.flush()

    def __getitem__(self, trial_id: str) -> Mapping[str, Any]:
        own = self._own[trial_id]
        if isinstance(own, bytes):
            decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=self._first_text.encode())
            own = decompressor.decompress(own).decode()
        config: dict[str, Any] = parse_json(own) if own.startswith("{") else _parsed(self._first_text, own)
        return config

    def __iter__(self) -> Iterator[str]:
        return iter(self._own)

    def __len__(self) -> int:
        return len(self._own)

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._own


def _members(texts: Mapping[str, str]) -> str:
    """Return the members of an object as JSON, without its braces."""
    return ", ".join(f"{json.dumps(key)}: {text}" for key, text in texts.items())


def _parsed(first: str, own: str) -> dict[str, Any]:
    return {**parse_json(first), **parse_json(f"{{{own}}}")}
