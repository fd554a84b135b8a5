"""The report's sections on sweeps that are no paper's: the table of each, and its curve over a swept lam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.analysis.report.sections import drawn
from irm_sweeps.analysis.sweeps.environment_groups import Datasets
from irm_sweeps.analysis.sweeps.formats import as_table
from irm_sweeps.analysis.sweeps.table import sweep_table
from irm_sweeps.analysis.sweeps.trials import of_manifest
from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.analysis.tables.table import Table
    from irm_sweeps.store.manifest import Manifest

MOST = 30
"""Largest number of sweeps that the page shows: the latest."""


@dataclass(frozen=True)
class SweepSection:
    """One sweep's part of the page.

    Attributes
    ----------
    command
        The command that launched it.
    picture
        Its curve over lam as a data URI; None if lam was not swept or nothing is measured.
    """

    name: str
    launched: str
    command: str
    table: Table
    picture: str | None


def sweep_sections(results: Results, stores: Sequence[Path], select: str | None, trusted: bool) -> list[SweepSection]:
    """Return the section of each sweep that has any result, the latest first; of `MOST` at most."""
    sections: list[SweepSection] = []
    for manifest in _launched(stores, results):
        if len(sections) < MOST and any(results.of(trial_id) for trial_id in manifest.trials):
            sections.append(sweep_section(manifest, results, select or "last", trusted))
    return sections


def sweep_section(manifest: Manifest, results: Results, rule: str, trusted: bool) -> SweepSection:
    """Return the section of a sweep."""
    table = sweep_table(of_manifest(manifest), results, rule, Datasets(trusted=trusted))
    picture = _curve(manifest, results, rule, trusted)
    return SweepSection(manifest.name, manifest.launched, manifest.command, as_table(table), picture)


def _launched(stores: Sequence[Path], results: Results) -> Iterator[Manifest]:
    """Yield the sweeps that are no paper's and no single trial; one that cannot be read is a problem of the results."""
    from irm_sweeps.store.archive import open_reader
    from irm_sweeps.store.manifest import is_copy, load_manifest
    from irm_sweeps.store.sweeps import is_own_grid, sweep_names

    for store in map(open_reader, stores):
        for name in reversed(sweep_names(store)):
            if not is_own_grid(name) or is_copy(store, name):
                continue
            try:
                yield load_manifest(store, name)
            except UserError as error:
                results.problems.append(str(error))


def _curve(manifest: Manifest, results: Results, rule: str, trusted: bool) -> str | None:
    from irm_sweeps.analysis.figures import general, metrics
    from irm_sweeps.analysis.figures.measuring import Measuring
    from irm_sweeps.analysis.figures.series import of_manifest as series_of

    if len({config.get("lam") for config in manifest.trials.values()} - {None}) < 2:
        return None
    series, _ = series_of(manifest, results, rule, trusted=trusted)
    if not series:
        return None
    try:
        return drawn(general.lam_picture(Measuring(series, results, metrics.DEFAULT), manifest.name))
    except UserError:  # accuracies and risks do not go on one scale
        return None
