"""From trials to a manifest that workers can start on: plan, check, set aside, write."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from irm_sweeps.config import Settings
from irm_sweeps.files.typed_paths import check_writable
from irm_sweeps.loggers.logger import Logger
from irm_sweeps.store.finished import Finished
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.checks import (
    check_importable,
    check_inputs,
    check_no_secrets,
    check_settings,
    check_storable,
    checked_logger,
)
from irm_sweeps.sweep.compiling import check_compiles, kinds_to_compile
from irm_sweeps.sweep.contracts import check_contracts
from irm_sweeps.sweep.labels import labels
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.plan import Plan, make_plan
from irm_sweeps.sweep.stacks import form_stacks
from irm_sweeps.sweep.warnings import warnings
from irm_sweeps.trial import GROUPS, Trial
from irm_sweeps.user_code.of_classes import user_modules_of


def plan_trials(store: Store, trials: Mapping[str, Trial], settings: Settings, launcher: Launcher) -> Plan:
    """Return what the store has of the trials and what is to run; name on stderr what may not be meant.

    That is also what an edited class did before.

    Raises
    ------
    UserError
        A setting is wrong, the trials cannot be trained under these settings, or some of those that are to run cannot
        be trained at all.
    """
    check_settings(settings, launcher)
    check_compiles(trials.values(), settings)
    plan = make_plan(store, trials, settings)
    check_contracts([trials[trial_id] for trial_id in plan.to_run])
    for warning in warnings([trials[trial_id] for trial_id in plan.to_run], settings, launcher):
        print(warning, file=sys.stderr)
    if settings.plan and plan.to_run:
        check_writable(store.root, "results")
    for note in plan.notes():
        print(note, file=sys.stderr)
    return plan


def prepare(
    store: Store,
    plan: Plan,
    settings: Settings,
    launcher: Launcher,
    label: str,
    varied: Collection[str] = (),
    overrides: Sequence[str] = (),
) -> Manifest:
    """Check configs, classes, data, weights, logger and store, set aside old results, and write the manifest.

    The names of the trials have the keys `varied` in any case; `overrides` are those that make the trials.
    """
    waiting = [plan.trials[trial_id] for trial_id in plan.to_run]
    check_no_secrets(plan.trials.values(), settings)
    check_storable(plan.trials.values())
    check_importable(waiting, launcher)
    check_inputs(waiting, settings)
    machine = launcher.machine(settings.device)
    stacks = form_stacks(waiting, settings.stack, machine, settings.data_dir)
    logger = checked_logger(settings)
    store.prepare()
    if plan.retire:
        _set_aside(store, plan, settings)
    manifest = write_manifest(
        store,
        label,
        Configs(plan.trials),
        stacks.ids,
        RunSettings(
            data_dir=str(settings.data_dir),
            device=settings.device,
            compile=settings.compile is True,
            compile_kinds=kinds_to_compile(plan.trials.values(), settings, machine),
            on_error=settings.on_error,
            checkpoint_seconds=settings.checkpoint_seconds,
            stall_seconds=settings.stall_seconds,
            folders=[os.getcwd()],
            logger=logger.model_dump(mode="json", by_alias=True) if logger else None,
        ),
        labels(plan.trials, varied),
        overrides,
        user_modules_of(_classes(plan.trials.values(), logger)),
    )
    Finished(store, manifest).forget_others()
    return manifest


def _set_aside(store: Store, plan: Plan, settings: Settings) -> None:
    """Move the results aside that are to be made again; one that another launch has made since the plan stays."""
    now = make_plan(store, {trial_id: plan.trials[trial_id] for trial_id in plan.retire}, settings)
    for trial_id, word in now.retire.items():
        if plan.retire[trial_id] == word and trial_id not in {*plan.running, *now.running}:
            store.retire(trial_id, word)


class Configs(Mapping[str, dict[str, Any]]):
    """The configs of trials by id, each made when it is looked at: as dicts, those of 16,000 take 30 MB."""

    def __init__(self, trials: Mapping[str, Trial]) -> None:
        self._trials = trials

    def __getitem__(self, trial_id: str) -> dict[str, Any]:
        """Return the config of one trial."""
        return self._trials[trial_id].config

    def __iter__(self) -> Iterator[str]:
        """Yield the ids, in the order of the grid."""
        return iter(self._trials)

    def __len__(self) -> int:
        """Return the number of trials."""
        return len(self._trials)


def _classes(trials: Iterable[Trial], logger: Logger | None) -> set[type]:
    """Return every class that workers build for these trials."""
    classes: set[type] = {type(getattr(trial, group)) for trial in trials for group in GROUPS}
    return classes | ({type(logger)} if logger else set())
