"""What a sweep prints at its end: its table with the best setting, or the table of the paper that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.text_grid import width
from irm_sweeps.typed_commands import issued

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.sweep.paper import Paper
    from irm_sweeps.trial import Trial

MOST = 40
"""Largest number of settings that are all printed."""
BEST = 20
"""Number of settings that are printed of more."""


def sweep_ending(name: str, trials: Mapping[str, Trial], results: Results, command: str) -> str:
    """Return the table of a sweep; of more than `MOST` settings the best, and `command`, which prints them all."""
    from irm_sweeps.analysis.sweeps.environment_groups import Datasets
    from irm_sweeps.analysis.sweeps.table import sweep_table
    from irm_sweeps.analysis.sweeps.text import sweep_text
    from irm_sweeps.analysis.sweeps.trials import of_trials

    table = sweep_table(of_trials(name, trials, issued()), results, "last", Datasets(trusted=True))
    if len(table.rows) <= MOST:
        return sweep_text(table, width=width())
    text = sweep_text(table, table.best(BEST), width())
    return f"{text}the best {BEST} of {len(table.rows)} settings are shown; all: {command}\n"


def paper_ending(paper: Paper, overrides: Sequence[str], store: Path, results: Results) -> str:
    """Return the table of a paper, run with these overrides."""
    from irm_sweeps.analysis.papers.until_decided import builder_for
    from irm_sweeps.analysis.tables.text import paper_text

    return paper_text(builder_for(paper, [store], None, overrides, results).table(), width())
