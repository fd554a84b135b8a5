"""Which papers, rows and figures have a section in the report, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from irm_sweeps.analysis.paper_files import paper_names
from irm_sweeps.analysis.papers.candidates import candidate_cells
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report import sections as report_sections
from irm_sweeps.analysis.report.order import in_order
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import UserError
from irm_sweeps.sweep import grid
from irm_sweeps.sweep.paper import load_paper, read_plain
from report_page import Outline, reported, words


def test_a_paper_file_is_read_as_hydra_reads_it(composed_once: None) -> None:
    plain = {name: values for name in paper_names() if (values := read_plain(name)) is not None}
    assert {"bae2021_table1", "bae2021_figure3"} - plain.keys() == {"bae2021_figure3"}, "which has a list of defaults"
    for name, values in plain.items():
        assert values == compose([f"paper={name}"])["paper"], name


def test_the_quick_look_finds_every_cell_that_has_results(composed_once: None) -> None:
    """The classes that it reads in the overrides are those of the trials that Hydra composes."""
    for name in ("bae2021_table1", "protocols", "bae2021_table6"):
        paper = load_paper(name)
        every = [(row, column) for row in paper.shown.values() if row.sweep is not None for column in paper.columns]
        classes = {}
        for row, column in every:
            for trial in paper.cell_trials(row, column).values():
                key = tuple(trial.config[group]["_target_"] for group in COMPONENTS)
                classes.setdefault(key, []).append((row.label, column.label))
        for key, cells in classes.items():
            found = {(row.label, column.label) for row, column in candidate_cells(paper, {key})}
            assert found == set(cells), name
        assert not list(candidate_cells(paper, set()))


def test_a_union_is_neither_shown_nor_waited_for(store: Path, outline: Outline) -> None:
    """Its tables are on the page; no command would bring a table of its own there."""
    assert load_paper("bae2021").include
    parts = list(report_sections.sections(Results([store]), [store], None, []))
    assert "bae2021" not in [
        part.paper.name if isinstance(part, report_sections.Section) else part.name for part in parts
    ]
    assert load_paper("bae2021").title not in words(outline)


def test_some_rows_of_all_papers(store: Path, tmp_path: Path) -> None:
    """Each paper has those rows that it has; one without any is left out, and not to be run."""
    page = reported(store, tmp_path, "paper.only=[irmv1,mm_rex]")
    said = words(page)
    assert {"bae2021_table1", "bae2021_figure3"} <= set(page.ids)
    assert "Rows shown: irmv1, mm_rex." in said
    assert "Left out, without trials in the rows that are asked for: " in said
    left_out = said.partition("that are asked for: ")[2].partition(".")[0].split(", ")
    for name in paper_names():
        paper = load_paper(name)
        has = [row for row in ("irmv1", "mm_rex") if row in paper.rows]
        assert (name in left_out) == (not has and not paper.include), name
        if has and name not in page.ids:
            assert f"paper={name} 'paper.only=[{','.join(has)}]'".replace("'", "") in said.replace("'", "")
    assert "no row" not in said
    assert "cannot be shown" not in said


def test_a_row_without_trials_is_not_to_be_run(store: Path, tmp_path: Path) -> None:
    said = words(reported(store, tmp_path, "paper.only=[random]"))
    assert "bae2021_table1" in said.partition("that are asked for: ")[2].partition(".")[0].split(", ")
    assert "paper=bae2021_table1" not in said


def test_what_cannot_be_shown_is_not_waited_for(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "mine.yaml").write_text("name: mine\ntitle: Mine\nselct: val\n")
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path))
    said = words(reported(store, tmp_path, "method.dummy=vector"))
    waited, _, unshown = said.partition("Not yet run")[2].partition("Cannot be shown")
    assert "mine cannot be shown: unknown key `paper.selct`" in unshown
    assert "cannot be shown: demo, row erm: unknown key `method.dummy`" in unshown
    assert "unknown key" not in waited
    with pytest.raises(UserError, match=r"no paper file has a row 'ermm'.*; of mine nothing is known"):
        list(report_sections.sections(Results([store]), [store], None, [], ["paper.only=[ermm]"]))


def test_hydra_is_asked_nothing_twice(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composed, groups = [], []
    compose, is_group = grid.compose, grid.is_group

    def composing(overrides: Sequence[str], *, resolve: bool) -> Any:
        composed.append(tuple(overrides))
        return compose(overrides, resolve=resolve)

    def asking(key: str) -> bool:
        groups.append(key)
        return is_group(key)

    monkeypatch.setattr(grid, "compose", composing)
    monkeypatch.setattr(grid, "is_group", asking)
    parts = list(report_sections.sections(Results([store]), [store], None, []))
    assert {type(part) for part in parts} == {report_sections.Section, report_sections.Absent}
    assert composed
    assert len(composed) == len(set(composed))
    assert groups
    assert len(groups) == len(set(groups))


def test_the_order_is_that_of_numbers_where_no_union_says(composed_once: None) -> None:
    names = ["mine_figure10", "mine_figure9", "mine_table1"]
    table1 = load_paper("bae2021_table1")
    papers = {name: table1.model_copy(update={"name": name}) for name in names}
    assert [paper.name for paper in in_order(papers)] == ["mine_figure9", "mine_figure10", "mine_table1"]
