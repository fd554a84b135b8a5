"""What a page of LaTeX's `article` holds of a table: the size of its letters, and where its columns and rows go on."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from irm_sweeps.analysis.tables.lines import TableLine

LINE, PAGE = 345.0, 550.0
"""Width and height of the text of `article`, in points."""
SEPARATION = 8.0
"""Space between two columns in points."""
LONGEST_LABEL = 28
"""Most characters of a row's label that is not broken."""

_RULES = 11.5
"""Height of the rules above and below a table and below its head, in points."""
_RULE, _SPACE = 6.0, 5.0
"""Height of a rule between rows, and of a little space before a row, in points."""
_ABOVE, _CAPTION, _CAPTION_LETTERS = 10.0, 12.0, 60
"""Space above a caption and height of a line of it, in points; most characters that such a line surely holds."""
_BELOW, _NOTE, _NOTE_LETTERS = 3.0, 9.5, 76
"""The same of notes below a table."""


@dataclass(frozen=True)
class Size:
    """A size of letters.

    Attributes
    ----------
    command
        How LaTeX calls it.
    letter, line
        Mean width of a character, and height of a line, in points.
    """

    command: str
    letter: float
    line: float


SIZES = (Size(r"\small", 4.6, 11.0), Size(r"\footnotesize", 4.1, 9.5), Size(r"\scriptsize", 3.7, 8.0))
"""Sizes of letters in a table, the largest first."""


@dataclass(frozen=True)
class Layout:
    """How a table is set on a page.

    Attributes
    ----------
    breaks
        Whether labels of rows are broken into lines.
    """

    size: Size
    breaks: bool

    @property
    def first(self) -> str:
        """Kind of the first column, as `tabular` has it."""
        return rf"p{{{self.size.letter * LONGEST_LABEL:.0f}pt}}" if self.breaks else "l"

    def height(self, lines: Sequence[TableLine]) -> float:
        """Return the height in points of the lines of a tabular, without its head."""
        kinds = [line.kind for line in lines]
        between = sum(_RULE if kind == "group" else _SPACE * has_space(kinds, i) for i, kind in enumerate(kinds))
        return between + self.size.line * sum(self._lines(line) for line in lines if line.kind != "group")

    def _lines(self, line: TableLine) -> int:
        """Return how many lines of text a line of a table takes."""
        if reaches_over(line):
            return len(textwrap.wrap(_printed(line.label), int(LINE / self.size.letter)))
        label = f"{'__' * (line.kind == 'below')}{_printed(line.label)}"
        return max(1, len(textwrap.wrap(label, LONGEST_LABEL - 3))) if self.breaks else 1

    def room(self, title: str, below: Iterable[str]) -> float:
        """Return the points of a page that are left for lines beside a caption, the table's head and notes below it."""
        captions = len(textwrap.wrap(f"Table 00: {title}", _CAPTION_LETTERS))
        return PAGE - _ABOVE - _CAPTION * captions - self.size.line - _RULES - _notes_height(below)

    def pages(self, lines: Sequence[TableLine], room: float) -> list[Sequence[TableLine]]:
        """Return the lines in as few parts as it takes for each to fit the room of a page, about equally high.

        What stands below a row stays with it.
        """
        space = _SPACE * any(line.kind == "below" for line in lines)
        blocks = [(block, space + self.height(block)) for block in _blocks(lines)]
        full = _filled(blocks, room, room)
        even = _filled(blocks, room, sum(height for _, height in blocks) / max(1, len(full)))
        return even if len(even) == len(full) else full


def _notes_height(texts: Iterable[str]) -> float:
    """Return the height in points of notes below a table."""
    lines = sum(len(textwrap.wrap(_printed(text), _NOTE_LETTERS)) for text in texts)
    return _BELOW + _NOTE * lines if lines else 0.0


def layout(columns: Sequence[str], lines: Sequence[TableLine]) -> Layout:
    """Return the largest letters with which a table fits on a line, and whether its labels are broken."""
    letters, room = _width(columns, lines), _room(columns)
    size = next((size for size in SIZES if size.letter * letters <= room), SIZES[-1])
    return Layout(size, bool(columns) and _longest_label(lines) > LONGEST_LABEL)


def parts(columns: Sequence[str], lines: Sequence[TableLine]) -> list[slice]:
    """Return which columns stand in each float: as few floats as hold them in the smallest letters, equally full."""
    for n in range(1, len(columns) + 1):
        each = -(-len(columns) // n)
        found = [slice(start, start + each) for start in range(0, len(columns), each)]
        sliced = [(columns[part], [replace(line, texts=line.texts[part]) for line in lines]) for part in found]
        if n == len(columns) or all(SIZES[-1].letter * _width(*one) <= _room(one[0]) for one in sliced):
            return found
    return [slice(None)]


def reaches_over(line: TableLine) -> bool:
    """Return whether a label reaches over all columns: a long one that has no cells beside it."""
    return bool(line.texts) and not any(line.texts) and characters(line.label) > LONGEST_LABEL


def has_space(kinds: Sequence[str], i: int) -> bool:
    """Return whether there is a little space before a line: before a row beside which another has lines below it."""
    return bool(i) and kinds[i] == "row" and "below" in kinds[i - 1 : i + 2]


def characters(text: str) -> int:
    """Return how many characters print of a text in LaTeX, roughly: those in small letters count half."""
    small = sum(map(len, re.findall(r"\\(?:textsuperscript|scriptsize) ?\{?([^{}]*)\}", text)))
    return len(_printed(text)) - small // 2


def _printed(text: str) -> str:
    """Return what prints of a text in LaTeX, roughly."""
    return re.sub(r"\\[A-Za-z]+|[${}]", "", text)


def _blocks(lines: Sequence[TableLine]) -> Iterator[Sequence[TableLine]]:
    """Yield each row with what belongs to it: the lines below it, and the heading of a group before it."""
    block: list[TableLine] = []
    for line in lines:
        if block and line.kind != "below" and block[-1].kind != "group":
            yield block
            block = []
        block.append(line)
    if block:
        yield block


def _filled(
    blocks: Iterable[tuple[Sequence[TableLine], float]], room: float, enough: float
) -> list[Sequence[TableLine]]:
    """Return blocks of some heights in parts, each of which ends once it is high `enough`, or the room is full."""
    parts: list[list[TableLine]] = []
    filled = 0.0
    for block, height in blocks:
        if not parts or filled >= enough or filled + height > room:
            parts.append([])
            filled = 0.0
        parts[-1] += block
        filled += height
    return list(parts)


def _room(columns: Sequence[str]) -> float:
    """Return the points of a line that are left for text."""
    return LINE - SEPARATION * len(columns)


def _width(columns: Sequence[str], lines: Sequence[TableLine]) -> int:
    """Return how many characters a line of the table has beside each other."""
    cells = zip(columns, *(line.texts for line in lines if line.kind != "group"), strict=True)
    return min(_longest_label(lines), LONGEST_LABEL) + sum(max(map(characters, texts)) for texts in cells)


def _longest_label(lines: Sequence[TableLine]) -> int:
    """Return how many characters the first column needs, with two for an indent."""
    own = (line for line in lines if not reaches_over(line))
    return max((characters(line.label) + 2 * (line.kind == "below") for line in own), default=0)
