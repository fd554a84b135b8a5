"""A table as LaTeX: a booktabs float with what is published below what is measured, so that it fits a column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from irm_sweeps.analysis.tables import latex_page
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
_NEAREST = {
    **dict(zip("ÐðĐđĄąĘęĮįŲųĦħĸĿŀŊŋŦŧſ", "DdDdAaEeIiUuHhkLlNnTts", strict=True)),
    **{"Þ": "Th", "þ": "th", "ŉ": "'n", "«": r"$\ll$", "»": r"$\gg$"},
}
"""What is printed of letters and signs that LaTeX has in no font without further packages."""

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
    **_NEAREST,
}

_LAST_LETTER = "\u017f"
"""Last letter of Latin Extended-A, which LaTeX reads without further packages; later characters become `?`."""


_MOST_IN_FLOAT = 2500
"""Most characters of notes that stand in a float, if the page has room for them: what it does not hold is cut."""


def latex(table: Table, *, details: bool = False) -> str:
    """Return a `table` float, which needs `\\usepackage{booktabs}`, and after it notes that no page holds beside it.

    Columns that do not fit beside the others in the smallest letters, and rows that do not fit on a page, are in floats
    that continue it. With `details` a second table has intervals, p-values and verdicts, and all lines on how the
    numbers were made are printed; without, these are comments. No place of this machine is named. Letters are as small
    as the text width of LaTeX's `article` asks for.
    """
    footer = [line for line in table.footer if line not in table.origin]
    printed = footer if details else table.brief
    label = rf"tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}"
    n = _common_n(table)
    style = STYLE if n is None else replace(STYLE, n=lambda _: "")
    signs = [f"{signs}."] if (signs := legend(table)) else []
    below = [*map(escape, [*signs, *([] if n is None else [f"n = {n}."])])]
    floats = list(_floats(table, table.title, label, main_lines(table, style), below))
    notes = [rf"\textsuperscript{{{i}}}~{escape(note.text)}." for i, note in enumerate(table.notes, 1)]
    long = [*notes, *map(escape, printed)]
    if sum(map(len, long)) <= _MOST_IN_FLOAT and floats[-1].holds([*below, *long]):
        floats[-1], long = replace(floats[-1], below=[*below, *long]), []
    if apart := list(lines_apart(table, STYLE)) if details else []:
        floats += _floats(table, f"{table.title}: the comparison", f"{label}-compared", apart, [])
    lines = [r"% needs \usepackage{booktabs}", *(line for one in floats for line in one.lines())]
    if long:
        lines += [r"{\footnotesize\raggedright", rf"Notes on Table~\ref{{{label}}}.\par", *_paragraphs(long), "}"]
    lines += [f"% {' '.join(line.split())}" for line in footer if line not in printed]
    return "\n".join(lines) + "\n"


def _floats(table: Table, title: str, label: str, lines: Iterable[TableLine], below: Sequence[str]) -> Iterator[_Float]:
    """Yield a table in one float, or in as many as it takes for each to fit; `below` is below the last."""
    printed, columns = list(lines), list(map(escape, table.columns))
    continued = f"{title} (continued)"
    contents: list[tuple[Sequence[str], latex_page.Layout, Sequence[TableLine]]] = []
    for part in latex_page.parts(columns, printed):
        own = [replace(line, texts=line.texts[part]) for line in printed]
        layout = latex_page.layout(columns[part], own)
        pages = layout.pages(own, layout.room(continued, below))
        contents += [(columns[part], layout, page) for page in pages or [[]]]
    for i, (own_columns, layout, page) in enumerate(contents):
        titled, labelled = (continued, f"{label}-{i + 1}") if i else (title, label)
        under = below if i == len(contents) - 1 else []
        yield _Float(own_columns, layout, page, titled, labelled, under)


@dataclass(frozen=True)
class _Float:
    """A float: its caption and label, its tabular, and what stands below that, already written for LaTeX."""

    columns: Sequence[str]
    layout: latex_page.Layout
    rows: Sequence[TableLine]
    title: str
    label: str
    below: Sequence[str]

    def holds(self, below: Sequence[str]) -> bool:
        """Return whether it fits on a page with these notes below it."""
        return self.layout.height(self.rows) <= self.layout.room(self.title, below)

    def lines(self) -> Iterator[str]:
        """Yield its lines."""
        size, first = self.layout.size.command, self.layout.first
        yield from (r"\begin{table}[tbp]", r"\centering", rf"\caption{{{escape(self.title)}}}")
        yield rf"\label{{{self.label}}}"
        yield rf"{size}\setlength{{\tabcolsep}}{{{latex_page.SEPARATION / 2:g}pt}}"
        yield rf"\begin{{tabular}}{{@{{}}{first}{'c' * len(self.columns)}@{{}}}}"
        yield from (r"\toprule", _row("", *self.columns), r"\midrule")
        yield from _rows(self.rows, self.layout)
        yield from (r"\bottomrule", r"\end{tabular}")
        if self.below:
            yield from (r"\par\smallskip", r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright")
            yield from _paragraphs(self.below)
            yield r"\end{minipage}"
        yield r"\end{table}"


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    return (rf"{text}\par" for text in texts)


def _common_n(table: Table) -> int | None:
    """Return the number of seeds that all measured cells have, which then need not repeat it; None if they differ."""
    counts = {(cell.measured.n, cell.lost) for cell in table.cells if cell.measured}
    n, lost = counts.pop() if len(counts) == 1 else (None, 0)
    return None if lost else n


def _rows(lines: Sequence[TableLine], layout: latex_page.Layout) -> Iterator[str]:
    """Yield the lines of a tabular: a little space before a row that has lines below it, a rule before a group."""
    kinds = [line.kind for line in lines]
    for i, line in enumerate(lines):
        if line.kind == "group":
            if i:
                yield r"\midrule"
            continue
        if latex_page.has_space(kinds, i):
            yield r"\addlinespace"
        label = rf"\quad {line.label}" if line.kind == "below" else line.label
        if latex_page.reaches_over(line):
            fits = latex_page.characters(label) * latex_page.SIZES[0].letter <= latex_page.LINE
            kind, text = ("l", label) if fits else (r"p{\linewidth}", rf"\raggedright {label}")
            yield rf"\multicolumn{{{len(line.texts) + 1}}}{{@{{}}{kind}@{{}}}}{{{text}}} \\"
        else:
            yield _row(rf"\raggedright {label}" if layout.breaks else label, *line.texts)


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
