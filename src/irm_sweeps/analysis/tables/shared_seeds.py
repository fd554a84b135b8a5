"""Rows of a table that have seeds in common: their trials share data, so their verdicts are not independent."""

from __future__ import annotations

from irm_sweeps.analysis.tables.table import Rows


def line(rows: Rows) -> str:
    """Return the line that names the tested rows which share seeds of a data set; empty if fewer than two cells do."""
    tested = {label: [cell for cell in cells if cell.verdict and cell.verdict.p is not None] for label, cells in rows}
    tested = {label: cells for label, cells in tested.items() if cells}
    shared = []
    if groups := sharing(
        {label: {(c.dataset, s) for c in cells for s in c.by_seed} for label, cells in tested.items()}
    ):
        named = "all rows" if len(groups[0]) == len(tested) else "; ".join(", ".join(group) for group in groups)
        shared.append(
            f"the same seed has the same images and noise, as far as their data sets' fields agree, in {named}"
        )
    if any(len(cells) > 1 for cells in tested.values()):
        shared.append("cells of one row may be of the same trials")
    if not shared:
        return ""
    return (
        f"Not independent: {', and '.join(shared)}. Verdicts and p-values there tend to err together; each holds by "
        "itself, and so does Holm's correction."
    )


def sharing(draws: dict[str, set[tuple[str, int]]]) -> list[list[str]]:
    """Return the labels of at least two rows that are linked by common draws, group by group, in the rows' order."""
    groups: list[tuple[set[tuple[str, int]], list[str]]] = []
    for label, own in draws.items():
        linked = [group for group in groups if group[0] & own]
        groups = [group for group in groups if not group[0] & own]
        groups.append((own.union(*(d for d, _ in linked)), [*(one for _, labels in linked for one in labels), label]))
    return [labels for _, labels in groups if len(labels) > 1]
