"""The pages of `docs/results/` say what the archives beside them give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import results as generated

from irm_sweeps.store.archive import Archive
from irm_sweeps.sweep.paper import load_paper
from pages import ROOT
from synthetic_store import composed_once

PAGES = sorted(generated.RESULTS.glob("*.md"))
MEASURED = re.compile(r"^\|.* ± .*\|$", re.M)
NOT_THERE = "> **Not in the archive.**"


@pytest.fixture
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("IRM_SWEEPS_CONF", raising=False)


@pytest.mark.parametrize("path", list(generated.pages()), ids=lambda path: path.stem)
@pytest.mark.usefixtures("_in_the_root")
def test_the_tables_are_those_of_the_archive_byte_for_byte(path: Path) -> None:
    with composed_once():
        assert generated.with_tables(path.read_text()) == path.read_text(), "type: make results"


@pytest.mark.usefixtures("_in_the_root")
def test_the_coverage_page_is_that_of_the_archives() -> None:
    with composed_once():
        assert generated.coverage_page.page() == (generated.RESULTS / "coverage.md").read_text(), "type: make results"


@pytest.mark.usefixtures("_in_the_root")
def test_an_archive_of_trials_with_overrides_has_lines_that_name_them(tmp_path: Path) -> None:
    page = generated.coverage_page
    archive = tmp_path / "bae2021_table1__seed=range(0,2)__backbone.depth=2.zip"
    archive.symlink_to(generated.RESULTS / "bae2021.zip")
    with composed_once():
        lines = page.lines_of(load_paper("bae2021_table1"), [archive])
    assert page.overrides_of(archive) == ["seed=range(0,2)", "backbone.depth=2"]
    assert [line.measured for line in lines if not line.otherwise] == [False] * 18
    others = [line.text for line in lines if line.only]
    assert len(others) == 15  # meta-IRM has another depth
    assert all("| with seed=range(0,2) backbone.depth=2: " in text and "(n=2)" in text for text in others)


def test_every_archive_is_whole() -> None:
    for path in generated.RESULTS.glob("*.zip"):
        archive = Archive(path)
        for trial_id in archive.trial_ids():
            assert archive.result(trial_id)
            archive.check_history(trial_id)


@pytest.mark.parametrize("path", [path for path in PAGES if path.stem != "coverage"], ids=lambda path: path.stem)
def test_measured_tables_are_generated_or_marked(path: Path) -> None:
    """In each section; a mark under the title holds for the whole page."""
    head, *sections = re.split(r"^(?=## )", generated.TABLE.sub("", path.read_text()), flags=re.M)
    if NOT_THERE in head:
        return
    for section in (head, *sections):
        assert NOT_THERE in section or not MEASURED.search(section)
