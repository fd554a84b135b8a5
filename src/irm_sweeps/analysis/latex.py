"""A table as LaTeX: a float for booktabs, what is compared on lines of its own so that it fits a column."""

from __future__ import annotations

import re

from irm_sweeps.analysis.cell_text import KINDS, NOTHING, measured_text
from irm_sweeps.analysis.table import Table

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
"""The end of Latin Extended-A, which LaTeX reads without further packages."""


def escape(text: str) -> str:
    """Return text that LaTeX prints as it stands; `p_e` becomes the symbol, brackets cannot be options."""
    pieces = re.split(r"\b([a-zA-Z]_[a-zA-Z])\b", text)
    return "".join(f"${piece}$" if i % 2 else _literal(piece) for i, piece in enumerate(pieces))


def command(text: str) -> str:
    r"""Return a shell command in typewriter type, to be copied character by character."""
    return rf"\texttt{{{_literal(text)}}}"


def latex(table: Table) -> str:
    """Return a `table` float; it needs `\\usepackage{booktabs}` and, before LaTeX 2020, `textcomp`."""
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
        if i and table.beside:
            lines.append(r"\addlinespace")
        own = []
        for cell in cells:
            numbers = ",".join(str(table.notes.index(note) + 1) for note in cell.notes)
            own.append(escape(measured_text(cell)) + (rf"\textsuperscript{{{numbers}}}" if numbers else ""))
        lines.append(_row(escape(label), *own))
        for kind in (KINDS[name] for name in table.beside):
            words = [kind.text(cell) for cell in cells]
            if set(words) - {"", NOTHING}:
                lines.append(_row(rf"\quad {escape(kind.heading)}", *map(escape, words)))
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\smallskip"]
    lines += [r"\begin{minipage}{\linewidth}", r"\footnotesize\raggedright"]
    for i, note in enumerate(table.notes, 1):
        tail = f": {command(note.command)}" if note.command else ""
        lines.append(rf"\textsuperscript{{{i}}}~{escape(note.text)}{tail}.\par")
    lines += [rf"{escape(line)}\par" for line in table.footer]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    return "".join(_ESCAPES.get(c, c if c <= _LAST_LETTER else "?") for c in text)


def _row(*cells: str) -> str:
    return " & ".join(cells) + r" \\"
