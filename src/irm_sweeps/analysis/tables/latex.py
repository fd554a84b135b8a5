"""A table as LaTeX: a booktabs float with what is published below what is measured, so that it fits a column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from irm_sweeps.analysis.tables.cell_text import legend
from irm_sweeps.analysis.tables.lines import Style, TableLine, lines_apart, main_lines
from irm_sweeps.analysis.tables.table import Table

_GREEK = (
    "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi o pi rho varsigma sigma tau upsilon "
    "varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega phi epsilon mu"
)
_LETTERS = "αβγδεζηθικλμνξοπρςστυφχψωΓΔΘΛΞΠΣΥΦΨΩϕϵµ"
_AS_LATIN = dict(zip("οΑΒΕΖΗΙΚΜΝΟΡΤΧ", "oABEZHIKMNOPTX", strict=True))
"""Greek letters that print as Latin ones, and for which LaTeX has no name."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "[": "{[}",
    "]": "{]}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "∞": r"$\infty$",
    "∈": r"$\in$",
    "—": "---",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    **{chr(ord("₀") + i): f"$_{i}$" for i in range(10)},
    **{letter: rf"$\{name}$" for letter, name in zip(_LETTERS, _GREEK.split(), strict=True)},
    **_AS_LATIN,
}

_LAST_LETTER = "\u017f"
"""Last letter of Latin Extended-A, which LaTeX reads without further packages; later characters become `?`."""


_LINE = 345.0
"""Width of a line of LaTeX's `article`, in points."""
_SIZES = {r"\small": 4.6, r"\footnotesize": 4.1, r"\scriptsize": 3.7}
"""Sizes of letters in a table, the largest first, and the mean width of a character in points."""
_SEPARATION = 8.0
"""Space between two columns in points."""
_LONGEST_LABEL = 28
"""Most characters of a row's label that is not broken."""
_MOST_IN_FLOAT = 2500
"""Most characters of notes that stand in the float: a float is never broken, and what a page does not hold is cut."""


def latex(table: Table, *, details: bool = False) -> str:
    """Return a `table` float, which needs `\\usepackage{booktabs}`, and after it notes that are too long for a float.

    Columns that do not fit beside the others in the smallest letters are in floats that continue it. With `details` a
    second float has intervals, p-values and verdicts, and all lines on how the numbers were made are printed; without,
    these are comments. No place of this machine is named. Letters are as small as the text width of LaTeX's `article`
    asks for.
    """
    footer = [line for line in table.footer if line not in table.origin]
    printed = footer if details else table.brief
    label = rf"tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}"
    n = _common_n(table)
    style = STYLE if n is None else replace(STYLE, n=lambda _: "")
    signs = [f"{signs}."] if (signs := legend(table)) else []
    below = [*map(escape, [*signs, *([] if n is None else [f"n = {n}."])])]
    notes = [rf"\textsuperscript{{{i}}}~{escape(note.text)}." for i, note in enumerate(table.notes, 1)]
    long = [*notes, *map(escape, printed)]
    if sum(map(len, long)) <= _MOST_IN_FLOAT:
        below, long = [*below, *long], []
    lines = [r"% needs \usepackage{booktabs}", *_floats(table, table.title, label, main_lines(table, style), below)]
    if apart := list(lines_apart(table, STYLE)) if details else []:
        lines += _floats(table, f"{table.title}: the comparison", f"{label}-compared", apart, [])
    if long:
        lines += [r"{\footnotesize\raggedright", rf"Notes on Table~\ref{{{label}}}.\par", *_paragraphs(long), "}"]
    lines += [f"% {' '.join(line.split())}" for line in footer if line not in printed]
    return "\n".join(lines) + "\n"


def _floats(table: Table, title: str, label: str, lines: Iterable[TableLine], below: Sequence[str]) -> Iterator[str]:
    """Yield a table in one float, or in as many as it takes for each to fit on a line; `below` is below the last."""
    printed, columns = list(lines), list(map(escape, table.columns))
    parts = _parts(columns, printed)
    for i, part in enumerate(parts):
        own = [replace(line, texts=line.texts[part]) for line in printed]
        titled, labelled = (f"{title} (continued)", f"{label}-{i + 1}") if i else (title, label)
        yield from _float(columns[part], titled, labelled, own, below if part is parts[-1] else [])


def _parts(columns: Sequence[str], lines: Sequence[TableLine]) -> list[slice]:
    """Return which columns stand in each float: as few floats as hold them in the smallest letters, equally full."""
    for n in range(1, len(columns) + 1):
        each = -(-len(columns) // n)
        parts = [slice(start, start + each) for start in range(0, len(columns), each)]
        sliced = [(columns[part], [replace(line, texts=line.texts[part]) for line in lines]) for part in parts]
        if n == len(columns) or all(min(_SIZES.values()) * _width(*one) <= _room(one[0]) for one in sliced):
            return parts
    return [slice(None)]


def _float(
    columns: Sequence[str], title: str, label: str, printed: Sequence[TableLine], below: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of a float: its caption, its tabular, and what stands below that."""
    size, first = _layout(columns, printed)
    yield from (r"\begin{table}[tbp]", r"\centering", rf"\caption{{{escape(title)}}}", rf"\label{{{label}}}")
    yield rf"{size}\setlength{{\tabcolsep}}{{{_SEPARATION / 2:g}pt}}"
    yield rf"\begin{{tabular}}{{@{{}}{first}{'c' * len(columns)}@{{}}}}"
    yield from (r"\toprule", _row("", *columns), r"\midrule")
    yield from _rows(printed, broken=first != "l")
    yield from (r"\bottomrule", r"\end{tabular}")
    if below:
        yield from (r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright")
        yield from _paragraphs(below)
        yield r"\end{minipage}"
    yield r"\end{table}"


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    return (rf"{text}\par" for text in texts)


def _common_n(table: Table) -> int | None:
    """Return the number of seeds that all measured cells have, which then need not repeat it; None if they differ."""
    counts = {(cell.measured.n, cell.lost) for cell in table.cells if cell.measured}
    n, lost = counts.pop() if len(counts) == 1 else (None, 0)
    return None if lost else n


def _layout(columns: Sequence[str], lines: Sequence[TableLine]) -> tuple[str, str]:
    """Return the size of letters with which a table fits on a line, and the kind of its first column."""
    characters, room = _width(columns, lines), _room(columns)
    size = next((size for size, width in _SIZES.items() if width * characters <= room), list(_SIZES)[-1])
    broken = columns and _longest_label(lines) > _LONGEST_LABEL
    return size, rf"p{{{_SIZES[size] * _LONGEST_LABEL:.0f}pt}}" if broken else "l"


def _room(columns: Sequence[str]) -> float:
    """Return the points of a line that are left for text."""
    return _LINE - _SEPARATION * len(columns)


def _width(columns: Sequence[str], lines: Sequence[TableLine]) -> int:
    """Return how many characters a line of the table has beside each other."""
    cells = zip(columns, *(line.texts for line in lines if line.kind != "group"), strict=True)
    return min(_longest_label(lines), _LONGEST_LABEL) + sum(max(map(_characters, texts)) for texts in cells)


def _longest_label(lines: Sequence[TableLine]) -> int:
    """Return how many characters the first column needs, with two for an indent."""
    own = (line for line in lines if not _reaches_over(line))
    return max((_characters(line.label) + 2 * (line.kind == "below") for line in own), default=0)


def _reaches_over(line: TableLine) -> bool:
    """Return whether a label reaches over all columns: a long one that has no cells beside it."""
    return bool(line.texts) and not any(line.texts) and _characters(line.label) > _LONGEST_LABEL


def _characters(text: str) -> int:
    """Return how many characters print of a text in LaTeX, roughly: those in small letters count half."""
    small = sum(map(len, re.findall(r"\\(?:textsuperscript|scriptsize) ?\{?([^{}]*)\}", text)))
    return len(re.sub(r"\\[A-Za-z]+|[${}]", "", text)) - small // 2


def _rows(lines: Iterable[TableLine], broken: bool) -> Iterator[str]:
    """Yield the lines of a tabular: a little space before a row that has lines below it, a rule before a group."""
    printed = list(lines)
    kinds = [line.kind for line in printed]
    for i, line in enumerate(printed):
        if line.kind == "group":
            yield r"\midrule"
            continue
        if i and line.kind == "row" and "below" in kinds[i - 1 : i + 2]:
            yield r"\addlinespace"
        label = rf"\quad {line.label}" if line.kind == "below" else line.label
        if _reaches_over(line):
            fits = _characters(label) * max(_SIZES.values()) <= _LINE
            kind, text = ("l", label) if fits else (r"p{\linewidth}", rf"\raggedright {label}")
            yield rf"\multicolumn{{{len(line.texts) + 1}}}{{@{{}}{kind}@{{}}}}{{{text}}} \\"
        else:
            yield _row(rf"\raggedright {label}" if broken else label, *line.texts)


def _row(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Return LaTeX that prints the text; `p_e` becomes a symbol, and brackets cannot be taken for options.

    A hyphen before a number is a minus, unless it stands within a word or between two numbers.
    """
    pieces = re.split(r"\b([a-zA-Z]_[a-zA-Z])\b", re.sub(r"(?<![\w.)\]-])-(?=\.?\d)", "−", text))
    return "".join(f"${piece}$" if i % 2 else _literal(piece) for i, piece in enumerate(pieces))


STYLE = Style(
    escape,
    lambda text: rf"\textbf{{{text}}}",
    lambda numbers: rf"\textsuperscript{{{numbers}}}",
    lambda text: rf"{{\scriptsize {escape(text)}}}" if text else "",
)
"""How LaTeX has it."""


def _literal(text: str) -> str:
    return "".join(_ESCAPES.get(c, c if c <= _LAST_LETTER else "?") for c in text)
