"""Rows and columns as plain text that fits a terminal: labels are wrapped, numbers never."""

from __future__ import annotations

import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

WIDTH = 80
"""Characters of a line where the terminal does not say."""
_NARROWEST = 40
"""Fewest characters of a line: in a narrower terminal a number may not fit beside its label."""
_GAP = "  "
_LEAST = 16
"""Fewest characters of the labels' column, or of a column's heading, where they are longer."""
_MOST = 32
"""Characters to which the labels' column grows for a long word; only longer words are broken."""
_INDENT = "  "


def width() -> int:
    """Return the number of characters of a line: the terminal's, or `WIDTH`."""
    return max(_NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns)


def terminal_width() -> int | None:
    """Return `width()` if the output goes to a terminal; None in a pipe or a file, where lines stay whole."""
    return width() if sys.stdout.isatty() else None


def span(text: str) -> int:
    """Return how many characters wide a terminal prints a text: an East Asian one takes two, a combining one none."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def padded(text: str, width: int) -> str:
    """Return a text with blanks up to a width."""
    return text + " " * (width - span(text))


@dataclass(frozen=True)
class TextRow:
    """One row: its label, a text for each column, and a remark, which stands below them where it does not fit."""

    label: str
    cells: Sequence[str]
    remark: str = ""


def grid(headings: Sequence[Sequence[str]], lines: Sequence[TextRow], width: int) -> list[str]:
    """Return rows under lines of headings; where columns do not fit the width, they follow in further blocks.

    `headings` holds lines of headings, with a text for each column. An empty text lets the one before it run on.
    """
    widths = _widths(headings, lines)
    longest = max((span(line.label) for line in lines), default=0)
    word = max((span(_INDENT + word) for line in lines for word in line.label.split()), default=0)
    room = min(longest, max(_LEAST, min(word, _MOST), width - sum(len(_GAP) + w for w in widths)))
    printed: list[str] = []
    for start, end in _blocks(widths, width - room):
        printed += [""] if start else []
        printed += [_joined("", room, heading[start:end], widths[start:end]) for heading in headings]
        for line in lines:
            first, *more = _label(line.label, room)
            numbers = _joined(first, room, line.cells[start:end], widths[start:end])
            whole = numbers + (_GAP + line.remark if line.remark else "")
            below = wrapped(line.remark, width, _GAP) if line.remark else []
            printed += [whole, *more] if span(whole.rstrip()) <= width else [numbers, *more, *below]
    return [line.rstrip() for line in printed]


def stacked(headings: Sequence[str], lines: Sequence[TextRow]) -> list[list[str]]:
    """Return each heading in as many lines as it needs, if it is longer than the texts of its column."""
    texts = [[line.cells[i] for line in lines] for i in range(len(headings))]
    wraps = [
        wrapped(heading, max(_LEAST, *map(span, column), 0)) or [""]
        for heading, column in zip(headings, texts, strict=True)
    ]
    tall = max(map(len, wraps), default=1)
    return [list(line) for line in zip_longest(*([""] * (tall - len(wrap)) + wrap for wrap in wraps), fillvalue="")]


def wrapped(sentence: str, width: int, indent: str = "") -> list[str]:
    """Return a sentence in lines, all indented; a number and its spread stay on one line, and no word is broken.

    What begins with a dash or a note's number, such as `[1]`, goes on below its first word.
    """
    head = re.match(r"- |\[\d+\] ", sentence)
    further = indent + " " * (head.end() if head else 0)
    words = [word for word in sentence.replace(" ± ", "\u00a0±\u00a0").split(" ") if word]
    return [line.replace("\u00a0", " ") for line in flowed(words, width, " ", indent, further)]


def flowed(pieces: Sequence[str], width: int | None, gap: str = _GAP, first: str = "", further: str = "") -> list[str]:
    """Return pieces of text in lines, a gap between two and none broken; without a width all on one line.

    Parameters
    ----------
    first, further
        Indent of the first line, and of all others.
    """
    lines: list[str] = []
    for piece in pieces:
        if lines and (width is None or span(lines[-1]) + span(gap + piece) <= width):
            lines[-1] += gap + piece
        else:
            lines.append((further if lines else first) + piece)
    return lines


def _label(label: str, room: int) -> list[str]:
    """Return a label in lines that fit, the further ones indented; too long a word is broken."""
    words: list[str] = []
    for word in label.split(" "):
        while span(word) > room - len(_INDENT) and span(word) > (0 if words else room):
            end = next(i for i in range(len(word), 0, -1) if span(word[:i]) <= max(2, room - len(_INDENT)))
            words.append(word[:end])
            word = word[end:]
        words.append(word)
    start = len(label) - len(label.lstrip())
    lines = wrapped(" ".join(words), room - len(_INDENT), "") if span(label) > room else [label.strip()]
    if not lines:
        return [""]
    return [" " * start + lines[0], *(" " * start + _INDENT + line for line in lines[1:])]


def _widths(headings: Sequence[Sequence[str]], lines: Sequence[TextRow]) -> list[int]:
    """Return the width of each column; a heading before an empty one may run on over that column."""
    widths = [max(map(span, cells)) for cells in zip(*(line.cells for line in lines), strict=True)]
    for heading in headings:
        for i, text in enumerate(heading):
            if i + 1 == len(heading) or heading[i + 1]:
                widths[i] = max(widths[i], span(text))
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
    return _GAP.join([padded(label, room), *(padded(text, w) for text, w in zip(texts, widths, strict=True))])


def joined(parts: Sequence[Sequence[str]]) -> str:
    """Return the parts that have any line, an empty line between two."""
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
