"""Departures of a row's trials from the text of its paper: entries of the paper file, held against the trials."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.config import Config
from irm_sweeps.errors import UserError, did_you_mean
from irm_sweeps.naming.choices import choice_name
from irm_sweeps.naming.leaves import facts
from irm_sweeps.trial import Trial
from irm_sweeps.wording import written

_ANY_KEY = frozenset({"protocol", "experiment"})
"""Choices that may change every key."""
DEPARTS = "not as in the paper's text"
"""How the note on departures begins."""


class Departure(Config):
    """A key that a row's trials have at another value than the text of the paper."""

    key: str
    """The key, e.g. `method.drop_grad`, or a choice, e.g. `optimizer`."""
    here: Any
    """Its value in the row's trials; a list also where they have several, such as a value for each column."""
    text: Any
    """What the text has: a value, or words where it has none for such a key."""

    def is_here(self, value: Any) -> bool:
        """Return whether the entry says that trials have this value."""
        return bool(value == self.here or (isinstance(self.here, list) and value in self.here))


def check_departures(departures: Iterable[Departure], trials: Sequence[Trial], changed: Iterable[str]) -> None:
    """Check that the trials of a cell depart from the text as the paper file says.

    Parameters
    ----------
    changed
        The keys of the user's own overrides; an entry on a key of the same group is not checked then.

    Raises
    ------
    UserError
        The trials do not have the key of an entry, have another value than its `here`, or have its `text`.
    """
    groups = {key.partition(".")[0] for key in changed}
    if groups & _ANY_KEY:
        return
    declared = list(departures)
    configs = [_flat(trial) for trial in trials] if declared else []
    for departure in declared:
        if departure.key.partition(".")[0] not in groups:
            for config in configs:
                _check(departure, config)


def _flat(trial: Trial) -> dict[str, Any]:
    """Return a trial's config flat, with the names of its choices."""
    return {**facts(trial.config), **{group: choice_name(group, trial.config[group]) for group in COMPONENTS}}


def _check(departure: Departure, config: Mapping[str, Any]) -> None:
    key = departure.key
    if key not in config:
        raise UserError(f"differs_from_text: {key} is no key of its trials{did_you_mean(key, config)}")
    if config[key] == departure.text:
        raise UserError(f"differs_from_text: {key}={written(config[key])} is what the text has: leave the entry out")
    if not departure.is_here(config[key]):
        raise UserError(
            f"differs_from_text: {key}={written(config[key])} in its trials, not {written(departure.here)}: "
            f"write here: {written(config[key])}"
        )


def departures_notes(
    departures: Iterable[Departure], shared: Sequence[Departure], trials: Sequence[Trial]
) -> Iterator[str]:
    """Yield the notes on where a row's trials depart from the text, by their configs; none if they depart nowhere.

    An entry whose value overrides have changed is left out: the table has a line on the overrides.

    Parameters
    ----------
    departures
        All entries that hold for the row.
    shared
        Those of them that hold for all rows: they make a note of their own, which stands below a table once.
    """
    if not (declared := list(departures)):
        return
    configs = [_flat(trial) for trial in trials]
    # An entry whose `here` lists values of several columns or settings may read otherwise in another row.
    alike = [entry for entry in shared if all(config.get(entry.key, entry.here) == entry.here for config in configs)]
    own = [entry for entry in declared if entry not in alike]
    for entries, where in ((alike, ", in all rows"), (own, "")):
        if parts := list(_parts(entries, configs)):
            yield f"{DEPARTS}{where}: {'; '.join(parts)}"


def _parts(departures: Iterable[Departure], configs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for departure in departures:
        key = departure.key
        values = {written(config[key]): None for config in configs if key in config and departure.is_here(config[key])}
        if values:
            text = departure.text if isinstance(departure.text, str) else written(departure.text)
            yield f"{key}={' or '.join(values)} (text: {text})"
