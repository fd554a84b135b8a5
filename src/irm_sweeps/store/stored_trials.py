"""The trials of a manifest in little memory: each config is kept as compressed text, and parsed when asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from irm_sweeps.files.json_stream import JsonStream
from irm_sweeps.files.untrusted import parse_json
from irm_sweeps.store.schema import TRIAL_ID, check_config


class StoredTrials(Mapping[str, Mapping[str, Any]]):
    """Configs by trial id, in the order of the grid.

    A sweep's configs are much alike: each is compressed with the first of them as dictionary, to a tenth of its size.
    """

    def __init__(self) -> None:
        self._compressed: dict[str, bytes] = {}
        self._first = b""

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
            config, text = stream.value_and_text()
            try:
                check_config(config)
            except ValueError as error:
                raise ValueError(f"trials.{trial_id}.{error}") from None
            trials._keep(trial_id, text.encode())
        return trials

    def _keep(self, trial_id: str, text: bytes) -> None:
        self._first = self._first or text
        compressor = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, zdict=self._first)
        self._compressed[trial_id] = compressor.compress(text) + compressor.flush()

    def __getitem__(self, trial_id: str) -> Mapping[str, Any]:
        text = zlib.decompressobj(wbits=-zlib.MAX_WBITS, zdict=self._first).decompress(self._compressed[trial_id])
        config: Mapping[str, Any] = parse_json(text)
        return config

    def __iter__(self) -> Iterator[str]:
        return iter(self._compressed)

    def __len__(self) -> int:
        return len(self._compressed)

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._compressed
