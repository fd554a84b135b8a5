"""No logger: the history lies in `history.jsonl` in any case."""

from __future__ import annotations

from collections.abc import Mapping

from irm_sweeps.loggers.logger import Logger, Run, Stream


class _Nowhere(Stream):
    def write(self, step: int, values: Mapping[str, float]) -> None:
        del step, values

    def close(self, status: str, final: Mapping[str, float]) -> None:
        del status, final


class NoLogger(Logger):
    """`logger=none`, the default."""

    def open(self, run: Run) -> Stream:
        """Return a stream that leads nowhere."""
        del run
        return _Nowhere()
