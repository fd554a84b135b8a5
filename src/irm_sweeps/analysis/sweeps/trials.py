"""The trials of a sweep that a command line selects: by overrides, by the sweep's name, or the latest one."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps.analysis.fill_commands import folder_to_fill, overrides_into
from irm_sweeps.errors import UserError
from irm_sweeps.typed_commands import DEFAULT_STORE, launching

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results
    from irm_sweeps.store.manifest import Manifest
    from irm_sweeps.store.reader import Reader
    from irm_sweeps.store.result import Result
    from irm_sweeps.trial import Trial


@dataclass(frozen=True)
class SweepTrials:
    """The trials of a sweep, whether they have results or not.

    Attributes
    ----------
    name
        Name of the sweep, whether it was launched under this name or not.
    settings
        By trial id, in the order of the grid: its config without the seed, which the trials of a setting share.
    names
        By trial id: the name of its setting, in the words that are typed.
    fill
        The command that trains what has no result; empty if none is known.
    """

    name: str
    settings: Mapping[str, Mapping[str, Any]]
    names: Mapping[str, str]
    fill: str


def selected(options: argparse.Namespace, results: Results) -> SweepTrials:
    """Return the sweep that the options of `analysis.options.Parser` select; `results` are those of its stores.

    Raises
    ------
    UserError
        An override is wrong, or there is no such sweep.
    """
    if options.overrides:
        return of_overrides(options.overrides, options.stores)
    return named(options.sweep, options.stores) if options.sweep else latest(options.stores, results)


def of_trials(name: str, trials: Mapping[str, Trial], fill: str) -> SweepTrials:
    """Return the sweep that consists of these trials."""
    from irm_sweeps.sweep.labels import setting_labels, setting_of

    settings = {trial_id: setting_of(trial) for trial_id, trial in trials.items()}
    return SweepTrials(name, settings, setting_labels(trials), fill)


def of_overrides(overrides: Sequence[str], stores: Sequence[Path]) -> SweepTrials:
    """Return the trials that `launch.py -m` with these overrides would train.

    Raises
    ------
    UserError
        As the launch would.
    """
    from irm_sweeps.store.sweeps import sweep_name
    from irm_sweeps.sweep.grid import trials

    words = [word for word in overrides if not word.lstrip("+~").startswith(("hydra.", "hydra/"))]
    found = trials(words)
    return of_trials(sweep_name("sweep", list(found)), found, launching(*overrides_into(folder_to_fill(stores), words)))


def of_manifest(manifest: Manifest) -> SweepTrials:
    """Return the trials of a sweep that was launched."""
    return _of_configs(manifest.name, manifest.trials, manifest.command)


def _of_configs(name: str, configs: Mapping[str, Mapping[str, Any]], fill: str) -> SweepTrials:
    from irm_sweeps.naming.names import setting_names
    from irm_sweeps.store.later_fields import filled, without_places

    settings = {
        trial_id: {key: value for key, value in without_places(filled(config)).items() if key != "seed"}
        for trial_id, config in configs.items()
    }
    names = dict(zip(settings, setting_names(list(settings.values())), strict=True))
    return SweepTrials(name, settings, names, fill)


def named(name: str, stores: Sequence[Path]) -> SweepTrials:
    """Return the sweep with this name, or the beginning of it, from the first store that has it.

    Raises
    ------
    UserError
        No store has it, several sweeps begin so, or its manifest is damaged.
    """
    return of_manifest(find_manifest(name, stores))


def find_manifest(name: str, stores: Sequence[Path]) -> Manifest:
    """Return the manifest of the sweep with this name; see `named`."""
    from irm_sweeps.store.archive import open_reader
    from irm_sweeps.store.manifest import read_manifest
    from irm_sweeps.store.sweeps import sweep_names

    readers = [open_reader(store) for store in stores]
    _check_has_sweeps(readers)
    having = [store for store in readers if any(own.startswith(name) for own in sweep_names(store))]
    return read_manifest((having or readers)[0], name)


def latest(stores: Sequence[Path], results: Results) -> SweepTrials:
    """Return the sweep that was launched last in any store; a single trial only where nothing else was launched.

    Where nothing was launched, as in an archive, all results are one sweep.

    Raises
    ------
    UserError
        There are no results either, or the manifest is damaged.
    """
    from irm_sweeps.files.reading import is_there

    if manifest := latest_manifest(stores):
        return of_manifest(manifest)
    where = ", ".join(map(str, stores))
    if configs := {result.trial_id: result.config for result in sorted(results.everything(), key=_as_in_a_grid)}:
        return _of_configs(where, configs, "")
    example = launching(*overrides_into(folder_to_fill(stores), ["method=irmv1,vrex", "lam=1,100"]))
    if not any(map(is_there, stores)) and list(stores) != [DEFAULT_STORE]:
        raise UserError(f"--results {where}: no such directory; run something first: {example}")
    raise UserError(f"no sweep has been launched in {where}: {example} is one")


def _as_in_a_grid(result: Result) -> tuple[str, float]:
    return result.config["method"]["_target_"], result.config.get("lam") or 0.0


def latest_manifest(stores: Sequence[Path]) -> Manifest | None:
    """Return the manifest of the sweep that was launched last, or None if nothing was launched; see `latest`."""
    from irm_sweeps.store.archive import open_reader
    from irm_sweeps.store.manifest import is_copy, load_manifest
    from irm_sweeps.store.sweeps import launched_at, sweep_names

    latest_of: dict[tuple[bool, float], tuple[Reader, str]] = {}
    for store in map(open_reader, stores):
        names = [name for name in reversed(sweep_names(store)) if not is_copy(store, name)]
        if names:
            name = next((name for name in names if not name.startswith("trial-")), names[0])
            when = launched_at(store.root / "sweeps" / name)
            order = not name.startswith("trial-"), -math.inf if when is None else when
            latest_of.setdefault(order, (store, name))
    return load_manifest(*latest_of[max(latest_of)]) if latest_of else None


def others_in_stores(sweep: SweepTrials, results: Results) -> int:
    """Return how many trials with a result in the stores are none of the sweep's."""
    return sum(result.trial_id not in sweep.settings for result in results.everything())


def _check_has_sweeps(readers: Sequence[Reader]) -> None:
    """Check that not all are archives.

    Raises
    ------
    UserError
        They are: an archive has results, and no manifests.
    """
    from irm_sweeps.store.archive import Archive

    if all(isinstance(reader, Archive) for reader in readers):
        raise UserError(
            f"{readers[0].root} is an archive, which has no sweeps: give the overrides that its trials were run with, "
            "e.g. method=irmv1,vrex, or --paper NAME"
        )
