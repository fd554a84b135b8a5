"""The log file of each trial."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from irm_sweeps.errors import bounded
from irm_sweeps.files.atomic import make_folder
from irm_sweeps.files.untrusted import append_regular, open_regular
from irm_sweeps.store.layout import LOG


class TrialLog:
    """Appends lines with the time to the `log.txt` of every trial of a stack.

    Parameters
    ----------
    folders
        The folders of the trials, which are made if they are missing.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._paths = [folder / LOG for folder in folders]
        for folder in folders:
            make_folder(folder, parents=False)

    def write(self, text: str) -> None:
        """Append text, printable, shortened and without secrets; if a log cannot be written, say so on stderr."""
        text = bounded(text.rstrip())
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
        line = f"{stamp} {text}\n".encode(errors="backslashreplace")
        for path in self._paths:
            try:
                with open(append_regular(path), "ab") as file:
                    file.write(line)
            except OSError as error:
                _report(path, error)

    @contextmanager
    def capture(self) -> Iterator[None]:
        """Send what this process prints, native code included, to the first trial's log while the block runs."""
        try:
            log = append_regular(self._paths[0])
        except OSError as error:
            _report(self._paths[0], error)
            yield
            return
        _flush()
        saved_descriptors = [os.dup(1), os.dup(2)]
        try:
            os.dup2(log, 1)
            os.dup2(log, 2)
            yield
        finally:
            _flush()
            for target, saved in zip((1, 2), saved_descriptors, strict=True):
                os.dup2(saved, target)
                os.close(saved)
            os.close(log)


@contextmanager
def open_streams() -> Iterator[None]:
    """Put back `sys.stdout` and `sys.stderr` at the block's end, open, whatever a user's code did to them."""
    streams = {"stdout": sys.stdout, "stderr": sys.stderr}
    try:
        yield
    finally:
        for (name, stream), descriptor in zip(streams.items(), (1, 2), strict=True):
            if stream is not None and stream.closed:
                stream = open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def _report(path: Path, error: OSError) -> None:
    with suppress(OSError, ValueError):  # stderr may lie on the same disk, or a user's code has closed it
        print(f"cannot write {path}: {error.strerror}", file=sys.stderr)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # The disk is full, or a user's code has closed or replaced the stream: words are lost, trials are not.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a log, or an empty string if there is none."""
    try:
        with open_regular(path) as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 20_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
