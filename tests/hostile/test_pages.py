"""Malicious text in results appears on pages as text, never as code, formulas or computed cells."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import synthetic_store
from irm_sweeps.analysis import figure_command, table_command
from irm_sweeps.errors import one_line, printable
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.paper import load_paper

HOSTILE = (
    '=HYPERLINK("http://x") </td><script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) '
    "\\input{/etc/passwd} \\write18{touch x} $\\frac{1}$ %& ^^M | ` \x1b]0;owned\x07 \x00 \u202e"
)


@pytest.fixture(scope="module", autouse=True)
def _composed_once():
    with synthetic_store.composed_once():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table's row whose one failure says everything at once."""
    root = tmp_path_factory.mktemp("store") / "results"
    demo = load_paper("demo")
    first, *others = synthetic_store.trials_of(demo, "irmv1")
    synthetic_store.write(root, synthetic_store.failed(first, HOSTILE))
    synthetic_store.write(root, *(synthetic_store.completed(trial, lambda *_: 0.5) for trial in others))
    synthetic_store.fill(root, demo, "erm", lambda *_: 0.75)
    return root


def table(store: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> str:
    table_command.main(["--paper", "demo", "--results", str(store), "--format", kind])
    return capsys.readouterr().out


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.handlers: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_html_shows_it(store: Path, capsys) -> None:
    tags = Tags()
    tags.feed(table(store, "html", capsys))
    assert not {"script", "img"} & set(tags.found)
    assert tags.handlers == []
    assert "<script>alert(1)</script>" in tags.words


def test_markdown_begins_no_tag(store: Path, capsys) -> None:
    text = table(store, "md", capsys)
    assert "alert(1)" in text
    assert not re.search(r"(?<!\\)<[A-Za-z/!?]", text)
    assert "p < alpha" in text or "<" in text


def test_no_cell_of_a_csv_file_computes(store: Path, capsys) -> None:
    """A spreadsheet takes what begins with these characters for a formula; numbers may begin with a minus."""
    rows = list(csv.reader(io.StringIO(table(store, "csv", capsys))))
    assert any("HYPERLINK" in cell for row in rows for cell in row)
    for cell in (cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")):
        float(cell)


def test_latex_typesets_it(store: Path, capsys) -> None:
    text = table(store, "latex", capsys)
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert not re.search(r"\\(input|write|frac)\b", text)
    assert "^^" not in text
    assert text.replace("\n", "").isprintable()


def test_no_output_moves_the_terminal_s_cursor(store: Path, capsys) -> None:
    for kind in ("md", "csv", "latex", "html"):
        assert table(store, kind, capsys).replace("\n", "").isprintable(), kind
    table_command.main(["--paper", "demo", "--results", str(store), "--missing"])
    assert capsys.readouterr().out.replace("\n", "").isprintable()


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_draws_names_as_they_stand(kind: str, store: Path, tmp_path: Path, capsys) -> None:
    """Environments of a stored result are places of an axis: `$` is no formula to matplotlib."""
    root = tmp_path / "results"
    demo = load_paper("demo")
    for trial in synthetic_store.trials_of(demo, "erm"):
        result = synthetic_store.completed(trial, lambda *_: 0.5)
        for chosen in result["metrics"].values():
            test = chosen["scores"]["test"]
            chosen["scores"]["test"] = {**test, "$\\frac{1}$": test["0.1"], "$": test["0.1"], "<b>\0": test["0.1"]}
        synthetic_store.write(root, json.loads(json.dumps(result)))
    output = tmp_path / f"figure.{kind}"
    figure_command.main(["--paper", "demo", "--results", str(root), "--output", str(output)])
    assert output.stat().st_size > 1000
    if kind == "svg":
        import xml.etree.ElementTree as ElementTree

        words = "".join(ElementTree.fromstring(output.read_bytes()).itertext())
        assert "$\\frac{1}$" in words
        assert "<b>" in words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± λ 数\tand\nlines", "plain ± λ 数\tand\nlines"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\rb\x0bc\x85d", "a b c d"),
        ("\x9b1A", r"\x9b1A"),
        ("\u202etxt", r"\u202etxt"),
        ("\ud800", "?"),
        ("\x7f\0", r"\x7f\x00"),
    ],
)
def test_what_is_printable(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    shown.encode()


def test_one_line_is_short_and_keeps_both_ends() -> None:
    line = one_line("begin\n" + "x" * 10_000_000 + "\nend", at_most=100)
    assert line.startswith("begin x")
    assert len(line) <= 110
    assert one_line("a \n b") == "a b"


def test_a_store_s_problem_is_told_without_its_bytes(store: Path, tmp_path: Path) -> None:
    root = Store(tmp_path / "results")
    trial_id = "0" * 16
    root.folder(trial_id).mkdir(parents=True)
    (root.folder(trial_id) / "result.json").write_text(json.dumps({"schema": "\x1b[2J" * 10_000}))
    (problem,) = root.results()
    reason = getattr(problem, "reason")  # noqa: B009
    assert len(reason) < 300
    assert reason.isprintable()
