"""A table as LaTeX: a booktabs float that prints the comparison in separate lines, so that it fits a column."""

from __future__ import annotations

import re

from irm_sweeps.analysis.cell_text import COMPARISON_COLUMNS, NOTHING, measured_text
from irm_sweeps.analysis.table import Cell, Table

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
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "λ": r"$\lambda$",
}

_LAST_LETTER = "\u017f"
"""Last letter of Latin Extended-A, which LaTeX reads without further packages; later characters become `?`."""


def latex(table: Table) -> str:
    """Return a `table` float, which needs `\\usepackage{booktabs}` and, before LaTeX 2020, `textcomp`."""
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
    ]
    for i, (label, cells) in enumerate(table.rows):
        if i and table.comparison_columns:
            lines.append(r"\addlinespace")
        lines.append(_row(escape(label), *(_measured(table, cell) for cell in cells)))
        for column in (COMPARISON_COLUMNS[name] for name in table.comparison_columns):
            texts = [column.text(cell) for cell in cells]
            if set(texts) - {"", NOTHING}:
                lines.append(_row(rf"\quad {escape(column.heading)}", *map(escape, texts)))
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip"]
    lines += [r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright"]
    for i, note in enumerate(table.notes, 1):
        tail = f": {typewriter(note.command)}" if note.command else ""
        lines.append(rf"\textsuperscript{{{i}}}~{escape(note.text)}{tail}.\par")
    lines += [rf"{escape(line)}\par" for line in table.footer]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _measured(table: Table, cell: Cell) -> str:
    numbers = ",".join(map(str, table.note_numbers(cell)))
    return escape(measured_text(cell)) + (rf"\textsuperscript{{{numbers}}}" if numbers else "")


def _row(*cells: str) -> str:
    return " & ".join(cells) + r" \\"


def escape(text: str) -> str:
    """Return LaTeX that prints the text; `p_e` becomes a symbol, and brackets cannot be taken for options."""
    pieces = re.split(r"\b([a-zA-Z]_[a-zA-Z])\b", text)
    return "".join(f"${piece}$" if i % 2 else _literal(piece) for i, piece in enumerate(pieces))


def typewriter(text: str) -> str:
    r"""Return a shell command in typewriter type, in which every character is literal."""
    return rf"\texttt{{{_literal(text)}}}"


def _literal(text: str) -> str:
    return "".join(_ESCAPES.get(c, c if c <= _LAST_LETTER else "?") for c in text)
