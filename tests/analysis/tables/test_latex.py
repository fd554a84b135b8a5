"""LaTeX of tables: it fits the text width of `article`, is cut by no page, and compiles where there is a TeX."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis.statistics.two_means import Summary
from irm_sweeps.analysis.sweeps.against import against_setting
from irm_sweeps.analysis.tables.latex import escape, latex
from irm_sweeps.analysis.tables.notes import Note
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.sweep.grid import trials
from table_words import BAE, by_seed

ARCHIVE = str(Path(__file__).resolve().parents[3] / "docs" / "results" / "bae2021.zip")
TABLES = [
    [*BAE, "--results", ARCHIVE],
    [*BAE, "--results", ARCHIVE, "--details", "--bold", "best"],
    ["--paper", "bae2021", "--table", "3", "--results", ARCHIVE],
    ["--paper", "bae2021", "--figure", "4", "--results", ARCHIVE],
    ["--paper", "lin2021", "--table", "1"],
    ["method=irmv1,vrex", "lam=1,100"],
    ["method=erm", "training.steps=1", "training.l2=0.001,0.01", "dataset.grayscale=true,false", "--results", ARCHIVE],
]
"""One number of seeds and several, notes that fill pages, six columns, nothing measured, long names of settings."""
LONG_NAMES = [
    "method=erm,irmv1",
    "training.l2=0.001,0.01",
    "dataset.grayscale=true,false",
    "training.steps=100",
    "seed=0,1,2",
]


def test_it_is_whole_and_says_once_what_all_cells_share(show):
    texts = [show(*words, "--format", "tex") for words in TABLES]
    for text in texts:
        begun = Counter(re.findall(r"\\begin\{(\w+)\}", text))
        assert begun == Counter(re.findall(r"\\end\{(\w+)\}", text))
        assert not re.search(r"\\midrule\n\\midrule", text)
        floats = re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.S)
        assert all(len(re.sub(r"\\[a-z]+", "", one)) < 6000 for one in floats), "a page holds it"
        printed = [line for line in text.splitlines() if not line.startswith("%")]
        assert Counter("\n".join(printed))["{"] == Counter("\n".join(printed))["}"]
    assert "n = 10." in texts[0]
    assert "(n=10)" not in texts[0]
    assert r"{\scriptsize (n=9 of 10)}" in texts[2], "where numbers of seeds differ, each cell has its own"
    assert texts[1].count(r"\begin{table}") == 2
    assert r"Notes on Table~\ref{tab:bae2021-table1}." in texts[1]


GREEK = {"β_e of λ, π": r"$\beta$\_e of $\lambda$, $\pi$", "ΔΦ≤ψ": r"$\Delta$$\Phi$$\leq$$\psi$", "ω": r"$\omega$"}
LETTERS = {**GREEK, "x₁ → ∞": r"x$_1$ $\rightarrow$ $\infty$", "Arjovsky’s “IRM”": "Arjovsky's ``IRM''"}


@pytest.mark.parametrize("text", LETTERS)
def test_letters_of_formulas_are_printed(text):
    assert escape(text) == LETTERS[text]


def test_every_small_greek_letter_has_its_name():
    """The names of Unicode are the reference: LaTeX has the same, but for the letters with two shapes."""
    shapes = {"lamda": "lambda", "epsilon": "varepsilon", "final sigma": "varsigma", "phi": "varphi"}
    for code in range(ord("α"), ord("ω") + 1):
        name = unicodedata.name(chr(code)).removeprefix("GREEK SMALL LETTER ").lower()
        assert escape(chr(code)) == ("o" if name == "omicron" else rf"$\{shapes.get(name, name)}$")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_every_latin_and_greek_letter_compiles(tmp_path):
    greek = [chr(code) for code in range(ord("Α"), ord("ω") + 1)]
    letters = [letter for letter in greek if not unicodedata.decomposition(letter) and letter.isalpha()]
    letters += [chr(code) for code in (*range(ord("!"), ord("?")), *range(ord("@"), 0x7F), *range(0xA0, 0x180))]
    text = "\n\n".join(map(escape, letters))
    (tmp_path / "letters.tex").write_text(f"\\documentclass{{article}}\\begin{{document}}{text}\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "letters.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "?" not in text


def test_letters_that_latex_lacks_are_printed_as_the_nearest_ones():
    assert escape("Dąbrowski & Đorđević, Þór «ŉ»") == r"Dabrowski \& Dordević, Thór $\ll$'n$\gg$"


def tall(name, rows, columns, *, published=False, notes=0):
    """Return a made-up table; `name` has a place for a row's number."""
    theirs = Summary(60.0, 1.0, 3) if published else None
    reasons = [Note(f"reason {i} of why seeds have no value, which is told at some length here") for i in range(notes)]
    headings = [f"test 0.{column}" for column in range(columns)]

    def cell(row, heading):
        own = (reasons[row % notes],) if notes else ()
        measured, seeds = Summary(60.0, 1.0, 3), {1: 59.0 + row, 2: 60.0, 3: 61.5}
        return Cell(name % row, heading, "test/0/accuracy", measured, theirs, by_seed=seeds, notes=own)

    cells = [(name % row, [cell(row, heading) for heading in headings]) for row in range(rows)]
    shown = ("published",) if published else ()
    sentences = ["How it was measured. " * 4]
    return Table("t", "A title. " * 9, headings, cells, reasons, sentences, shown)


LONG = "irmv1 lam=%d optimizer.lr=0.001 training.l2=0.01 backbone.width=64"
MADE_UP = {
    "a comparison of 20 settings": (against_setting(tall("irmv1 lam=%d", 20, 4), "irmv1 lam=0"), 2),
    "a comparison of 40 settings with long names": (against_setting(tall(LONG, 40, 3), LONG % 0), 2),
    "70 settings": (tall("irmv1 lam=%d", 70, 4), 1),
    "more columns than a line has room for": (tall("irmv1 lam=%d", 70, 12), 1),
    "two lines a row": (tall("irmv1 lam=%d", 40, 3, published=True), 1),
    "notes that fill the page": (tall("irmv1 lam=%d", 30, 3, notes=25), 1),
}
"""Tables that no page holds, and how many captions they have besides those that continue one."""


@pytest.mark.parametrize("case", MADE_UP)
def test_a_table_that_no_page_holds_goes_on(case):
    table, titles = MADE_UP[case]
    text = latex(table, details=True)
    floats = re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.S)
    captions = [re.search(r"\\caption\{(.*)\}", one)[1] for one in floats]
    assert len(floats) > 1 or "Notes on Table" in text
    assert sum(not caption.endswith("(continued)") for caption in captions) == titles
    assert len(set(re.findall(r"\\label\{.*?\}", text))) == len(floats)
    measured = re.findall(r"60\.0 \$\\pm\$ 1\.0", text)
    cells = list(table.cells)
    assert len(measured) == len(cells) + sum(cell.published is not None for cell in cells)
    for one in floats:
        first = one.partition("\\midrule\n")[2].splitlines()[0]
        assert not first.startswith((r"\quad", r"\addlinespace")), "what stands below a row is with it"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_it_compiles_and_nothing_is_cut(show, tmp_path):
    for trial in trials(LONG_NAMES).values():
        synthetic.write(tmp_path / "results", synthetic.completed(trial, by_seed))
    compared = [*LONG_NAMES, "--against", "erm grayscale=true l2=0.001"]
    texts = [show(*words, "--format", "latex") for words in [*TABLES, compared]]
    texts += [latex(table, details=True) for table, _ in MADE_UP.values()]
    text = "\n\\clearpage\n".join(texts)
    document = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{text}\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    said = [line for line in ran.stdout.splitlines() if line.startswith(("Overfull", "LaTeX Warning: Float too large"))]
    assert said == []
