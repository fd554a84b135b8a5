"""The table command: Markdown, CSV, LaTeX and HTML output, and a user's mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

import synthetic_store as synthetic
from commands import ROOT
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
    assert len(lines) == 2 + 8
    assert {line.count("|") for line in lines} == {17}
    assert len({len(line) for line in lines}) == 1


def test_csv_has_one_line_a_cell(show, full):
    text = show(*BAE, "--format", "csv")
    assert len(records(text)) == 8 * 3 == len(text.splitlines()) - 1
    assert text.splitlines()[0] == (
        "row,column,metric,setting,lam,mean,sd,n,published_mean,published_sd,published_n,against,pairs,difference,"
        "difference_low,difference_high,p_value,p_holm,verdict,notices,needs_n,rerun_mean,rerun_sd,rerun_n,rerun_verdict,"
        "note,command"
    )


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
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\label{tab:bae2021-table1}"):
        assert text.count(rule) == 1

    inside = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    rows = [line for line in inside.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 2 * 8 + 2 * 3 + 3  # three rows with a rerun of the published code
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {3}

    printed = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert set(printed) - set(map(chr, range(128))) == {"é"}
    assert not re.search(r"(?<!\\)[%#]", printed)
    assert "100\\% of\\_the \\#disk \\& \\{more\\} \\textbackslash{} \\textasciitilde{}\\textasciicircum{}" in printed
    assert balanced(printed)
    assert re.sub(r"\$[^$\n]*\$", "", printed).count("$") == 0
    assert r"\textquotesingle{}paper.only={[}vrex{]}\textquotesingle{} rerun=failed}" in printed
    assert r"\quad published & 88.6 $\pm$ 0.3" in printed
    assert re.search(r"\\quad difference & -17\.1 \{\[\}-17\.[0-9], -1[0-9.]+\{\]\}", printed)
    assert r"\quad verdict & differs" in printed


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
    assert page.cells == [16] * (2 + 8) + [0]
    assert "#disk &amp; {more}" in text
    assert "http" not in text
    assert ">differs<" in text
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
