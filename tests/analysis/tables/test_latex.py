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
from irm_sweeps.analysis.tables.latex import escape
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
def test_every_greek_letter_compiles(tmp_path):
    plain = [chr(code) for code in range(ord("Α"), ord("ω") + 1)]
    letters = "".join(escape(letter) for letter in plain if not unicodedata.decomposition(letter) and letter.isalpha())
    (tmp_path / "greek.tex").write_text(f"\\documentclass{{article}}\\begin{{document}}{letters}\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "greek.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "?" not in letters


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_it_compiles_and_nothing_is_cut(show, tmp_path):
    for trial in trials(LONG_NAMES).values():
        synthetic.write(tmp_path / "results", synthetic.completed(trial, by_seed))
    compared = [*LONG_NAMES, "--against", "erm grayscale=true l2=0.001"]
    text = "\n\\clearpage\n".join(show(*words, "--format", "latex") for words in [*TABLES, compared])
    document = f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{text}\\end{{document}}\n"
    (tmp_path / "paper.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    said = [line for line in ran.stdout.splitlines() if line.startswith(("Overfull", "LaTeX Warning: Float too large"))]
    assert said == []
