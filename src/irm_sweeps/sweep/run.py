"""Run a sweep, one trial, or a batch of a searching sweeper: what `launch.py` ends in."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.store import claims
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect, common_settings
from irm_sweeps.sweep.cost import report
from irm_sweeps.sweep.grid import expand
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.objective import objective
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.prepare import plan_trials, prepare
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import command, looking
from irm_sweeps.wording import count


def run_sweep(overrides: Sequence[str], launcher: Launcher) -> int:
    """Run what a sweep lacks; return how many of its trials have failed, or have no result although it has ended.

    Raises
    ------
    UserError
        Bad overrides, missing data, or a results directory that cannot be written.
    """
    trials, settings, label = collect(overrides)
    store = Store(settings.results)
    plan = plan_trials(store, trials, settings)
    _print_plan(plan)
    if settings.plan:
        for line in report(store, plan, settings, launcher):
            print(line)
        return 0
    claims.tidy(store, plan.done)
    if not plan.to_run:
        return 0
    manifest = prepare(store, plan, settings, launcher, label)
    workers = launcher.workers(settings.device)
    size = f"{count(len(manifest.stacks), 'stack')}, {count(workers, 'worker')}"
    print(f"sweep {manifest.name}: {size}; {_how_far(store)}", flush=True)
    with _hint_on_interrupt(), Progress(len(plan.to_run)) as progress:
        complete = launcher.run(store, manifest, progress)
    claims.tidy(store, plan.to_run)
    if not complete:
        return progress.failures
    _print_end(store, plan, settings, manifest, progress)
    return progress.failures + _print_open(store, plan, manifest)


def _print_open(store: Store, plan: Plan, manifest: Manifest) -> int:
    """Print on stderr how many trials have no result although the sweep has ended, and return the number."""
    n_open = sum(not store.has_result(trial_id) for trial_id in plan.to_run)
    if n_open:
        status = looking("status", manifest.name, results=store.root)
        print(f"{count(n_open, 'trial')} of this sweep still without a result; who has them: {status}", file=sys.stderr)
    return n_open


def _print_plan(plan: Plan) -> None:
    """Print what is damaged (on stderr), done, to run, and done without success."""
    for damage in plan.damaged:
        print(f"damaged, will be set aside and run again: {damage}", file=sys.stderr)
    print(plan.summary())
    if plan.unsuccessful:
        print(f"{len(plan.unsuccessful)} of those done failed or diverged: rerun=failed runs them again")


def _print_end(store: Store, plan: Plan, settings: Settings, manifest: Manifest, progress: Progress) -> None:
    """Print how the trials ended, and the commands that show a result and the failures."""
    print(progress.summary())
    show = looking("show", plan.to_run[0], results=store.root)
    print(f"results in {settings.results}; look at one with: {show}")
    if progress.failures:
        failures = looking("failures", manifest.name, results=store.root)
        print(f"why {count(progress.failures, 'trial')} failed: {failures}")


def run_trial(config: Mapping[str, Any], launcher: Launcher) -> float:
    """Run one trial, unless it is done; print its scores and return its objective."""
    from irm_sweeps.commands.show import scores_table
    from irm_sweeps.device import choose_device

    if config.get("paper"):
        raise UserError(f"paper={config['paper']['name']} is a sweep: {command('launch')} -m paper=...")
    trial, settings = Trial.from_config(config), common_settings([config])
    store = Store(settings.results)
    plan = plan_trials(store, {trial.id: trial}, settings)
    if settings.plan:
        print(plan.summary())
        return float("nan")
    if plan.running:
        raise UserError(f"trial {trial.id} is being trained by another process; {_how_far(store)}")
    if plan.to_run:
        manifest = prepare(store, plan, settings, launcher, "trial")
        print(f"training {trial.id} on {choose_device(settings.device)}; {_how_far(store)}", flush=True)
        with _hint_on_interrupt():
            launcher.run(store, manifest, Progress(0))
    else:
        print(f"done before: {store.folder(trial.id) / RESULT}")
    result = store.result(trial.id)
    if result is None:
        raise UserError(f"trial {trial.id} has no result: another process took it; {_how_far(store)}")
    print(scores_table(result))
    if result.status == "failed":
        raise SystemExit(1)
    return _value(trial, result, settings)


def run_batch(batch: Sequence[Sequence[str]], launcher: Launcher) -> list[Any]:
    """Run one trial per list of overrides and return Hydra `JobReturn`s with their objectives, in order.

    This is what Hydra's own and others' sweepers call. A trial that failed raises where its value is read.
    """
    from hydra.core.utils import JobReturn, JobStatus

    configs = [next(iter(expand(overrides))) for overrides in batch]
    batch_trials = [Trial.from_config(config) for config in configs]
    settings = common_settings(configs)
    store = Store(settings.results)
    trials = {trial.id: trial for trial in batch_trials}
    plan = plan_trials(store, trials, settings)
    if plan.to_run:
        manifest = prepare(store, plan, settings, launcher, "search")
        with Progress(len(plan.to_run)) as progress:
            launcher.run(store, manifest, progress)
    returns = []
    for trial, overrides in zip(batch_trials, batch, strict=True):
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
    """Return the number that a searching sweeper maximises."""
    return objective(result, settings.objective, regression=trial.dataset.loss == "squared")


def _how_far(store: Store) -> str:
    """Return the command that shows how far the work is."""
    return f"how far it is: {looking('status', results=store.root)}"


@contextmanager
def _hint_on_interrupt() -> Iterator[None]:
    """On Ctrl-C, print that results and checkpoints are kept."""
    try:
        yield
    except KeyboardInterrupt:
        print("what is done, and the checkpoint of what was not, is kept: the same command goes on", file=sys.stderr)
        raise
