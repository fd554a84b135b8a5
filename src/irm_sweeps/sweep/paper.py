"""A paper's table or figure is one file: its grids, its layout, its selection rule and the published cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from irm_sweeps.commands import launching
from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UnknownChoice, UserError, did_you_mean
from irm_sweeps.sweep.grid import Bases, last_wins, trials
from irm_sweeps.trial import Trial

Published = Annotated[tuple[float, ...], Field(min_length=1, max_length=2)]
"""A published cell in per cent: (mean, sd), or (value,) where no spread is published."""


Rule = Literal["last", "val", "oracle", "stop"]
"""Which of a trial's evaluations speaks for it (see `irm_sweeps.training.selection`); `stop`: the method's own."""


class Row(Config):
    """One row of a table."""

    label: str
    """As printed."""
    sweep: tuple[str, ...] | None = None
    """Overrides that make the row's trials; null: nothing to measure (chance level, optimum)."""
    published: tuple[Published | None, ...] = ()
    """One per column; null or absent where nothing is published."""
    select: Rule | None = None
    """Selection rule of this row, where it is not the table's."""
    panel: str | None = None
    """Title of the figure's panel that the row is drawn in; null: there is one panel, or it is drawn in all."""
    by_column: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By a column's label, overrides of this row there, on top of both: what only some methods have, such as
    `method.anneal`, and what depends on the backbone all the same."""


class Column(Config):
    """One column of a table."""

    label: str
    """As printed."""
    metric: str
    """`split/environment/accuracy` or `.../risk`, e.g. `test/0.9/accuracy`."""
    sweep: tuple[str, ...] = ()
    """Overrides that make the column's trials, on top of the row's."""


Kind = Literal["environments", "number", "history", "bars"]
"""What a figure shows of each row: a measure over the `environments` of a split; a metric over a `number` of the
config, a point per column; a quantity of the training `history` over steps; or `bars`, a group per column."""


class Figure(Config):
    """The picture that goes with the trials, with a line or a kind of bar for each row."""

    label: str
    """Caption."""
    kind: Kind = "environments"
    """What is drawn."""
    metric: Literal["accuracy", "risk", "pwcca"] = "accuracy"
    """Of `environments`: the measure. The other kinds draw the columns' metrics."""
    split: str = "test"
    """Of `environments`: whose."""
    x: str | None = None
    """Of `number`: the config key whose value in a column's trials is the column's place, e.g. `dataset.noise_gap`."""
    quantity: str | None = None
    """Of `history`: the logged quantity, e.g. `penalty`; the mean of one that has several values."""
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


class Paper(Config):
    """A published table or figure (or the demo's), with everything needed to measure and print it; or a union."""

    name: str
    """`paper=NAME` on the command line."""
    title: str
    """Caption."""
    source: str = ""
    """Where the published cells come from."""
    include: tuple[str, ...] = ()
    """Names of other paper files: this one stands for all their trials, each once, and has no table of its own."""
    published_n: Annotated[int, Field(ge=2)] | None = None
    """Trials behind each published mean."""
    select: Rule = "last"
    """Selection rule of the printed table."""
    sweep: tuple[str, ...] = ()
    """Overrides common to all trials."""
    rows: dict[str, Row] = Field(default_factory=dict)
    """By the name that `paper.only` uses."""
    columns: tuple[Column, ...] = ()
    """From left to right."""
    figure: Figure | None = None
    """A picture to draw from the same trials."""
    only: tuple[str, ...] = ()
    """Names of the rows (of a union: of the files) to run; empty: all."""
    _bases: Bases = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Paper:
        if bool(self.include) == bool(self.rows and self.columns):
            raise ValueError("give rows and columns, or, for a union of other files, `include` and neither")
        for name in self.only:
            known, what = (self.include, "file") if self.include else (tuple(self.rows), "row")
            if name not in known:
                raise ValueError(f"no {what} {name!r}{did_you_mean(name, known)}; {what}s: {', '.join(known)}")
        for name, row in self.rows.items():
            labels = [column.label for column in self.columns]
            for label in row.by_column:
                if label not in labels:
                    raise ValueError(f"row {name!r}, by_column: no column {label!r}{did_you_mean(label, labels)}")
            if row.published and len(row.published) != len(self.columns):
                raise ValueError(
                    f"row {name!r} has {len(row.published)} published cells for {len(self.columns)} columns"
                )
        return self

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> Paper:
        """Validate the content of a paper file."""
        return validated(cls, values, prefix="paper.")

    def cell_overrides(self, row: Row, column: Column, user: Sequence[str] = ()) -> list[str]:
        """Return the overrides of one cell; the user's own go last and win."""
        return last_wins(self.sweep, row.sweep or (), column.sweep, row.by_column.get(column.label, ()), user)

    def cell_trials(self, row: Row, column: Column, user: Sequence[str] = ()) -> dict[str, Trial]:
        """Return the trials that one cell is measured with, by id.

        Raises
        ------
        UnknownChoice
            The row needs a choice (a method, say) that this version does not have.
        """
        return trials(self.cell_overrides(row, column, user), self._bases)

    def all_trials(self, user: Sequence[str] = ()) -> tuple[dict[str, Trial], dict[str, str]]:
        """Return every trial of the chosen rows by id, and for each row that cannot be run the reason."""
        found: dict[str, Trial] = {}
        unavailable: dict[str, str] = {}
        for name in (self.only or self.include) if self.include else ():
            file = load_paper(name)
            file._bases = self._bases
            own, lacking = file.all_trials(user)
            found.update(own)
            unavailable |= {f"{row} of {name}": reason for row, reason in lacking.items()}
        for name in () if self.include else self.only or self.rows:
            row = self.rows[name]
            if row.sweep is None:
                continue
            seen: set[tuple[str, ...]] = set()
            for column in self.columns:
                key = tuple(self.cell_overrides(row, column, user))
                if key in seen:
                    continue
                seen.add(key)
                try:
                    found.update(self.cell_trials(row, column, user))
                except UnknownChoice as error:
                    unavailable[name] = str(error)
        return found, unavailable

    def command(self, row: str, user: Sequence[str] = ()) -> str:
        """Return the command that runs what one row is missing."""
        return launching(f"paper={self.name}", f"paper.only=[{row}]", *user)


def load_paper(name: str) -> Paper:
    """Read `conf/paper/NAME.yaml`.

    Raises
    ------
    UserError
        There is no such file, or it is not a paper's.
    """
    from irm_sweeps.compose import compose

    config = compose([f"paper={name}"])["paper"]
    if not config:
        raise UserError(f"paper={name} is empty")
    return Paper.from_config(config)
