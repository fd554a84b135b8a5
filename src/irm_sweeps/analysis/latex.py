"""A table as LaTeX: a booktabs float with what is published below what is measured, so that it fits a column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from irm_sweeps.analysis.cell_text import legend
from irm_sweeps.analysis.table import Table
from irm_sweeps.analysis.table_lines import Style, TableLine, lines_apart, main_lines

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
    "λ": r"$\lambda$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
}

_LAST_LETTER = "\u017f"
"""Last letter of Latin Extended-A, which LaTeX reads without further packages; later characters become `?`."""


def latex(table: Table, *, details: bool = False) -> str:
    """Return a `table` float, which needs `\\usepackage{booktabs}`.

    With `details` a second block has intervals, p-values and verdicts, and all lines on how the numbers were made are
    printed; without, these are comments. No place of this machine is named.
    """
    footer = [line for line in table.footer if line not in table.origin]
    printed = footer if details else table.brief
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}[tbp]",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9:-]', '-', table.name)}}}",
        r"\small",
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        _row("", *map(escape, table.columns)),
        r"\midrule",
        *_rows(main_lines(table, STYLE)),
    ]
    if apart := list(lines_apart(table, STYLE)) if details else []:
        lines += [r"\midrule", *_rows(apart)]
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip"]
    lines += [r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright"]
    if signs := legend(table):
        lines.append(rf"{escape(signs)}.\par")
    lines += [rf"\textsuperscript{{{i}}}~{escape(note.text)}.\par" for i, note in enumerate(table.notes, 1)]
    lines += [rf"{escape(line)}\par" for line in printed]
    lines += [r"\end{minipage}", r"\end{table}"]
    lines += [f"% {' '.join(line.split())}" for line in footer if line not in printed]
    return "\n".join(lines) + "\n"


def _rows(lines: Iterable[TableLine]) -> Iterator[str]:
    """Yield the lines of a tabular: a little space before a row that has lines below it, a rule before a group."""
    printed = list(lines)
    kinds = [line.kind for line in printed]
    for i, line in enumerate(printed):
        if line.kind == "group":
            yield r"\midrule"
            continue
        if i and line.kind == "row" and "below" in kinds[i - 1 : i + 2]:
            yield r"\addlinespace"
        yield _row(rf"\quad {line.label}" if line.kind == "below" else line.label, *line.texts)


def _row(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Return LaTeX that prints the text; `p_e` becomes a symbol, and brackets cannot be taken for options.

    A hyphen before a number is a minus, unless it stands within a word or between two numbers.
    """
    pieces = re.split(r"\b([a-zA-Z]_[a-zA-Z])\b", re.sub(r"(?<![\w.)\]-])-(?=\.?\d)", "−", text))
    return "".join(f"${piece}$" if i % 2 else _literal(piece) for i, piece in enumerate(pieces))


STYLE = Style(escape, lambda text: rf"\textbf{{{text}}}", lambda numbers: rf"\textsuperscript{{{numbers}}}")
"""How LaTeX has it."""


def _literal(text: str) -> str:
    return "".join(_ESCAPES.get(c, c if c <= _LAST_LETTER else "?") for c in text)
