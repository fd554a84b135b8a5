"""Log nowhere; the history is in `history.jsonl` in any case."""

from __future__ import annotations

from collections.abc import Mapping

from irm_sweeps.loggers.logger import Logger, Run, Stream


class _NoStream(Stream):
    """A stream that discards everything."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        del step, values

    def close(self, status: str, final: Mapping[str, float]) -> None:
        del status, final


class NoLogger(Logger):
    """Logs nowhere (`logger=none`, the default)."""

    def open(self, run: Run) -> Stream:
        """Return a stream that discards everything."""
        del run
        return _NoStream()
