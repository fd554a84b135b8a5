"""The front pages, in the repository and of the site: a picture first, and numbers that are those of the archive."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pairs
import pandas as pd
import pytest

from irm_sweeps.analysis import table_command
from irm_sweeps.sweep.paper import load_paper

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md"]
ROW = re.compile(r"^\| ([\w() -]+) \| (\d.*\*) \|$", re.M)


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    """Table 1 as the archive has it."""
    printed = StringIO()
    archive = str(ROOT / "docs" / "results" / "bae2021.zip")
    with redirect_stdout(printed):
        table_command.main(["--paper", "bae2021", "--table", "1", "--results", archive, "--format", "csv"])
    return pd.read_csv(StringIO(printed.getvalue()))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_reader_sees_a_picture_and_a_command_within_one_screen(page: Path) -> None:
    start = page.read_text().split("\n## ")[0].splitlines()[:25]
    (picture,) = (i for i, line in enumerate(start) if line.startswith("!["))
    command = next(i for i, line in enumerate(start) if "make demo" in line)
    assert picture < command


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_its_numbers_are_the_archive_s_and_the_paper_s(page: Path, cells: pd.DataFrame) -> None:
    rows = ROW.findall(page.read_text())
    names = {row.label: name for name, row in load_paper("bae2021_table1").rows.items()}
    assert len(rows) == 6
    for name, text in rows:
        numbers = [float(number) for number in re.findall(r"[\d.]+", text)]
        own = cells[cells["row"] == names[name]]
        stored = own[["mean", "sd", "published_mean", "published_sd"]].to_numpy().round(1).ravel()
        assert numbers == pytest.approx(list(stored)), name


def test_which_data_set_goes_with_which_backbone() -> None:
    assert pairs.fits("colored_mnist", "mlp")
    assert not pairs.fits("colored_mnist", "resnet18")
    text = pairs.page()
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert {path.stem for path in (ROOT / "conf" / "dataset").glob("*.yaml")} == rows.keys() - {"dataset"}
    assert all(f"`{path.stem}`" in rows["dataset"] for path in (ROOT / "conf" / "backbone").glob("*.yaml"))
    assert [cell.strip() for cell in rows["cifar_mnist"].split("|")[3:-1]] == ["–", "yes", "yes", "yes"]
