"""The table command: Markdown, CSV, LaTeX and HTML output, and a user's mistakes."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest

import synthetic_store as synthetic
from browser import CHROMIUM, chromium
from commands import ROOT
from irm_sweeps import cli
from irm_sweeps.analysis.statistics.two_means import Summary
from irm_sweeps.analysis.tables.best_cells import best_cells
from irm_sweeps.analysis.tables.latex import escape
from irm_sweeps.analysis.tables.published import PublishedComparison
from irm_sweeps.analysis.tables.table import Cell, Table
from irm_sweeps.analysis.tables.text import paper_text
from irm_sweeps.analysis.text_grid import span
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.typed_commands import command
from table_words import BAE, by_seed, records


@pytest.fixture
def full(bae, tmp_path):
    """A store in which every kind of cell occurs."""
    store = tmp_path / "results"
    for row in ("erm", "irmv1", "grayscale"):
        synthetic.fill(store, bae, row, by_seed)
    trials = synthetic.trials_of(bae, "vrex")
    synthetic.write(store, synthetic.failed(trials[0], "100% of_the #disk & {more} \\ ~^ → é"))
    return store


def test_markdown_rows_have_equally_many_cells(show, full):
    lines = [line for line in show(*BAE).splitlines() if line.startswith("|")]
    cells, apart = lines[: 2 + 6 * 2 + 3], lines[2 + 6 * 2 + 3 :]
    assert [line.split("|")[1].strip() for line in cells[-3:]] == ["*theoretical*", "Random", "Optimal"]
    assert apart[0].split() == cells[0].split(), "the second table has the same columns"
    row, facts = "", {}
    for line in apart[2:]:
        name = line.split("|")[1].strip()
        if name.startswith("*"):
            facts[row].append(name.strip("*"))
        else:
            row, facts[name] = name, []
    compared, rerun = ["difference", "p (Holm)", "verdict"], "published code, rerun"
    assert facts == {
        "ERM": compared,
        "IRMv1": [*compared, rerun, "difference from it", "verdict on it"],
        "MM-REx": [rerun],
        "V-REx": [rerun],
        "ERM (grayscale)": compared,
    }
    for table in (cells, apart):
        assert {line.count("|") for line in table} == {5}
        assert len({len(line) for line in table}) == 1


def test_csv_has_one_line_a_cell(show, full):
    text = show(*BAE, "--format", "csv")
    assert len(records(text)) == 8 * 3 == len(text.splitlines()) - 1
    assert text.splitlines()[0] == (
        "table,row,label,theoretical,column,metric,rule,overrides,state,setting,settings,lam,mean,sd,n,lost,"
        "published_mean,published_sd,published_n,against,pairs,difference,difference_low,difference_high,p_value,p_holm,"
        "verdict,notices,needs_n,rerun_mean,rerun_sd,rerun_n,rerun_verdict,note,command"
    )


def test_csv_reads_back_into_pandas_with_its_types(show, full):
    """As `docs/how_to/paper_table.md` has it."""
    text = show(*BAE, "--format", "csv", "--select", "oracle", "training.precision=float32", "seed=range(0,10)")
    frame = pd.read_csv(io.StringIO(text), dtype_backend="numpy_nullable")
    kinds = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert {kinds[name] for name in ("n", "lost", "settings", "published_n")} == {"Int64"}
    assert {kinds[name] for name in ("mean", "sd", "lam", "published_mean", "difference_low", "p_holm")} == {"Float64"}
    assert {kinds[name] for name in ("row", "label", "rule", "verdict", "overrides")} == {"string"}
    assert kinds["theoretical"] == "boolean"
    cell = frame.set_index(["row", "column"]).loc[("erm", "p_e = 0.9")]
    assert (cell["label"], cell["rule"], cell["state"], cell["n"]) == ("ERM", "oracle", "measured", 10)
    assert shlex.split(cell["overrides"]) == ["training.precision=float32", "seed=range(0,10)"]
    assert set(frame[frame["theoretical"]]["label"]) == {"Random", "Optimal"}


def test_latex_is_complete_and_escaped(show, full):
    text = show(*BAE, "--format", "latex")
    begun = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    stack = []
    for what, name in begun:
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == []
    assert [name for what, name in begun if what == "begin"] == ["table", "tabular", "minipage"]
    for rule in (r"\toprule", r"\bottomrule", r"\caption{", r"\label{tab:bae2021-table1}"):
        assert text.count(rule) == 1

    measured, theoretical = text.partition(r"\bottomrule")[0].split(r"\midrule")[1:]
    rows = [line for line in measured.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 * 6
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}
    assert theoretical.strip().splitlines() == [r"Random & 50.0 & 50.0 & 50.0 \\", r"Optimal & 75.0 & 75.0 & 75.0 \\"]

    printed = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert set(printed) - set(map(chr, range(128))) == {"é"}
    assert not re.search(r"(?<!\\)[%#]", printed)
    assert "100\\% of\\_the \\#disk \\& \\{more\\} \\textbackslash{} \\textasciitilde{}\\textasciicircum{}" in printed
    assert balanced(printed)
    assert re.sub(r"\$[^$\n]*\$", "", printed).count("$") == 0
    assert r"\quad published & 88.6 $\pm$ 0.3 $\neq$" in printed
    for private in ("paper.only", "irm-sweeps", str(full), "Results from"):
        assert private not in text, "no command and no store of this machine"
    assert not re.search(r"(?<![\w-])results\b", text), "no store by the name that was given"
    details = show(*BAE, "--format", "latex", "--details")
    assert re.search(r"\\quad difference & \$-\$17\.1 \{\[\}\$-\$17\.[0-9], \$-\$1[0-9.]+\{\]\}", details)
    assert r"\quad verdict & differs" in details
    assert not re.search(r"[ \[{]-[0-9]", details), "every minus is one"


def balanced(text: str) -> bool:
    depth = 0
    for brace in re.sub(r"\\[{}\\]", "", text):
        depth += {"{": 1, "}": -1}.get(brace, 0)
        if depth < 0:
            return False
    return depth == 0


def test_html_is_a_page_of_its_own(show, full):
    text = show(*BAE, "--format", "html")

    class Page(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open, self.ids, self.targets, self.cells = [], set(), set(), [0]

        def handle_starttag(self, tag, attributes):
            given = dict(attributes)
            if tag not in ("meta", "link", "br", "img"):
                self.open.append(tag)
            assert not {"src", "srcset"} & set(given)
            assert tag not in ("script", "link")
            self.ids.add(given.get("id"))
            if tag == "a":
                self.targets.add(given["href"].removeprefix("#"))
            if tag in ("td", "th"):
                self.cells[-1] += int(given.get("colspan", 1))

        def handle_endtag(self, tag):
            assert self.open.pop() == tag
            if tag == "tr":
                self.cells.append(0)

    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.targets <= page.ids
    assert page.cells == [4] * (1 + 6 + 3 + 1 + 3 + 2) + [0], "in the second table: measured rows, and rerun ones"
    assert "#disk &amp; {more}" in text
    assert "http" not in text
    assert 'differs" title="differs; p = ' in text
    assert "Holm&#39;s p = " in text


def test_output_goes_to_a_file_whose_ending_gives_the_format(show, full, tmp_path):
    assert show(*BAE, "--output", "made/here/table.tex") == "made/here/table.tex\n"
    assert (tmp_path / "made/here/table.tex").read_text() == show(*BAE, "--format", "latex")
    show(*BAE, "--output", "table.txt", "--format", "csv")
    assert (tmp_path / "table.txt").read_text() == show(*BAE, "--format", "csv")


def test_a_table_without_published_cells_is_narrow(show, demo, tmp_path):
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    for form in ("md", "latex", "html"):
        text = show("--paper", "demo", "--format", form)
        assert "published" not in text.lower()
        assert "Welch" not in text


def test_an_unknown_table_lists_what_exists(refused):
    line = refused("--paper", "bae2021", "--table", "99")
    assert "bae2021_table99.yaml" in line
    assert "--paper bae2021 --table 1" in line
    assert "--paper demo" in line
    assert "did you mean `demo`" in refused("--paper", "dmeo")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--paper", "demo", "--format", "pdf"], "no 'pdf'; choose from text, md, latex"),
        (["--paper", "demo", "--select", "best"], "choose from last, oracle, stop, val"),
        (["--paper", "demo", "--paperr", "x"], "--paperr"),
        ([], "no sweep has been launched in results"),
        (["--paper", "demo", "seed"], "'seed' is no override"),
        (["--paper", "demo", "results=elsewhere"], "say --results elsewhere"),
        (["--paper", "demo", "sede=3"], "did you mean `seed`"),
        (["--paper", "demo", "dataset=mnits"], "dataset=mnits: no such dataset"),
        (["--paper", "demo", "--results", "seed=3"], "give at least one directory"),
    ],
)
def test_mistakes_are_one_line(refused, argv, words):
    assert words in refused(*argv)


def test_a_file_is_no_store(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file is a file, and no archive" in refused("--paper", "demo", "--results", "file")


def test_as_a_command(demo, tmp_path):
    """From another folder, as a user types it."""
    synthetic.fill(tmp_path / "results", demo, "erm", by_seed)
    script = [sys.executable, str(ROOT / "analysis" / "tables.py")]
    done = subprocess.run([*script, "--paper", "demo"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert "(n=3)" in done.stdout
    assert done.stderr == ""
    wrong = subprocess.run([*script, "--paper", "nobody"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: --paper nobody: no conf/paper/nobody.yaml")
    assert wrong.stderr.count("\n") == 1


def test_help_is_documentation_and_loads_no_torch(tmp_path):
    code = (
        "import sys; sys.argv = ['tables.py', '--help']\n"
        "import tables\n"
        "try: tables.main()\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "analysis", capture_output=True, text=True, check=True
    )
    for words in ("--paper bae2021 --table 1", "--select", "examples:", "exit codes:", "Welch"):
        assert words in done.stdout


def made(metric, *rows):
    """Return a table of one column with these labels and summaries; None is a theoretical row."""
    chance = Summary(50.0, None, None)
    cells = [(label, [Cell(label, "c", metric, summary, None if summary else chance)]) for label, summary in rows]
    return Table("t", "title", ["c"], cells, [], [])


def test_the_best_and_what_ties_with_it_is_bold(show, full):
    rows = [("a", Summary(70.0, 1.0, 10)), ("b", Summary(70.5, 1.0, 10)), ("c", Summary(60.0, 1.0, 10)), ("d", None)]
    assert best_cells(made("test/0/accuracy", *rows)) == {("a", "c"), ("b", "c")}
    assert best_cells(made("test/0/risk", *rows)) == {("c", "c")}
    lone = [("a", Summary(70.0, None, 1)), ("b", Summary(70.5, 1.0, 10))]
    assert best_cells(made("test/0/accuracy", *lone)) == {("b", "c")}, "without a spread only equals tie"
    text = show(*BAE, "--format", "latex", "--bold", "best")
    bold = {line.split(r"\textsuperscript")[0] for line in text.splitlines() if r"\textbf" in line}
    assert bold == {"ERM", "IRMv1", "ERM (grayscale)"}, "their accuracies are the same"
    assert "Bold: in each column the best mean" in text
    assert r"\textbf" not in show(*BAE, "--format", "latex")
    assert "** (n=10)" in show(*BAE, "--bold", "best")
    assert "* (n=10)" in show(*BAE, "--bold", "best", "--format", "text")


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("-0.3 [-0.6, +0.1]", "$-$0.3 {[}$-$0.6, +0.1{]}"),
        ("lr=-1 1e-3 2026-11-30 p-2 a--1 -.5", "lr=$-$1 1e-3 2026-11-30 p-2 a--1 $-$.5"),
        ("75.0 ± 1.0 ≈ ≠ ↑", r"75.0 $\pm$ 1.0 $\approx$ $\neq$ $\uparrow$"),
    ],
)
def test_a_minus_in_latex_is_one_and_a_hyphen_is_none(text, printed):
    assert escape(text) == printed


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_text_fits_the_terminal(show, full, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = show(*BAE, "--format", "text", "--details").splitlines()
    assert max(span(line) for line in lines if "irm-sweeps launch" not in line) <= width
    cells = " ".join(lines)
    assert [cells.count(f"p_e = {e}") for e in ("0.1", "0.2", "0.9")] == [2, 2, 2], "each column, in both grids"


def test_wide_and_combining_characters_take_their_own_width():
    assert [span(text) for text in ("abc", "\u65e5\u672c", "e\u0301", "± ≈")] == [3, 4, 1, 3]
    summary = Summary(70.0, 1.0, 3)
    lines = paper_text(
        made("test/0/accuracy", ("\u65e5\u672c\u8a9e", summary), ("e\u0301t\u00e9", summary))
    ).splitlines()
    starts = [span(line[: line.index("70.0")]) for line in lines if "70.0" in line]
    assert starts == [8, 8]


@pytest.mark.parametrize("above", ["made", "file/made", "shut/made"])
def test_a_mistake_makes_no_folder(refused, demo, tmp_path, above):
    (tmp_path / "file").write_text("")
    (tmp_path / "shut").mkdir(mode=0o500)
    wrong = [] if above == "file/made" else ["seed=x"]
    line = refused("--paper", "demo", *wrong, "--output", f"{above}/t.md")
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "shut" / "made").exists()
    if above == "file/made":
        assert line == (
            f"error: --output file/made/t.md: {tmp_path / 'file'} is no folder; name another place with --output FILE\n"
        )
    if above == "shut/made" and os.geteuid():
        assert "no permission to write in" in line


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_a_page_fits_a_narrow_window_scrolls_by_keyboard_and_prints_whole(show, full, tmp_path):
    show(*BAE, "--output", "table.html")
    overflow = "[...document.querySelectorAll('.wide')].map((region) => region.scrollWidth - region.clientWidth)"
    with chromium(tmp_path / "profile") as page:
        page.open(tmp_path / "table.html", 720)
        assert max(page.run(overflow)) == 0
        page.open(tmp_path / "table.html", 390)
        assert page.run("document.documentElement.scrollWidth") <= 390
        assert page.run(overflow)[0] > 0
        page.run("const region = document.querySelector('.wide'); region.focus(); region.scrollLeft = 50")
        assert page.run("document.activeElement === region && region.scrollLeft > 0")
        assert page.run("region.getAttribute('role') + region.tabIndex + !!region.ariaLabel") == "region0true"
        page.open(tmp_path / "table.html", 1032, media="print")
        assert page.run("document.documentElement.scrollWidth") <= 1032
        assert page.run("document.querySelector('details.apart td').getBoundingClientRect().height > 0")
        assert page.complaints() == []


@pytest.mark.parametrize("name", ["table", "figure", "report"])
def test_help_fits_the_terminal_and_breaks_no_command(name, monkeypatch, capsys):
    def printed(columns):
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit):
            cli.main([name, "--help"])
        return capsys.readouterr().out

    narrow, wide = printed(80), printed(300)
    words = f"  {command(name)} "
    commands = [line for line in wide.splitlines() if line.startswith(words)]
    assert len(commands) > 2
    assert set(commands) <= set(narrow.splitlines())
    assert max(len(line) for line in narrow.splitlines() if not line.startswith(words)) <= 80
    description = wide.partition("\n\n")[2].partition("positional arguments:")[0]
    assert 100 < max(map(len, description.splitlines())) <= 120
    assert description.split() == narrow.partition("\n\n")[2].partition("positional arguments:")[0].split()


def test_where_only_theory_is_published_nothing_is_said_of_verdicts():
    paper = load_paper("cmnist_common")
    measured = [Cell("erm", "val", "test/0.9/accuracy", Summary(10.1, 0.4, 3), None)]
    theory = [Cell("optimal", "val", "test/0.9/accuracy", None, Summary(75.0, None, None))]
    comparison = PublishedComparison(paper)
    rows = [("ERM", measured), ("Optimal", theory)]
    assert comparison.columns(rows) == ()
    assert list(comparison.footer(rows)) == ["Published: none; every method under one protocol."]
    printed = [Cell("erm", "val", "test/0.9/accuracy", Summary(10.1, 0.4, 3), Summary(11.0, 0.4, 3))]
    assert comparison.columns([("ERM", printed), *rows]) == ("published", "difference", "p", "verdict")
    assert any(line.startswith("Verdict: ") for line in comparison.footer([("ERM", printed), *rows]))
