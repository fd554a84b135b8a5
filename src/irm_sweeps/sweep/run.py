"""The front door's two rooms: one trial, and a sweep."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from irm_sweeps.compose import addressed_to_trials
from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.loggers.logger import build_logger
from irm_sweeps.store import claims
from irm_sweeps.store.finished import Finished
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.cost import report
from irm_sweeps.sweep.grid import each, expand, is_group
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.objective import check_objective, objective
from irm_sweeps.sweep.paper import Paper
from irm_sweeps.sweep.plan import Plan, make_plan
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.stacks import form_stacks
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import command, looking
from irm_sweeps.wording import count


def collect(overrides: Sequence[str]) -> tuple[dict[str, Trial], Settings, str]:
    """Return a sweep's trials by id, its settings and its label, from command-line overrides.

    A paper file among the overrides contributes the trials of its rows; the other overrides then apply to all
    of them. Rows that this version cannot run are named on stderr.

    Raises
    ------
    UserError
        An override is wrong, or the settings differ within the sweep.
    """
    user = [o for o in overrides if not o.lstrip("+").startswith(("paper=", "paper."))]
    if len(user) == len(overrides):
        configs = list(expand(overrides))
        found = (Trial.from_config(config) for config in configs)
        return {trial.id: trial for trial in found}, _one_settings(configs), "sweep"

    trials: dict[str, Trial] = {}
    # A choice that does not exist is the user's mistake here, and no row that this version lacks.
    for _ in expand([o for o in user if is_group(o.partition("=")[0])]):
        pass
    papers = addressed_to_trials([o for o in overrides if o not in user])
    configs, names = [], []
    for name, config in _paper_configs(papers, _settings_only(user)):
        paper = Paper.from_config(config["paper"], name)
        configs.append(config)
        names.append(name)
        own, unavailable = paper.all_trials(user)
        for row, reason in unavailable.items():
            print(f"{paper.name}: row {row} is left out: {reason}", file=sys.stderr)
        trials.update(own)
    if not trials:
        raise UserError(f"paper={'+'.join(dict.fromkeys(names))}: none of the rows can be run")
    return trials, _one_settings(configs), "+".join(dict.fromkeys(names))


def _paper_configs(papers: Sequence[str], settings: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each paper file that is asked for, by the name that it is asked for with, in its config."""
    choices = [word for word in papers if word.startswith("paper=")]
    others = [word for word in papers if word not in choices]
    for choice, name in (one for word in choices for one in each(word)):
        for config in expand([choice, *others, *settings]):
            yield str(name), config


def _settings_only(overrides: Sequence[str]) -> list[str]:
    return [o for o in overrides if o.partition("=")[0].lstrip("+~").partition(".")[0] in Settings.model_fields]


def _one_settings(configs: Sequence[Mapping[str, Any]]) -> Settings:
    given = {
        repr({name: config[name] for name in Settings.model_fields if name in config}): config for config in configs
    }
    distinct = {str(s): s for s in map(Settings.from_config, given.values())}
    if len(distinct) != 1:
        raise UserError(f"one value for all trials of a sweep, please: {', '.join(Settings.model_fields)}")
    settings = next(iter(distinct.values()))
    check_objective(settings.objective)
    return settings


def prepare(store: Store, plan: Plan, settings: Settings, launcher: Launcher, label: str) -> Manifest:
    """Check device, data, weights, logger and store, set aside results to be made again, and write the manifest."""
    waiting = [plan.trials[trial_id] for trial_id in plan.to_run]
    for dataset in {str(trial.dataset): trial.dataset for trial in waiting}.values():
        dataset.check(settings.data_dir)
    for trial in {f"{trial.backbone!r} {trial.dataset.features}": trial for trial in waiting}.values():
        trial.backbone.check(trial.dataset.features, trial.dataset.outputs)
    stacks = form_stacks(waiting, settings.stack, launcher.machine(settings.device), settings.data_dir)
    logger = build_logger(settings.logger).within(settings.results) if settings.logger else None
    if logger is not None:
        logger.check()
    store.prepare()
    for trial_id, word in plan.retire.items():
        if trial_id not in plan.running:
            store.retire(trial_id, word)
    manifest = write_manifest(
        store,
        label,
        {trial_id: trial.canonical for trial_id, trial in plan.trials.items()},
        stacks.ids,
        RunSettings(
            data_dir=str(settings.data_dir),
            device=settings.device,
            compile=settings.compile,
            on_error=settings.on_error,
            checkpoint_seconds=settings.checkpoint_seconds,
            folders=[os.getcwd()],
            logger=logger.model_dump(mode="json", by_alias=True) if logger else None,
        ),
    )
    Finished(store, manifest).forget_others()
    return manifest


def _plan(store: Store, trials: Mapping[str, Trial], settings: Settings) -> Plan:
    """Look at the store, and say on stderr what is out of date there.

    Raises
    ------
    UserError
        The trials cannot be trained under these settings.
    """
    if settings.compile:
        for trial in trials.values():
            trial.check_compiles()
    plan = make_plan(store, trials, settings)
    if warning := plan.warning():
        print(warning, file=sys.stderr)
    return plan


def run_sweep(overrides: Sequence[str], launcher: Launcher) -> int:
    """Run what a sweep lacks; return how many of the trials that ran have failed.

    Raises
    ------
    UserError
        Bad overrides, missing data, or a results directory that cannot be written.
    """
    trials, settings, label = collect(overrides)
    store = Store(settings.results)
    plan = _plan(store, trials, settings)
    for damage in plan.damaged:
        print(f"damaged, will be set aside and run again: {damage}", file=sys.stderr)
    print(plan.summary())
    if plan.unsuccessful:
        print(f"{len(plan.unsuccessful)} of those done failed or diverged: rerun=failed runs them again")
    if settings.plan:
        for line in report(store, plan, settings, launcher):
            print(line)
    if settings.plan:
        return 0
    claims.tidy(store, plan.done)
    if not plan.to_run:
        return 0
    manifest = prepare(store, plan, settings, launcher, label)
    workers = launcher.workers(settings.device)
    size = f"{count(len(manifest.stacks), 'stack')}, {count(workers, 'worker')}"
    print(f"sweep {manifest.name}: {size}; {_how_far(store)}", flush=True)
    with _going_on_later(), Progress(len(plan.to_run)) as progress:
        complete = launcher.run(store, manifest, progress)
    claims.tidy(store, plan.to_run)
    if complete:
        print(progress.summary())
        one = looking("show", plan.to_run[0], results=store.root)
        print(f"results in {settings.results}; look at one with: {one}")
        if progress.failures:
            failures = looking("failures", manifest.name, results=store.root)
            print(f"why {count(progress.failures, 'trial')} failed: {failures}")
    return progress.failures


def run_trial(config: Mapping[str, Any], launcher: Launcher) -> float:
    """Run one trial, unless it is done; print its scores and return its objective."""
    from irm_sweeps.commands.show import scores_table
    from irm_sweeps.device import choose_device

    if config.get("paper"):
        raise UserError(f"paper={config['paper']['name']} is a sweep: {command('launch')} -m paper=...")
    trial, settings = Trial.from_config(config), _one_settings([config])
    store = Store(settings.results)
    plan = _plan(store, {trial.id: trial}, settings)
    if settings.plan:
        print(plan.summary())
        return float("nan")
    if plan.running:
        raise UserError(f"trial {trial.id} is being trained by another process; {_how_far(store)}")
    if plan.to_run:
        manifest = prepare(store, plan, settings, launcher, "trial")
        print(f"training {trial.id} on {choose_device(settings.device)}; {_how_far(store)}", flush=True)
        with _going_on_later():
            launcher.run(store, manifest, Progress(0))
    else:
        print(f"done before: {store.folder(trial.id) / 'result.json'}")
    result = store.result(trial.id)
    if result is None:
        raise UserError(f"trial {trial.id} has no result: another process took it; {_how_far(store)}")
    print(scores_table(result))
    if result.status == "failed":
        raise SystemExit(1)
    return _value(trial, result, settings)


def _how_far(store: Store) -> str:
    return f"how far it is: {looking('status', results=store.root)}"


@contextmanager
def _going_on_later() -> Iterator[None]:
    """Say on Ctrl-C what is not lost."""
    try:
        yield
    except KeyboardInterrupt:
        print("what is done, and the checkpoint of what was not, is kept: the same command goes on", file=sys.stderr)
        raise


def run_batch(batch: Sequence[Sequence[str]], launcher: Launcher) -> list[Any]:
    """Run one trial per list of overrides and return Hydra `JobReturn`s with their objectives, in order.

    This is what Hydra's own and others' sweepers call. A trial that failed raises where its value is read.
    """
    from hydra.core.utils import JobReturn, JobStatus

    configs = [next(iter(expand(overrides))) for overrides in batch]
    wanted = [Trial.from_config(config) for config in configs]
    settings = _one_settings(configs)
    store = Store(settings.results)
    trials = {trial.id: trial for trial in wanted}
    plan = _plan(store, trials, settings)
    if plan.to_run:
        manifest = prepare(store, plan, settings, launcher, "search")
        with Progress(len(plan.to_run)) as progress:
            launcher.run(store, manifest, progress)
    returns = []
    for trial, overrides in zip(wanted, batch, strict=True):
        result = store.result(trial.id)
        answer = JobReturn(overrides=list(overrides), cfg=None, working_dir=str(store.folder(trial.id)))
        if result is None or result.error is not None:
            message = result.error.message if result and result.error else "no result: was the search interrupted?"
            answer.status, answer.return_value = JobStatus.FAILED, UserError(f"trial {trial.id}: {message}")
        else:
            answer.status, answer.return_value = JobStatus.COMPLETED, _value(trial, result, settings)
        returns.append(answer)
    return returns


def _value(trial: Trial, result: Result, settings: Settings) -> float:
    return objective(result, settings.objective, regression=trial.dataset.loss == "squared")
