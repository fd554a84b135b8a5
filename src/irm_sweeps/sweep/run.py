"""Run a sweep or one trial: what `launch.py` ends in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.store import claims
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.open_trials import open_trials_in_words
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import note_launch, sweep_name, sweep_names
from irm_sweeps.sweep.collect import collect, common_settings, of_trials
from irm_sweeps.sweep.cost import LISTED, report
from irm_sweeps.sweep.forecast import LaunchForecast
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.objective import objective
from irm_sweeps.sweep.own_classes import check_own_classes
from irm_sweeps.sweep.paper import papers_of
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.prepare import plan_trials, prepare
from irm_sweeps.sweep.printing import hint_on_interrupt, how_far, print_answer, print_failures, print_plan, print_where
from irm_sweeps.sweep.probe import Prober
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.stacks import form_stacks
from irm_sweeps.sweep.warnings import lam_without_effect
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import command, looking
from irm_sweeps.wording import count, in_stacks

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results


def run_sweep(overrides: Sequence[str], launcher: Launcher) -> int:
    """Run what a sweep lacks; return how many of the trials that ran have failed, or with `plan` cannot run.

    Raises
    ------
    UserError
        Bad overrides, missing data, or a results directory that cannot be written.
    """
    trials, settings, label = collect(overrides)
    if settings.seeds:
        return _run_until_decided(overrides, settings, label, launcher)
    answer = partial(print_answer, trials, label, overrides)
    return _run(trials, settings, label, overrides, launcher, answer)[0]


def _run_until_decided(overrides: Sequence[str], settings: Settings, label: str, launcher: Launcher) -> int:
    """Run the seeds of one look after another, until every cell of the papers is decided or has `max_seeds`."""
    from irm_sweeps.analysis.papers.until_decided import looks
    from irm_sweeps.analysis.readings import Results

    papers, user = papers_of(of_trials(overrides))
    if not papers:
        raise UserError(
            "seeds=until_decided decides on published numbers: give paper=NAME, or say which seeds, "
            "e.g. 'seed=range(0,10)'"
        )
    files = [file for paper in papers for file in paper.files()]
    failures = 0
    trials, waiting = looks(files, settings.results, user)  # the first time with those done, which rerun= is about
    while trials:
        lacking = set(waiting)
        failed, complete = _run(trials, settings, label, overrides, launcher, lambda _results: None)
        failures += failed
        _, waiting = looks(files, settings.results, user)
        if settings.plan or not complete:
            if waiting:
                print("more seeds follow where these decide nothing: the same command runs them, when these are done")
            return failures
        if set(waiting) == lacking:
            break
        settings, trials = settings.model_copy(update={"rerun": "missing"}), waiting
    print_answer({}, label, overrides, Results([settings.results]))
    return failures


def _run(
    trials: Mapping[str, Trial],
    settings: Settings,
    label: str,
    overrides: Sequence[str],
    launcher: Launcher,
    answer: Callable[[Results], None],
) -> tuple[int, bool]:
    """Run what is missing of some trials, or with `plan` print it; when all have ended, print the answer.

    Return how many of those that ran have failed, or cannot run, and whether this process has seen all of them end.
    """
    from irm_sweeps.analysis.readings import Results

    store = Store(settings.results)
    if settings.plan and len(trials) > LISTED:
        print(f"{count(len(trials), 'trial')}: looking at results, data sets and backbones ...", flush=True)
    plan = plan_trials(store, trials, settings, launcher)
    if settings.plan:
        return _print_costs(store, plan, settings, launcher), False
    print_plan(plan)
    claims.tidy(store, plan.done)
    if not plan.to_run:
        name = sweep_name(label, list(trials))
        note_launch(store, name)
        results = Results([store.root], plan.results)
        print_where(results, plan.done)
        if plan.unsuccessful and name in sweep_names(store):
            print(f"which failed or diverged: {looking('failures', name, results=store.root)}")
        answer(results)
        return 0, True
    manifest = prepare(store, plan, settings, launcher, label, overrides=of_trials(overrides))
    workers = launcher.workers(settings.device)
    size = f"{in_stacks(manifest.stacks)}, {count(workers, 'worker')}"
    print(f"sweep {manifest.name}: {size}; {how_far(store)}", flush=True)
    if sys.stdout.isatty():
        print(f"on a page that updates itself: {looking('watch', results=store.root)}", flush=True)
    forecast = LaunchForecast(store, manifest, workers)
    with hint_on_interrupt(), Progress(len(plan.to_run), manifest.labels, forecast) as progress:
        complete = launcher.run(store, manifest, progress)
    claims.tidy(store, plan.to_run)
    if complete:
        print(progress.summary())
        results = Results([store.root])
        print_where(results, [*plan.to_run, *plan.done])
        print_failures(store, manifest, progress)
        answer(results)
        _check_no_trial_is_left(store, manifest, progress)
    return progress.failures, complete


def _check_no_trial_is_left(store: Store, manifest: Manifest, progress: Progress) -> None:
    """Print, or where no trial has failed raise, that trials of the launch have no result.

    Raises
    ------
    UserError
        Other workers train them, or their workers were stopped.
    """
    if not (left := open_trials_in_words(store, manifest)):
        return
    message = f"{left}; {how_far(store)}"
    if not progress.failures:
        raise UserError(message)
    print(message, file=sys.stderr)


def _print_costs(store: Store, plan: Plan, settings: Settings, launcher: Launcher) -> int:
    """Print what `plan=true` tells, and return how many trials cannot run.

    Raises
    ------
    UserError
        Classes of the user's own break their contract.
    """
    machine = launcher.machine(settings.device)
    waiting = (plan.trials[trial_id] for trial_id in plan.to_run)
    stacks = form_stacks(waiting, settings.stack, machine, settings.data_dir)
    with Prober(settings.data_dir, settings.device, launcher.threads(settings.device)) as prober:
        check_own_classes(plan, stacks, settings, prober)
        print_plan(plan)
        return _print_all(report(store, plan, stacks, machine, settings, prober))


def _print_all(lines: Generator[str, None, int]) -> int:
    """Print lines as they come, and return what the generator returns."""
    while True:
        try:
            print(next(lines), flush=True)
        except StopIteration as end:
            return int(end.value)


def run_trial(config: Mapping[str, Any], launcher: Launcher) -> float:
    """Run one trial, unless it is done; print its scores and return its objective."""
    from irm_sweeps.commands.show import scores_table
    from irm_sweeps.device import choose_device

    if config.get("paper"):
        raise UserError(f"paper={config['paper']['name']} is a sweep: {command('launch')} -m paper=...")
    trial, settings = Trial.from_config(config), common_settings([config])
    for warning in lam_without_effect([config], [trial]):
        print(warning, file=sys.stderr)
    store = Store(settings.results)
    plan = plan_trials(store, {trial.id: trial}, settings, launcher)
    if settings.plan:
        if _print_costs(store, plan, settings, launcher):
            raise SystemExit(1)
        return float("nan")
    if plan.running:
        raise UserError(f"trial {trial.id} is being trained by another process; {how_far(store)}")
    if plan.to_run:
        manifest = prepare(store, plan, settings, launcher, "trial")
        print(f"training {trial.id} on {choose_device(settings.device)}; {how_far(store)}", flush=True)
        with hint_on_interrupt():
            launcher.run(store, manifest, Progress(0))
    else:
        print(f"done before: {store.folder(trial.id) / RESULT}")
    result = store.result(trial.id)
    if result is None:
        raise UserError(f"trial {trial.id} has no result: another process took it; {how_far(store)}")
    print(scores_table(result))
    if result.status == "failed":
        raise SystemExit(1)
    return objective(result, settings.objective, regression=trial.dataset.is_regression)
