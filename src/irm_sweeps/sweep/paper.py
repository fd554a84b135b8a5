"""A paper file: the grids, layout, selection rule and published cells of one table or figure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UnknownChoice, UserError, did_you_mean
from irm_sweeps.overrides.paired_axes import keys
from irm_sweeps.sweep import typed_columns
from irm_sweeps.sweep.grid import HydraCache, each_choice, last_wins, trials
from irm_sweeps.sweep.metric import check_made, check_readable, parts
from irm_sweeps.sweep.paper_departures import Departure, check_departures
from irm_sweeps.sweep.paper_parts import MARGIN, Column, Figure, Overrides, Rerun, Row, check_published
from irm_sweeps.training.rule_names import RuleName
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import launching

_FOR_HYDRA = re.compile(r"^defaults\s*:|\$\{|@package|^\s*_\w+_\s*:", re.MULTILINE)
"""What only Hydra understands in a YAML."""

__all__ = ["Column", "Departure", "Figure", "Paper", "Rerun", "Row", "load_paper", "papers_of"]


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
    """Trials behind each published mean; null where print does not say: then 3 are assumed, and the table says so."""
    published_n_assumed: str = ""
    """Why `published_n` is taken for granted, where print does not say it; the table says so. Empty: print says it."""
    margin: Annotated[float, Field(gt=0, le=100)] = MARGIN
    """Largest difference from a published accuracy, in points, that counts as none: the verdict `equivalent`."""
    orientation: str = ""
    """Why the published cells are of another experiment: they are shown, and no verdict is made. Empty: it is made."""
    differs_from_text: tuple[Departure, ...] = ()
    """Keys that all trials have at another value than the paper's text: a footnote of every row with trials."""
    select: RuleName | None = None
    """Selection rule of the printed table; null: `val` for a row of several settings that hold images back, else
    `last`."""
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
    _cache: HydraCache = PrivateAttr(default_factory=HydraCache)

    @model_validator(mode="after")
    def _consistent(self) -> Paper:
        if bool(self.include) == bool(self.rows and self.columns):
            raise ValueError("give rows and columns, or, for a union of other files, `include` and neither")
        self._check_only()
        labels = [column.label for column in self.columns]
        if twice := [label for i, label in enumerate(labels) if label in labels[:i]]:
            raise ValueError(f"two columns have the label {twice[0]!r}: cells are named by it")
        for name, row in self.rows.items():
            self._check_row(name, row, labels)
        if self.published_n_assumed and self.published_n is None:
            raise ValueError("published_n_assumed is the reason for a number: give published_n too")
        self._check_per_cent()
        return self

    def _check_only(self) -> None:
        for name in self.only:
            known, what = (self.include, "file") if self.include else (tuple(self.rows), "row")
            if name not in known:
                typed = f"only=[{','.join(self.only)}]"
                raise ValueError(f"{typed}: no {what} {name!r}{did_you_mean(name, known)}; {what}s: {', '.join(known)}")

    def _check_row(self, name: str, row: Row, labels: Sequence[str]) -> None:
        for label in row.by_column:
            if label not in labels:
                raise ValueError(f"row {name!r}, by_column: no column {label!r}{did_you_mean(label, labels)}")
        if row.published and len(row.published) != len(self.columns):
            raise ValueError(f"row {name!r} has {len(row.published)} published cells for {len(self.columns)} columns")
        if row.rerun and len(row.rerun.cells) != len(self.columns):
            raise ValueError(f"row {name!r}, rerun: {len(row.rerun.cells)} cells for {len(self.columns)} columns")
        if row.one_test_set and len(row.one_test_set) != len(self.columns):
            raise ValueError(
                f"row {name!r}, one_test_set: {len(row.one_test_set)} entries for {len(self.columns)} columns"
            )
        for column, sizes in zip(self.columns, row.one_test_set, strict=False):
            if sizes and not column.metric.endswith("/accuracy"):
                raise ValueError(
                    f"row {name!r}, one_test_set: {column.metric} is no accuracy, so its sampling error is not binomial"
                )
        for cells, what in ((row.published, ""), (row.rerun.cells if row.rerun else (), ", rerun")):
            for column, cell in zip(self.columns, cells, strict=False):
                check_published(f"row {name!r}, column {column.label!r}{what}", column, cell)

    def _check_per_cent(self) -> None:
        """Refuse published accuracies of which none exceeds 1: they are shares, not per cent."""
        cells = [(c, p) for row in self.rows.values() for c, p in zip(self.columns, row.published, strict=False) if p]
        accuracies = [p[0] for c, p in cells if parts(c.metric)[2] == "accuracy"]
        if accuracies and 0 < max(accuracies) <= 1:
            raise ValueError(
                f"published accuracies are in per cent, and the highest is {max(accuracies):g}: "
                f"write {100 * max(accuracies):g} for {max(accuracies):g}"
            )

    @property
    def shown(self) -> dict[str, Row]:
        """The rows that `only` leaves, by name."""
        return {name: row for name, row in self.rows.items() if not self.only or name in self.only}

    def files(self) -> Iterator[Paper]:
        """Yield the paper files whose trials this one stands for: itself, or those that a union includes."""
        if not self.include:
            yield self
        for name in (self.only or self.include) if self.include else ():
            yield from load_paper(name, self._cache).files()

    @classmethod
    def from_config(cls, values: Mapping[str, Any], asked_for: str | None = None) -> Paper:
        """Validate the content of a paper file.

        Its `name` must be the one that it was asked for by: commands are made of it.
        """
        paper = validated(cls, values, prefix="paper.")
        if asked_for is not None and paper.name != asked_for:
            raise UserError(f"paper={asked_for}: its file says name: {paper.name}; write name: {asked_for} there")
        return paper

    def left_by(self, user: Sequence[str]) -> Paper:
        """Return this file with the columns that the user's overrides leave; see `typed_columns.left`.

        Raises
        ------
        UserError
            They leave none, or some of the values of a key are of no column.
        """
        places = typed_columns.left(self.name, self.columns, user)
        if len(places) == len(self.columns):
            return self
        rows = {name: row.with_columns(places) for name, row in self.rows.items()}
        return self.model_copy(update={"columns": tuple(self.columns[i] for i in places), "rows": rows})

    def cell_overrides(self, row: Row, column: Column, user: Sequence[str] = ()) -> list[str]:
        """Return the overrides of one cell; the user's own go last and win, but for those that choose columns.

        Raises
        ------
        UserError
            The user's have a recipe, which the cell's would override.
        """
        if recipe := [override for override in user if "experiment" in keys(override)]:
            raise UserError(f"{recipe[0]}: the trials of paper={self.name} have a recipe of their own: leave one out")
        typed = typed_columns.without_own(column, self.columns, user)
        return last_wins(self.sweep, row.sweep or (), column.sweep, row.by_column.get(column.label, ()), typed)

    def cell_trials(self, row: Row, column: Column, user: Sequence[str] = ()) -> dict[str, Trial]:
        """Return the trials that one cell is measured with, by id.

        Raises
        ------
        UnknownChoice
            The row needs a choice (a method, say) that this version does not have.
        UserError
            An override is none of the row's, and the message names the row; or it gives all rows one method.
        """
        self._check_rows_keep_their_methods(user)
        try:
            found = trials(self.cell_overrides(row, column, user), self._cache)
            check_departures(self.departures(row), list(found.values()), [key for word in user for key in keys(word)])
            return found
        except UnknownChoice:
            raise
        except UserError as error:
            name = next(name for name, candidate in self.rows.items() if candidate is row)
            typed = (key for override in user for key in keys(override))
            is_unknown_key = any(str(error).startswith(f"unknown key `{key}`") for key in typed)
            hint = "; paper.only=[ROW,...] chooses the rows that have it" if is_unknown_key else ""
            raise UserError(f"{self.name}, row {name}: {error}{hint}") from None

    def _check_rows_keep_their_methods(self, user: Sequence[str]) -> None:
        chosen = [word for row in self.shown.values() for word in row.sweep or () if word.startswith("method=")]
        typed = next((override for override in user if "method" in keys(override)), None)
        if typed and len(set(chosen)) > 1:
            raise UserError(
                f"{typed}: the rows of {self.name} have methods of their own: choose rows with paper.only=[ROW,...]; "
                f"rows: {', '.join(self.shown)}"
            )

    def departures(self, row: Row) -> list[Departure]:
        """Return where a row departs from the paper's text: its own entries in place of the file's on the same keys."""
        return list({entry.key: entry for entry in (*self.differs_from_text, *row.differs_from_text)}.values())

    @property
    def shared_departures(self) -> list[Departure]:
        """The file's entries that hold in each of several rows, since none has one of its own on the key."""
        measured = [row for row in self.rows.values() if row.sweep is not None]
        replaced = {entry.key for row in measured for entry in row.differs_from_text}
        return [entry for entry in self.differs_from_text if len(measured) > 1 and entry.key not in replaced]

    def all_trials(self, user: Sequence[str] = ()) -> tuple[dict[str, Trial], dict[str, str]]:
        """Return every trial of the chosen rows by id, and for each row that cannot be run the reason."""
        trials_by_id: dict[str, Trial] = {}
        unavailable: dict[str, str] = {}
        for file in self.files():
            trials_of_file, unavailable_rows = file.left_by(user)._own_trials(user)
            trials_by_id.update(trials_of_file)
            of_file = "" if file is self else f" of {file.name}"
            unavailable |= {f"{row}{of_file}": reason for row, reason in unavailable_rows.items()}
        return trials_by_id, unavailable

    def _own_trials(self, user: Sequence[str]) -> tuple[dict[str, Trial], dict[str, str]]:
        """Return the same of the rows that stand in this file."""
        trials_by_id: dict[str, Trial] = {}
        unavailable: dict[str, str] = {}
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
                trials_by_id.update(cells[key])
        return trials_by_id, unavailable

    def _check_cell(self, row: str, column: Column, trials_by_id: Mapping[str, Trial], user: Sequence[str]) -> None:
        """Refuse a cell that no trial can fill, unless `user` changes what it needs, as a shrunken run does."""
        rule = column.select or self.rows[row].select or self.select or "last"
        changed = [key for override in user for key in keys(override)]
        try:
            for trial in trials_by_id.values():
                if not any(key.startswith("dataset") for key in changed):
                    check_readable(column.metric, rule, trial.dataset)
                if not any(key.startswith(("method", "training.similarity")) for key in changed):
                    check_made(column.metric, rule, trial)
        except UserError as error:
            raise UserError(f"{self.name}, row {row}, column {column.label!r}: {error}") from None

    def command(self, row: str | None, user: Sequence[str] = ()) -> str:
        """Return the command that runs what is missing of one row, or with None of every row that is shown."""
        rows = self.only if row is None else (row,)
        only = [f"paper.only=[{','.join(rows)}]"] if rows else []
        return launching(f"paper={self.name}", *only, *user)


def load_paper(name: str, cache: HydraCache | None = None, only: Sequence[str] = ()) -> Paper:
    """Read `conf/paper/NAME.yaml`; several files can share a cache of what Hydra composes for their trials.

    `only` holds the overrides that choose rows: `paper.only=[ROW,...]`.

    Raises
    ------
    UserError
        There is no such file, or it is not a paper's.
    """
    from irm_sweeps.compose import compose

    config = None if only else read_plain(name)
    if config is None:
        config = compose([f"paper={name}", *(f"++{word.lstrip('+')}" for word in only)])["paper"]
    if not config:
        raise UserError(f"paper={name} is empty")
    paper = Paper.from_config(config, name)
    paper._cache = paper._cache if cache is None else cache
    return paper


def papers_of(words: Sequence[str]) -> tuple[list[Paper], list[str]]:
    """Return the paper files among the overrides, with the rows that are chosen, and the overrides of trials.

    Raises
    ------
    UserError
        As `load_paper`.
    """
    only = [word for word in words if word.lstrip("+").startswith("paper.")]
    names = [name for word in words if word.startswith("paper=") for _, name in each_choice(word)]
    user = [word for word in words if word not in only and not word.startswith("paper=")]
    return [load_paper(name, only=only) for name in names], user


def read_plain(name: str) -> dict[str, Any] | None:
    """Return the content of a paper file without composing it, which takes longer; None where Hydra must read it.

    That is where it has a list of defaults, refers to other keys, or cannot be read: then Hydra says why.
    """
    from omegaconf import OmegaConf

    from irm_sweeps.conf_folders import yamls

    path = next((path for path in yamls("paper") if path.stem == name), None)
    try:
        text = "" if path is None else path.read_text()
        if not text or _FOR_HYDRA.search(text):
            return None
        values = OmegaConf.to_container(OmegaConf.create(text))  # unlike yaml, it reads 1e-3 as a number
    except Exception:  # of yaml, OmegaConf, or what Python's numbers and dates raise
        return None
    return {str(key): value for key, value in values.items()} if isinstance(values, dict) else None
