"""The report: a complete, self-contained page that treats stored text as untrusted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import synthetic_store as synthetic
from irm_sweeps.analysis import report_command as report
from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.sweep.paper import load_paper
from report_page import Outline, by_seed, words


def test_the_verdicts_come_first_and_count_every_test(text: str, outline: Outline) -> None:
    said = words(outline)
    counts = re.search(r"(\d+) published cells compared: (\d+) equivalent, (\d+) differ, (\d+) undecided", said)
    assert counts is not None
    assert int(counts[1]) == 12 == sum(int(counts[i]) for i in (2, 3, 4))
    assert "Of 9 tests" in said, "three cells are printed without ±"
    listed = re.findall(
        r'<td class="number equivalent">(\d+)</td><td class="number[^"]*">(\d+)</td>\s*<td class="number">(\d+)<', text
    )
    repeated = sum(int(n) for row in listed for n in row) - 12
    assert repeated > 0, "Figure 3 and cmnist have cells of Table 1"
    assert f"{repeated} of the cells below repeat a cell of a table above them" in said
    assert said.index("published cells compared") < said.index("bae2021 Table 1: test accuracy")
    assert "0.45 would by chance" in said
    assert "36 trials from" in said


def test_papers_with_results_are_shown_and_the_others_have_their_command(text: str, outline: Outline) -> None:
    assert {"bae2021_table1", "bae2021_figure3", "demo"} <= set(outline.ids), "a figure of the table's trials, too"
    assert "bae2021_table5" not in outline.ids
    assert "python launch.py -m paper=bae2021_table5" in text


def test_the_answer_comes_first_and_the_rest_in_the_order_of_the_paper(outline: Outline) -> None:
    said = words(outline)
    answer = said.index("of 12 published cells are equivalent")
    assert answer < said.index("bae2021 Table 1: test accuracy") < said.index("Cells by verdict")
    shown = [name for name in outline.ids if name in paper_names()]
    assert shown == [*(name for name in load_paper("bae2021").include if name in shown), "cmnist", "demo"]
    headings = re.findall(r"<h2 id=[^>]*>([^<]*)", outline.text)
    assert headings[:3] == ["bae2021 Table 1", "Verdicts", "bae2021 Figure 3"]
    assert headings[headings.index("Demo") + 1] == "Not yet run"
    folded = outline.text.partition('id="absent"')[2].partition("</section>")[0]
    assert "<details>" in folded.partition("bae2021_table5")[0], "commands of what was not run are folded"


def test_every_measured_cell_has_its_command(store: Path, outline: Outline) -> None:
    bae = load_paper("bae2021_table1")
    said = words(outline)
    for row in ("erm", "irmv1", "vrex", "grayscale"):
        command = bae.command(row, [f"results={store}"])
        assert said.count(command) >= 3, row


def test_every_trial_has_its_command(store: Path, text: str) -> None:
    for folder in store.iterdir():
        if (folder / "result.json").exists() and (folder / "result.json").read_text() != "{":
            assert f"irm-sweeps reproduce {folder.name}" in text


def test_what_was_lost_is_said_with_its_reason(outline: Outline) -> None:
    said = words(outline)
    assert "1 failed: RuntimeError: </pre></script><script>" in said
    assert "1 diverged: the objective was not finite" in said
    assert "result.json" in said[said.index("Results that were skipped") :]


def test_figures_are_embedded(outline: Outline) -> None:
    shown = [name for name in paper_names() if name in outline.ids]
    assert {"demo", "bae2021_table1", "bae2021_figure3"} <= set(shown)
    kinds = [figure.kind for name in shown if (figure := load_paper(name).figure)]
    # One of the training history draws nothing here: the synthetic store has none.
    assert len(outline.sources) == len(kinds) - kinds.count("history")
    assert all(source.startswith("data:image/svg+xml;base64,") for source in outline.sources)


def test_the_page_needs_nothing_else(text: str, outline: Outline) -> None:
    assert "http:" not in text
    assert "https:" not in text
    assert not {"iframe", "object", "embed", "base", "form"} & set(outline.tags)
    assert [t for t in outline.targets if not t.startswith("#")] == []
    assert "default-src 'none'" in text
    assert text.startswith("<!DOCTYPE html>")


def test_the_page_is_well_formed_and_its_links_lead_somewhere(outline: Outline) -> None:
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert {target.removeprefix("#") for target in outline.targets} <= set(outline.ids)
    assert outline.unnamed == 0
    assert outline.tags.count("caption") == outline.tags.count("table") - 1  # the list's caption is its summary
    assert outline.tags.count("main") == outline.tags.count("h1") == 1


def test_nothing_from_the_store_becomes_html(text: str, outline: Outline) -> None:
    assert outline.tags.count("script") == 1
    assert outline.tags.count("img") == len(outline.sources), "the figures"
    assert "<script>window.hacked" not in text
    assert 'onerror="' not in text
    assert text.count("&lt;script&gt;window.hacked") >= 6


def test_overrides_and_several_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo = load_paper("demo")
    one, two = tmp_path / "one", tmp_path / "two"
    synthetic.fill(one, demo, "erm", by_seed, ["seed=0"])
    synthetic.fill(two, demo, "erm", by_seed, ["seed=range(1,4)"])
    output = tmp_path / "deep" / "page.html"
    report.main(["--results", str(one), str(two), "--output", str(output), "seed=range(0,4)"])
    assert capsys.readouterr().out == f"{output}\n"
    said = words(Outline(output.read_text()))
    assert "(n=4)" in said
    assert "4 trials from" in said
    assert "overrides seed=range(0,4)" in said
    assert "None: Demo has no published numbers to compare with." in said
    for promised in ("can be compared yet", "Cells by verdict", "show published values"):
        assert promised not in said


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--results", "nowhere"], "nowhere: no such directory"),
        (["--paper", "demo"], "--paper"),
        (["sede=3"], "did you mean `seed`"),
        (["paper.only=[ermm]"], "paper.only: no paper file has a row 'ermm' (did you mean `erm`?); rows have the"),
        (["paper.only=[erm,bae2021_table1]"], "no paper file has a row 'bae2021_table1'"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(SystemExit) as stop:
        report.main(argv)
    assert stop.value.code == 2
    line = capsys.readouterr().err
    assert complaint in line
    assert line.count("\n") == 1
    assert not (tmp_path / "results" / "report.html").exists()
