"""The columns of a sweep's table: training and held-out images, test environments like training, shifted ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal

from irm_sweeps.analysis.histories import BySplit
from irm_sweeps.errors import UserError

if TYPE_CHECKING:
    from irm_sweeps.data.dataset import Dataset

Group = Literal["train", "val", "test", "shifted"]
"""`val`: held-out images of the training environments; `test`: test environments that are named as training ones."""

MOST_NAMED = 3
"""Largest number of environments of a group that have a column each; more have one column, their mean."""


@dataclass(frozen=True)
class EnvironmentColumn:
    """One column; without an environment, the mean over those of its group."""

    group: Group
    environment: str | None = None

    @property
    def label(self) -> str:
        """As in a heading of one line: `train`, `test 0.1`, `shifted 0.9`."""
        return " ".join(word for word in (self.group, self.environment) if word)


Environments = Mapping[Group, Sequence[str]]
"""The environments of each group that has any."""


class Datasets:
    """The shifted environment of each dataset config, which is looked up once.

    Parameters
    ----------
    trusted
        Whether classes may be imported that are not this package's.
    """

    def __init__(self, *, trusted: bool = False) -> None:
        self._trusted = trusted
        self._shifted: dict[str, str | None] = {}
        self.unknown: set[str] = set()

    def shifted(self, config: Mapping[str, Any]) -> str | None:
        """Return the shifted test environment of a dataset; None, and its class in `unknown`, if it is not imported."""
        key = json.dumps(config, sort_keys=True)
        if key not in self._shifted:
            dataset = self._dataset(config)
            self._shifted[key] = dataset.shifted if dataset else None
        return self._shifted[key]

    def _dataset(self, config: Mapping[str, Any]) -> Dataset | None:
        from irm_sweeps.config import build_component
        from irm_sweeps.data.dataset import Dataset

        try:
            return build_component(config, Dataset, "dataset", trusted=self._trusted)  # type: ignore[type-abstract]
        except UserError:
            self.unknown.add(str(config["_target_"]))
            return None


def environments(scores: BySplit, shifted: str | None) -> Environments:
    """Return the environments of a trial's scores by group.

    Where the shifted environment has a training environment's name, all test environments are shifted alike. Where it
    is not known, all are in the group `test`. Test environments unlike both have no column.
    """
    training, test = list(scores.get("train", {})), list(scores.get("test", {}))
    groups: dict[Group, list[str]] = {"train": training, "val": list(scores.get("val", {}))}
    if shifted is None:
        groups["test"] = test
    elif shifted in training:
        groups["shifted"] = test
    else:
        groups["test"] = [name for name in test if name in training]
        groups["shifted"] = [name for name in test if name == shifted]
    return {group: names for group, names in groups.items() if names}


def columns(seen: Iterable[Environments]) -> list[EnvironmentColumn]:
    """Return the columns that suit all these trials, from left to right.

    Where test environments are the same in all, each has a column of its own, unless they are more than `MOST_NAMED`.
    """
    kinds = list({json.dumps(groups, sort_keys=True): groups for groups in seen}.values())
    found: list[EnvironmentColumn] = []
    for group in ("train", "val", "test", "shifted"):
        names = {tuple(groups.get(group, ())) for groups in kinds}
        one = next(iter(names)) if len(names) == 1 else ()
        if group in ("test", "shifted") and 0 < len(one) <= MOST_NAMED:
            found += [EnvironmentColumn(group, name) for name in one]
        elif names - {()}:
            found.append(EnvironmentColumn(group))
    return found


def value(column: EnvironmentColumn, scores: BySplit, groups: Environments, measure: str) -> float | None:
    """Return a column's number of one trial, an accuracy in per cent; None if there is none or it is not finite."""
    names = [name for name in groups.get(column.group, ()) if column.environment in (None, name)]
    split = scores.get("test" if column.group in ("test", "shifted") else column.group, {})
    values = [split[name].measures.get(measure) for name in names]
    finite = [value for value in values if value is not None]
    if not finite or len(finite) < len(values):
        return None
    return fmean(finite) * (100.0 if measure == "accuracy" else 1.0)
