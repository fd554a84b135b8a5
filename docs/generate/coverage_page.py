"""The page `docs/results/coverage.md`: every published cell of the papers' tables, and what the archives have of it.

An archive `PAPER__KEY=VALUE__KEY=VALUE.zip` has trials of one paper file with these overrides. They get lines of their
own, which name the overrides, and are not counted among the cells that are measured as the paper file has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irm_sweeps.analysis.tables.builder import Builder
    from irm_sweeps.analysis.tables.table import Cell, Table
    from irm_sweeps.sweep.paper import Paper

PAPERS = ("bae2021", "lin2021")
ARCHIVES = Path("docs/results")
MARK = "__"
"""Stands in an archive's name before each override that its trials have."""

_INTRODUCTION = """\
# Coverage

`make results` writes this page from the archives in `docs/results/` ({archives}). It has every published cell of the
papers' tables, measured by the trials of the paper file: full size, float32. {measured} of {total} cells have such
results; {otherwise} more have results of another size or precision only, in lines that begin with "with" and name it.
"n=3 of 10" says that seven of ten trials have not run, or have no value. "missing" says that the archives have no
result of the paper file's own trials, also where another page reports a smaller run, whose trials were not kept.

The verdicts are those of the tables ([what they mean](../selection_and_statistics.md)). Images are those of a training
environment (lin2021: of all together), where the paper file says how many; else all that the data has. The device is
that of the results.
"""
_HEADER = "| row | column | published | measured | verdict | images | precision | device | the command that fills it |"
_RULE = "|---|---|---|---|---|---|---|---|---|"


def page() -> str:
    """Return the page; the working directory is the repository's root."""
    from irm_sweeps.sweep.paper import load_paper

    archives = sorted(ARCHIVES.glob("*.zip"))
    parts: list[str] = []
    measured = otherwise = total = 0
    for name in (table for paper in PAPERS for table in load_paper(paper).include if "_table" in table):
        paper = load_paper(name)
        lines = lines_of(paper, archives)
        total += sum(not line.otherwise for line in lines)
        measured += sum(line.measured for line in lines if not line.otherwise)
        otherwise += len({line.place for line in lines if line.otherwise and line.only})
        parts.append("\n".join([f"## {paper.title}\n", _HEADER, _RULE, *(line.text for line in lines), ""]))
    introduction = _INTRODUCTION.format(
        archives=", ".join(f"`{path.name}`" for path in archives),
        measured=measured,
        otherwise=otherwise,
        total=total,
    )
    return "\n".join([introduction, *parts])


def lines_of(paper: Paper, archives: Sequence[Path]) -> list[Line]:
    """Return the lines of one table: each published cell as the paper file has it, then as other archives have it."""
    from irm_sweeps.analysis.tables.builder import Builder

    filed = Builder(paper, [path for path in archives if MARK not in path.stem], None, [])
    variants = [
        Builder(paper, [path], None, overrides_of(path))
        for path in archives
        if path.stem.startswith(f"{paper.name}{MARK}")
    ]
    return list(_lines(filed, filed.table(), [(builder, builder.table()) for builder in variants]))


def overrides_of(archive: Path) -> list[str]:
    """Return the overrides that an archive's name says: those of `bae2021_table6__dataset.glove_dim=50.zip`."""
    return archive.stem.split(MARK)[1:]


@dataclass(frozen=True)
class Line:
    """A line of the page.

    Attributes
    ----------
    place
        Row and column of the cell.
    measured
        Whether the line has a mean.
    otherwise
        Whether its trials have overrides.
    only
        Whether the paper file's own trials have no mean.
    """

    text: str
    place: tuple[str, str]
    measured: bool
    otherwise: bool = False
    only: bool = False


def _lines(filed: Builder, table: Table, variants: Sequence[tuple[Builder, Table]]) -> Iterator[Line]:
    """Yield a line for each published cell that has trials, and one for each archive that has it otherwise."""
    others = [
        (builder, {(cell.row, cell.column): cell for cell in other.cells if cell.measured})
        for builder, other in variants
    ]
    for label, cells in table.rows:
        for cell in cells:
            if cell.published is None or not filed.paper.rows[cell.row].sweep:
                continue
            place, measured = (cell.row, cell.column), cell.measured is not None
            yield Line(_line(filed, label, cell), place, measured)
            for builder, found in others:
                if place in found:
                    name = f"with {' '.join(builder.overrides)}: {label}"
                    yield Line(_line(builder, name, found[place]), place, True, otherwise=True, only=not measured)


def _line(builder: Builder, label: str, cell: Cell) -> str:
    return f"| {' | '.join(text.replace('|', chr(92) + '|') for text in _texts(builder, label, cell))} |"


def _texts(builder: Builder, label: str, cell: Cell) -> list[str]:
    from irm_sweeps.analysis.tables.cell_text import COMPARISON_COLUMNS

    column = next(column for column in builder.paper.columns if column.label == cell.column)
    trials = builder.trials(builder.paper.rows[cell.row], column)
    results = [result for trial_id in trials if (result := builder.results.of(trial_id))]
    configs = [trial.canonical for trial in trials.values()]
    return [
        label,
        cell.column,
        COMPARISON_COLUMNS["published"].text(cell),
        _measured(cell, len(trials)),
        COMPARISON_COLUMNS["verdict"].text(cell),
        _each(f"{size:,}" if (size := config["dataset"].get("n_train")) else "all" for config in configs),
        _each(config["training"]["precision"] for config in configs),
        _each(result.hardware.device or "unknown" for result in results),
        f"`{builder.command(cell.row)}`",
    ]


def _measured(cell: Cell, trials: int) -> str:
    """Return the mean, and of how many trials it is where it is not of all; of several settings it is of one."""
    from irm_sweeps.analysis.tables.cell_text import measured_text, n_text

    text = measured_text(cell)
    if cell.measured is None or cell.settings > 1 or cell.measured.n == trials:
        return text
    return text.replace(n_text(cell), f"(n={cell.measured.n} of {trials})")


def _each(values: Iterator[str]) -> str:
    """Return the distinct values."""
    return ", ".join(dict.fromkeys(values))
