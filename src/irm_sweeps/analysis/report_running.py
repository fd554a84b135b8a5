"""The trials that are being trained while the report is written, as their claims and histories say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from irm_sweeps.analysis.curve_svg import Chart, charts
from irm_sweeps.errors import UserError
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.typed_commands import looking

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.store.claims import Claim
    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.store import Store

MOST_DRAWN = 12
"""Most running trials whose curves are drawn; the others are only named."""


@dataclass(frozen=True)
class RunningEntry:
    """A trial that a living worker trains.

    Attributes
    ----------
    watch
        The command that shows its sweep while it runs.
    """

    trial_id: str
    name: str
    step: int
    steps: int
    host: str
    watch: str
    charts: Sequence[Chart] = ()


def running(results: Results, only: Manifest | None) -> list[RunningEntry]:
    """Return the running trials of the results' stores, or of one sweep; archives have none."""
    from irm_sweeps.store.liveness import only_reading
    from irm_sweeps.store.store import Store

    with only_reading():
        found = [
            (store, claim)
            for store in results.readers
            if isinstance(store, Store)
            for claim in _claims(store, results, only)
        ]
    names = _names(found, only)
    return [_entry(store, claim, names, drawn=i < MOST_DRAWN) for i, (store, claim) in enumerate(found)]


def _claims(store: Store, results: Results, only: Manifest | None) -> Iterator[Claim]:
    """Yield the claims in force on trials without a result."""
    from irm_sweeps.store import claims

    for trial_id in store.trial_ids() if only is None else only.trials:
        if results.of(trial_id) is None:
            with suppress(DamagedFile, OSError):  # a claim that just went, or that nobody can read
                claim = claims.current(store, trial_id)
                if claim is not None and claim.is_in_force():
                    yield claim


def _entry(store: Store, claim: Claim, names: dict[str, str], *, drawn: bool) -> RunningEntry:
    trial_id = claim.path.parent.name
    entry = RunningEntry(
        trial_id,
        names.get(trial_id, trial_id),
        claim.step,
        claim.steps,
        claim.holder.host,
        looking("watch", results=store.root),
    )
    if not drawn:
        return entry
    try:
        rows = store.history(trial_id) or []
    except DamagedFile:  # the trial's result will tell
        return entry
    return RunningEntry(**{**entry.__dict__, "charts": charts(rows)})


def _names(found: Sequence[tuple[Store, Claim]], only: Manifest | None) -> dict[str, str]:
    """Return the names of running trials by id, as the sweeps that were launched last have them."""
    from irm_sweeps.store.manifest import load_manifest, sweep_names

    open_ids = {claim.path.parent.name for _, claim in found}
    names: dict[str, str] = {}
    for store in dict.fromkeys(store for store, _ in found):
        for sweep in reversed(sweep_names(store)):
            wanted = open_ids - names.keys()
            if not wanted:
                return names
            with suppress(UserError):  # whoever asks for the sweep is told
                manifest = only or load_manifest(store, sweep)
                names.update(
                    {trial_id: manifest.label_of(trial_id) for trial_id in wanted if trial_id in manifest.trials}
                )
    return names
