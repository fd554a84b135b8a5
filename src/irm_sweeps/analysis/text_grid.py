"""Rows and columns as plain text that fits a terminal: labels are wrapped, numbers never."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH = 80
"""Characters of a line where the terminal does not say, or is narrower."""
_GAP = "  "
_LEAST = 16
"""Fewest characters of the labels' column where labels are longer."""
_MOST = 32
"""Characters to which that column grows for a long word; only longer words are broken."""
_INDENT = "  "


def width() -> int:
    """Return the number of characters of a line: the terminal's, at least `WIDTH`."""
    return max(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)


@dataclass(frozen=True)
class Line:
    """One row: its label, a text for each column, and a remark, which stands below them where it does not fit."""

    label: str
    cells: Sequence[str]
    remark: str = ""


def grid(headings: Sequence[Sequence[str]], lines: Sequence[Line], width: int) -> list[str]:
    """Return rows under lines of headings; where columns do not fit the width, they follow in further blocks.

    `headings` holds lines of headings, with a text for each column. An empty text lets the one before it run on.
    """
    widths = _widths(headings, lines)
    longest = max((len(line.label) for line in lines), default=0)
    word = max((len(_INDENT + word) for line in lines for word in line.label.split()), default=0)
    room = min(longest, max(_LEAST, min(word, _MOST), width - sum(len(_GAP) + w for w in widths)))
    printed: list[str] = []
    for start, end in _blocks(widths, width - room):
        printed += [""] if start else []
        printed += [_joined("", room, heading[start:end], widths[start:end]) for heading in headings]
        for line in lines:
            first, *more = textwrap.wrap(line.label, room, break_on_hyphens=False, subsequent_indent=_INDENT) or [""]
            numbers = _joined(first, room, line.cells[start:end], widths[start:end])
            whole = numbers + (_GAP + line.remark if line.remark else "")
            fits = len(whole.rstrip()) <= width
            printed += [whole, *more] if fits else [numbers, *more, _GAP + line.remark]
    return [line.rstrip() for line in printed]


def wrapped(sentence: str, width: int) -> list[str]:
    """Return a sentence in lines; a number and its spread stay on one line."""
    lines = textwrap.wrap(
        sentence.replace(" ± ", "\u00a0±\u00a0"), width, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\u00a0", " ") for line in lines]


def _widths(headings: Sequence[Sequence[str]], lines: Sequence[Line]) -> list[int]:
    """Return the width of each column; a heading before an empty one may run on over that column."""
    widths = [max(map(len, cells)) for cells in zip(*(line.cells for line in lines), strict=True)]
    for heading in headings:
        for i, text in enumerate(heading):
            if i + 1 == len(heading) or heading[i + 1]:
                widths[i] = max(widths[i], len(text))
    return widths


def _blocks(widths: Sequence[int], width: int) -> Iterator[tuple[int, int]]:
    """Yield first and last (exclusive) column of each block that fits the width; a block has at least one column."""
    start, used = 0, 0
    for i, column in enumerate(widths):
        if i > start and used + len(_GAP) + column > width:
            yield start, i
            start, used = i, 0
        used += len(_GAP) + column
    yield start, len(widths)


def _joined(label: str, room: int, texts: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join([label.ljust(room), *(text.ljust(w) for text, w in zip(texts, widths, strict=True))])
