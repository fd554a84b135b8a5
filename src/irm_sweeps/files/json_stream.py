"""Reading one large JSON object member by member, so that it is never in memory as a whole."""

from __future__ import annotations

import codecs
import errno
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from irm_sweeps.files.untrusted import MIB, parse_json_at

_CHUNK = 64 * 1024
"""Bytes read at a time, at least."""
_SPACE = " \t\n\r"
_PLAIN_KEY = re.compile(r'"([^"\\\x00-\x1f]*)"[ \t\n\r]*:')
"""A key without escapes and its colon."""


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
            key = self._key()
            if key in seen:
                raise ValueError("a key stands twice")
            seen.add(key)
            yield key
            if (comma := self._next()) not in (",", "}"):
                raise ValueError("',' is missing")
            self._at += 1
            if comma == "}":
                return

    def _key(self) -> str:
        """Read the key that comes next, and its colon."""
        if self._next() != '"':
            raise ValueError("a key is missing")
        if plain := _PLAIN_KEY.match(self._text, self._at):
            self._at = plain.end()
            return plain[1]
        key = str(self.value())
        self._expect(":")
        return key

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
            # What looks like the end of a number may be the end of what has been read of it, as in `1`, `1.` or `1e-`.
            if end + 2 < len(self._text) or self._ended:
                text, self._at = self._text[self._at : end], end
                return value, text
            self._read_more()

    def skip(self, text: str) -> bool:
        """Pass over the value that comes next if it is a container, an object say, with just this text.

        Returns
        -------
        bool
            Whether it is; if not, the value is still to be read.
        """
        if text[0] not in "{[" or self._next() != text[0]:
            return False
        while len(self._text) - self._at < len(text) and self._read_more():
            pass
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def end(self) -> None:
        """Check that nothing comes any more; raises as `members`."""
        if self._next():
            raise ValueError("something follows the value")

    def _next(self) -> str:
        """Skip white space; return the next character, which stays, or an empty string at the end."""
        while (character := self._text[self._at : self._at + 1]) in _SPACE:
            if character:
                self._at += 1
            elif not self._read_more():
                break
        return character

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
