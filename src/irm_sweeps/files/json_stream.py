"""Reading one large JSON object member by member, so that it is never in memory as a whole."""

from __future__ import annotations

import codecs
import errno
from collections.abc import Iterator
from typing import Any, BinaryIO

from irm_sweeps.files.untrusted import MIB, parse_json_at

_CHUNK = 64 * 1024
"""Bytes read at a time, at least."""
_SPACE = " \t\n\r"


class JsonStream:
    """Reads strict JSON (see `untrusted.parse_json`) from a file, from its first value on.

    Parameters
    ----------
    file
        An open file of UTF-8.
    at_most
        Most bytes that are read.
    """

    def __init__(self, file: BinaryIO, at_most: int) -> None:
        self._file, self._at_most, self._remaining = file, at_most, at_most
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._ended = "", 0, False

    def members(self) -> Iterator[str]:
        """Yield the keys of the object that comes next; read each key's value before asking for the next key.

        Raises
        ------
        ValueError
            What comes is no object of strict JSON, or has a key twice.
        OSError
            The file cannot be read, or is too large.
        """
        self._expect("{")
        seen: set[str] = set()
        if self._next() == "}":
            self._at += 1
            return
        while True:
            if self._next() != '"':
                raise ValueError("a key is missing")
            key = str(self.value())
            if key in seen:
                raise ValueError("a key stands twice")
            seen.add(key)
            self._expect(":")
            yield key
            if self._next() == "}":
                self._at += 1
                return
            self._expect(",")

    def value(self) -> Any:
        """Read the value that comes next; raises as `members`."""
        return self.value_and_text()[0]

    def value_and_text(self) -> tuple[Any, str]:
        """Read the value that comes next; return it and its text, and raise as `members`."""
        self._next()
        while True:
            try:
                value, end = parse_json_at(self._text, self._at)
            except ValueError:
                if not self._read_more():
                    raise
                continue
            # What looks like the end of a number may be the end of what has been read of it.
            if end < len(self._text) or not self._read_more():
                text, self._at = self._text[self._at : end], end
                return value, text

    def end(self) -> None:
        """Check that nothing comes any more; raises as `members`."""
        if self._next():
            raise ValueError("something follows the value")

    def _next(self) -> str:
        """Skip white space; return the next character, which stays, or an empty string at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_more():
                return ""

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise ValueError(f"{character!r} is missing")
        self._at += 1

    def _read_more(self) -> bool:
        """Read as much again as is unread, at least a chunk, and forget what is done; return whether there is more."""
        if self._ended:
            return False
        self._text, self._at = self._text[self._at :], 0
        content = self._file.read(min(max(_CHUNK, len(self._text)), self._remaining + 1))
        self._remaining -= len(content)
        if self._remaining < 0:
            raise OSError(errno.EFBIG, f"larger than {self._at_most // MIB} MiB")
        self._ended = not content
        self._text += self._decoder.decode(content, final=self._ended)
        return not self._ended
