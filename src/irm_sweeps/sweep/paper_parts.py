"""The parts of a paper file: rows, columns, published cells and a figure, each checked when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from irm_sweeps.config import Config
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.metric import parts
from irm_sweeps.sweep.paper_departures import Departure
from irm_sweeps.training.rule_names import RuleName

MARGIN = 2.0
"""Largest difference of two accuracies, in points, that counts as none, where a paper file does not say otherwise."""

Published = Annotated[tuple[float, ...], Field(min_length=1, max_length=2)]
"""A published cell in per cent: (mean, sd), or (value,) where no spread is published."""

Examples = Annotated[int, Field(ge=2)] | None
"""Number of test examples; None where each trial draws a test set of its own."""


def _quoted(words: Any) -> Any:
    """Refuse what YAML makes of `[method=vrex, lam=1,10]`: three items, the last one a number."""
    if isinstance(words, str):
        raise ValueError(f"give a list: [{words}]")
    start = ""
    for word in words or ():
        if isinstance(word, str) and ("=" in word or word.startswith("~")):
            start = word
        elif start:
            raise ValueError(f'{word!r} is no override of its own: put quotes around "{start},{word}"')
    return words


def _cells(cells: Any) -> Any:
    for cell in cells or ():
        if isinstance(cell, str) or not isinstance(cell, Sequence | None):
            raise ValueError(f"{cell!r} is no cell: write [[mean, sd], ...], one [mean, sd] or [value] for each column")
    return cells


Overrides = Annotated[tuple[str, ...], BeforeValidator(_quoted)]
"""What `launch.py -m` takes, a word each."""


class Rerun(Config):
    """What the published code itself gave when it was run again, on the data of this package."""

    source: str
    """Which code, with which settings and seeds."""
    n: Annotated[int, Field(ge=2)]
    """Number of its runs."""
    cells: Annotated[tuple[Published | None, ...], BeforeValidator(_cells)]
    """One per column: mean and sample standard deviation, or null."""


class Row(Config):
    """One row of a table."""

    label: str
    """As printed."""
    sweep: Overrides | None = None
    """Overrides that make the row's trials; null: nothing to measure (chance level, optimum)."""
    published: Annotated[tuple[Published | None, ...], BeforeValidator(_cells)] = ()
    """One per column; null or absent where nothing is published."""
    one_test_set: tuple[tuple[Examples, Examples] | None, ...] = ()
    """One per column, where all trials behind a cell share one drawn test set and the published trials another: the
    numbers of examples, [measured, published]. Then the difference has the binomial sampling error of both besides
    the spread of the trials. Null on a side whose trials have a test set each; null or absent for the cell where all
    have, or where measured and published trials have the same one. Of accuracies only."""
    select: RuleName | None = None
    """Selection rule of this row, where it is not the table's."""
    panel: str | None = None
    """Title of the figure's panel that the row is drawn in; null: there is one panel, or it is drawn in all."""
    rerun: Rerun | None = None
    """What the published code gave when it was run again: a column of its own beside the published cells."""
    differs_from_text: tuple[Departure, ...] = ()
    """Keys that the row's trials have at another value than the paper's text; an entry replaces the file's on its key.
    They make a footnote of the row's cells, and an entry that the trials do not bear out is refused."""
    by_column: dict[str, Overrides] = Field(default_factory=dict)
    """By a column's label, overrides of this row there, on top of both: what only some methods have, such as
    `method.anneal`, and what depends on the backbone all the same."""

    def test_sets(self, index: int) -> tuple[Examples, Examples]:
        """Return a column's `one_test_set`."""
        return (self.one_test_set[index] if self.one_test_set else None) or (None, None)

    def with_columns(self, places: Sequence[int]) -> Row:
        """Return the row of a table that has only these of its columns, by their places."""

        def chosen(cells: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(cells[i] for i in places) if cells else ()

        rerun = self.rerun and self.rerun.model_copy(update={"cells": chosen(self.rerun.cells)})
        cells = {"published": chosen(self.published), "one_test_set": chosen(self.one_test_set), "rerun": rerun}
        return self.model_copy(update=cells)


class Column(Config):
    """One column of a table."""

    label: str
    """As printed."""
    metric: str
    """`split/environment/accuracy` or `.../risk`, e.g. `test/0.9/accuracy`."""
    sweep: Overrides = ()
    """Overrides that make the column's trials, on top of the row's."""
    select: RuleName | None = None
    """Selection rule of this column, in place of the row's and the table's."""

    @field_validator("metric")
    @classmethod
    def _has_three_parts(cls, value: str) -> str:
        try:
            parts(value)
        except UserError as error:
            raise ValueError(str(error)) from None
        return value


Kind = Literal["environments", "number", "history", "bars"]
"""What a figure shows of each row: a measure over the `environments` of a split; a metric over a `number` of the
config, a point per column; a quantity of the training `history` over steps; or `bars`, a group per column."""


class Figure(Config):
    """The picture that goes with the trials, with a line or a kind of bar for each row."""

    label: str
    """Caption."""
    kind: Kind = "environments"
    """What is drawn."""
    metric: Literal["accuracy", "risk", "ece", "pwcca"] = "accuracy"
    """Of `environments`: the measure. The other kinds draw the columns' metrics."""
    split: str = "test"
    """Of `environments`: whose."""
    x: str | None = None
    """Of `number`, which needs it: the config key whose value in a column's trials is the column's place, e.g.
    `dataset.noise_gap`."""
    quantity: str | None = None
    """Of `history`, which needs it: the logged quantity, e.g. `penalty`; the mean of one that has several values."""
    log_x: bool = False
    """Whether the horizontal axis is logarithmic; of `number`."""
    log_y: bool = False
    """Whether the vertical axis is logarithmic."""
    x_label: str | None = None
    """Name and unit of the horizontal axis; null: what the kind says."""
    y_label: str | None = None
    """Name and unit of the vertical axis; null: what the kind says."""

    @model_validator(mode="after")
    def _says_what_it_draws(self) -> Figure:
        for kind, field in (("number", "x"), ("history", "quantity")):
            if (self.kind == kind) != (getattr(self, field) is not None):
                raise ValueError(
                    f"kind={self.kind} and {field}={getattr(self, field)}: `{field}` goes with kind={kind}"
                )
        return self


def check_published(place: str, column: Column, cell: Sequence[float] | None) -> None:
    """Check a published cell of a column; `place` names the cell in the message.

    Raises
    ------
    ValueError
        Its standard deviation is negative, or its accuracy is not in per cent.
    """
    mean, *sd = cell or (0.0,)
    if sd and sd[0] < 0:
        raise ValueError(f"{place}: published sd {sd[0]:g} is below 0; write [mean, sd]")
    if parts(column.metric)[2] == "accuracy" and not 0 <= mean <= 100:
        raise ValueError(f"{place}: published accuracy {mean:g} is not within 0...100 per cent")
