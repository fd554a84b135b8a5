"""The paper files in conf/paper: their names, and the file that --paper, --table and --figure mean."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from irm_sweeps.sweep.paper import Paper


def paper_names() -> list[str]:
    """Return the names of all paper files, the user's files included."""
    from irm_sweeps.conf_folders import yamls

    return sorted({path.stem for path in yamls("paper")})


def named_paper(name: str, table: str | None, figure: str | None = None, only: Sequence[str] = ()) -> Paper:
    """Load the file of a paper's table or figure, or a union of such files; `only`: see `load_paper`.

    Raises
    ------
    UserError
        No file has this name (the message lists the names).
    """
    names = paper_names()
    if table is not None and figure is not None:
        raise UserError(f"--table {table} --figure {figure}: give one of them")
    options, wanted = _file_name(name, table, figure)
    if name.endswith((".yaml", ".yml")):
        from irm_sweeps.overrides.hydra_errors import paper_by_path

        raise paper_by_path(options, name)
    if wanted not in names:
        raise UserError(
            f"{options}: no conf/paper/{wanted}.yaml{did_you_mean(wanted, names)}; there are: "
            + ", ".join(_options_of(known) for known in names)
        )
    from irm_sweeps.sweep.paper import load_paper

    return load_paper(wanted, only=only)


def find_paper(name: str, table: str | None, figure: str | None = None, only: Sequence[str] = ()) -> Paper:
    """Load the file of a paper's table or figure; `only`: see `load_paper`.

    Raises
    ------
    UserError
        No file has this name, or the file is a union of others.
    """
    paper = named_paper(name, table, figure, only)
    if paper.include:
        options = _file_name(name, table, figure)[0]
        raise UserError(f"{options} is several tables and figures: {', '.join(map(_options_of, paper.include))}")
    return paper


def row_names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
    """Return the rows with trials of the paper that the options name, for the Tab key; none if no file has the name."""
    from irm_sweeps.compose import compose

    wanted = _file_name(parsed_args.paper, parsed_args.table, parsed_args.figure)[1]
    if wanted not in paper_names():
        return []
    rows = compose([f"paper={wanted}"])["paper"].get("rows", {})
    return [name for name, row in rows.items() if row.get("sweep") is not None]


def _file_name(name: str, table: str | None, figure: str | None) -> tuple[str, str]:
    """Return the options as typed, and the name of the file that they mean."""
    options, wanted = f"--paper {name}", name
    for option, number in (("table", table), ("figure", figure)):
        if number is not None:
            options, wanted = f"{options} --{option} {number}", f"{name}_{option}{number}"
    return options, wanted


def _options_of(file_name: str) -> str:
    """Return the options that mean a file: `--paper bae2021 --table 1` for `bae2021_table1`."""
    match = re.fullmatch(r"(.+)_(table|figure)(\w+)", file_name)
    return f"--paper {match[1]} --{match[2]} {match[3]}" if match else f"--paper {file_name}"
