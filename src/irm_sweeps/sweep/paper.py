"""A paper's table or figure is one file: its grids, its layout, its selection rule and the published cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UnknownChoice, UserError, did_you_mean
from irm_sweeps.sweep.grid import Asked, last_wins, trials
from irm_sweeps.sweep.metric import check_made, check_readable, parts
from irm_sweeps.training.rule_names import RuleName
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import launching

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
    by_column: dict[str, Overrides] = Field(default_factory=dict)
    """By a column's label, overrides of this row there, on top of both: what only some methods have, such as
    `method.anneal`, and what depends on the backbone all the same."""

    def test_sets(self, index: int) -> tuple[Examples, Examples]:
        """Return a column's `one_test_set`."""
        return (self.one_test_set[index] if self.one_test_set else None) or (None, None)


class Column(Config):
    """One column of a table."""

    label: str
    """As printed."""
    metric: str
    """`split/environment/accuracy` or `.../risk`, e.g. `test/0.9/accuracy`."""
    sweep: Overrides = ()
    """Overrides that make the column's trials, on top of the row's."""

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
    metric: Literal["accuracy", "risk", "pwcca"] = "accuracy"
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


def _check_published(place: str, column: Column, cell: Sequence[float] | None) -> None:
    mean, *sd = cell or (0.0,)
    if sd and sd[0] < 0:
        raise ValueError(f"{place}: published sd {sd[0]:g} is below 0; write [mean, sd]")
    if parts(column.metric)[2] == "accuracy" and not 0 <= mean <= 100:
        raise ValueError(f"{place}: published accuracy {mean:g} is not within 0...100 per cent")


class Paper(Config):
    """A published table or figure (or the demo's), with everything needed to measure and print it; or a union."""

    name: str
    """`paper=NAME` on the command line: the file's own name, without `.yaml`."""
    title: str
    """Caption."""
    source: str = ""
    """Where the published cells come from."""
    include: tuple[str, ...] = ()
    """Names of other paper files: this one stands for all their trials, each once, and has no table of its own."""
    published_n: Annotated[int, Field(ge=2)] | None = None
    """Trials behind each published mean."""
    published_n_assumed: str = ""
    """Why `published_n` is taken for granted, where print does not say it; the table says so. Empty: print says it."""
    select: RuleName = "last"
    """Selection rule of the printed table."""
    sweep: Overrides = ()
    """Overrides common to all trials."""
    rows: dict[str, Row] = Field(default_factory=dict)
    """By the name that `paper.only` uses. Needed, unless there is `include`."""
    columns: tuple[Column, ...] = ()
    """From left to right. Needed, unless there is `include`."""
    figure: Figure | None = None
    """A picture to draw from the same trials."""
    only: tuple[str, ...] = ()
    """Names of the rows (of a union: of the files) to run; empty: all."""
    _asked: Asked = PrivateAttr(default_factory=Asked)

    @model_validator(mode="after")
    def _consistent(self) -> Paper:
        if bool(self.include) == bool(self.rows and self.columns):
            raise ValueError("give rows and columns, or, for a union of other files, `include` and neither")
        for name in self.only:
            known, what = (self.include, "file") if self.include else (tuple(self.rows), "row")
            if name not in known:
                raise ValueError(f"no {what} {name!r}{did_you_mean(name, known)}; {what}s: {', '.join(known)}")
        labels = [column.label for column in self.columns]
        if twice := [label for i, label in enumerate(labels) if label in labels[:i]]:
            raise ValueError(f"two columns have the label {twice[0]!r}: cells are named by it")
        for name, row in self.rows.items():
            for label in row.by_column:
                if label not in labels:
                    raise ValueError(f"row {name!r}, by_column: no column {label!r}{did_you_mean(label, labels)}")
            if row.published and len(row.published) != len(self.columns):
                raise ValueError(
                    f"row {name!r} has {len(row.published)} published cells for {len(self.columns)} columns"
                )
            self._tested_on_one_set(name, row)
            for column, cell in zip(self.columns, row.published, strict=False):
                _check_published(f"row {name!r}, column {column.label!r}", column, cell)
        if self.published_n_assumed and self.published_n is None:
            raise ValueError("published_n_assumed is the reason for a number: give published_n too")
        cells = [(c, p) for row in self.rows.values() for c, p in zip(self.columns, row.published, strict=False) if p]
        shares = [p[0] for c, p in cells if parts(c.metric)[2] == "accuracy"]
        if shares and 0 < max(shares) <= 1:
            raise ValueError(
                f"published accuracies are in per cent, and the highest is {max(shares):g}: "
                f"write {100 * max(shares):g} for {max(shares):g}"
            )
        return self

    def _tested_on_one_set(self, name: str, row: Row) -> None:
        if row.one_test_set and len(row.one_test_set) != len(self.columns):
            raise ValueError(
                f"row {name!r}, one_test_set: {len(row.one_test_set)} entries for {len(self.columns)} columns"
            )
        for column, sizes in zip(self.columns, row.one_test_set, strict=False):
            if sizes and not column.metric.endswith("/accuracy"):
                raise ValueError(
                    f"row {name!r}, one_test_set: {column.metric} is no accuracy, so its sampling error is not binomial"
                )

    @property
    def shown(self) -> dict[str, Row]:
        """The rows that `only` leaves, by name."""
        return {name: row for name, row in self.rows.items() if not self.only or name in self.only}

    @classmethod
    def from_config(cls, values: Mapping[str, Any], asked_for: str | None = None) -> Paper:
        """Validate the content of a paper file, which says the name it is asked for by: commands are made of it."""
        paper = validated(cls, values, prefix="paper.")
        if asked_for is not None and paper.name != asked_for:
            raise UserError(f"paper={asked_for}: its file says name: {paper.name}; write name: {asked_for} there")
        return paper

    def cell_overrides(self, row: Row, column: Column, user: Sequence[str] = ()) -> list[str]:
        """Return the overrides of one cell; the user's own go last and win."""
        return last_wins(self.sweep, row.sweep or (), column.sweep, row.by_column.get(column.label, ()), user)

    def cell_trials(self, row: Row, column: Column, user: Sequence[str] = ()) -> dict[str, Trial]:
        """Return the trials that one cell is measured with, by id.

        Raises
        ------
        UnknownChoice
            The row needs a choice (a method, say) that this version does not have.
        UserError
            An override is none of the row's; the message names the row.
        """
        try:
            return trials(self.cell_overrides(row, column, user), self._asked)
        except UnknownChoice:
            raise
        except UserError as error:
            name = next(name for name, own in self.rows.items() if own is row)
            keys = (override.partition("=")[0].lstrip("+~") for override in user)
            lacks = any(str(error).startswith(f"unknown key `{key}`") for key in keys)
            hint = "; paper.only=[ROW,...] chooses the rows that have it" if lacks else ""
            raise UserError(f"{self.name}, row {name}: {error}{hint}") from None

    def all_trials(self, user: Sequence[str] = ()) -> tuple[dict[str, Trial], dict[str, str]]:
        """Return every trial of the chosen rows by id, and for each row that cannot be run the reason."""
        found: dict[str, Trial] = {}
        unavailable: dict[str, str] = {}
        for name in (self.only or self.include) if self.include else ():
            file = load_paper(name, self._asked)
            own, lacking = file.all_trials(user)
            found.update(own)
            unavailable |= {f"{row} of {name}": reason for row, reason in lacking.items()}
        for name, row in self.shown.items():
            if row.sweep is None:
                continue
            cells: dict[tuple[str, ...], dict[str, Trial]] = {}
            for column in self.columns:
                key = tuple(self.cell_overrides(row, column, user))
                try:
                    if key not in cells:
                        cells[key] = self.cell_trials(row, column, user)
                except UnknownChoice as error:
                    unavailable[name] = str(error)
                    continue
                self._check_cell(name, column, cells[key], user)
                found.update(cells[key])
        return found, unavailable

    def _check_cell(self, row: str, column: Column, own: Mapping[str, Trial], user: Sequence[str]) -> None:
        """Refuse what no trial can fill; a shrunken run may lack what the file asks for."""
        rule = self.rows[row].select or self.select
        keys = [override.lstrip("+~") for override in user]
        try:
            for trial in own.values():
                if not any(key.startswith("dataset") for key in keys):
                    check_readable(column.metric, rule, trial.dataset)
                if not any(key.startswith(("method", "training.similarity")) for key in keys):
                    check_made(column.metric, rule, trial)
        except UserError as error:
            raise UserError(f"{self.name}, row {row}, column {column.label!r}: {error}") from None

    def command(self, row: str | None, user: Sequence[str] = ()) -> str:
        """Return the command that runs what one row is missing; of None: all that are shown."""
        rows = self.only if row is None else (row,)
        only = [f"paper.only=[{','.join(rows)}]"] if rows else []
        return launching(f"paper={self.name}", *only, *user)


def load_paper(name: str, asked: Asked | None = None, only: Sequence[str] = ()) -> Paper:
    """Read `conf/paper/NAME.yaml`; several files can share what Hydra is asked about their trials.

    `only` holds what was typed to choose rows: `paper.only=[ROW,...]`.

    Raises
    ------
    UserError
        There is no such file, or it is not a paper's.
    """
    from irm_sweeps.compose import compose

    config = compose([f"paper={name}", *(f"++{word.lstrip('+')}" for word in only)])["paper"]
    if not config:
        raise UserError(f"paper={name} is empty")
    paper = Paper.from_config(config, name)
    paper._asked = paper._asked if asked is None else asked
    return paper
