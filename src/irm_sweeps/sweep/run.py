"""Run a sweep, one trial, or a batch of a searching sweeper: what `launch.py` ends in."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from irm_sweeps.compose import COMPONENTS
from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.store import claims
from irm_sweeps.store.layout import RESULT
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.open_trials import open_trials_in_words
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import note_launch, sweep_name, sweep_names
from irm_sweeps.sweep.collect import collect, common_settings, of_trials
from irm_sweeps.sweep.cost import LISTED, report
from irm_sweeps.sweep.forecast import LaunchForecast
from irm_sweeps.sweep.grid import expand
from irm_sweeps.sweep.labels import in_common
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.objective import objective
from irm_sweeps.sweep.own_classes import check_own_classes
from irm_sweeps.sweep.paper import papers_of
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.prepare import plan_trials, prepare
from irm_sweeps.sweep.probe import Prober
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.search import Search
from irm_sweeps.sweep.stacks import form_stacks
from irm_sweeps.sweep.warnings import lam_without_effect
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import command, is_default_store, looking, typed
from irm_sweeps.user_code.modules import is_package_module
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
    answer = partial(_print_answer, trials, label, overrides)
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
    _print_answer({}, label, overrides, Results([settings.results]))
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
    _print_plan(plan)
    claims.tidy(store, plan.done)
    if not plan.to_run:
        name = sweep_name(label, list(trials))
        note_launch(store, name)
        results = Results([store.root], plan.results)
        _print_where(results, plan.done)
        if plan.unsuccessful and name in sweep_names(store):
            print(f"which failed or diverged: {looking('failures', name, results=store.root)}")
        answer(results)
        return 0, True
    manifest = prepare(store, plan, settings, launcher, label, overrides=of_trials(overrides))
    workers = launcher.workers(settings.device)
    size = f"{in_stacks(manifest.stacks)}, {count(workers, 'worker')}"
    print(f"sweep {manifest.name}: {size}; {_how_far(store)}", flush=True)
    if sys.stdout.isatty():
        print(f"on a page that updates itself: {looking('watch', results=store.root)}", flush=True)
    forecast = LaunchForecast(store, manifest, workers)
    with _hint_on_interrupt(), Progress(len(plan.to_run), manifest.labels, forecast) as progress:
        complete = launcher.run(store, manifest, progress)
    claims.tidy(store, plan.to_run)
    if complete:
        print(progress.summary())
        results = Results([store.root])
        _print_where(results, [*plan.to_run, *plan.done])
        _print_failures(store, manifest, progress)
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
    message = f"{left}; {_how_far(store)}"
    if not progress.failures:
        raise UserError(message)
    print(message, file=sys.stderr)


def _print_plan(plan: Plan) -> None:
    """Print what is damaged (on stderr), done, to run, common to all trials, and done without success."""
    for damage in plan.damaged:
        print(f"damaged, will be set aside and run again: {damage}", file=sys.stderr)
    print(plan.summary())
    if words := in_common(list(plan.trials.values())):
        print(f"all with {words}")
    if plan.unsuccessful:
        print(f"{len(plan.unsuccessful)} of those done failed or diverged: rerun=failed runs them again")


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
        _print_plan(plan)
        return _print_all(report(store, plan, stacks, machine, settings, prober))


def _print_all(lines: Generator[str, None, int]) -> int:
    """Print lines as they come, and return what the generator returns."""
    while True:
        try:
            print(next(lines), flush=True)
        except StopIteration as end:
            return int(end.value)


def _print_where(results: Results, trial_ids: Sequence[str]) -> None:
    """Print where the results are, and the command that shows the first that is completed, if any is."""
    store = results.readers[0]
    found = (result for result in map(results.of, trial_ids) if result is not None)
    completed = next((result.trial_id for result in found if result.status == "completed"), None)
    look = f"; look at one with: {looking('show', completed, results=store.root)}" if completed else ""
    print(f"results in {store.root}{look}")


def _print_answer(trials: Mapping[str, Trial], label: str, overrides: Sequence[str], results: Results) -> None:
    """Print the commands that show the table of a sweep, or of each paper file, and the table itself last."""
    from irm_sweeps.analysis.sweeps.ending import paper_ending, sweep_ending

    store = results.readers[0]
    where = [] if is_default_store(store.root) else ["--results", str(store.root)]
    words = of_trials(overrides)
    papers, user = papers_of(words)
    of_rows = [word for word in words if not word.startswith("paper=")]
    for paper in papers:
        if paper.include:
            print(f"tables and figures: {typed('report', *where, *of_rows)}")
        else:
            print(f"table: {typed('table', '--paper', paper.name, *where, *of_rows)}")
            print(f"\n{paper_ending(paper, user, store.root, results)}", end="")
    if papers:
        return
    name = sweep_name(label, list(trials))
    selection = ["--sweep", name] if name in sweep_names(store) else words
    foreign_data = not all(is_package_module(trial.dataset.target) for trial in trials.values())
    # Without it the table does not tell the shifted environment, and a picture of a named sweep lacks own classes.
    table = typed("table", *selection, *where, *(["--trust"] if foreign_data else []))
    print(f"table again, with --format as md, latex, csv or html: {table}")
    if len({trial.lam for trial in trials.values()} - {None}) > 1:
        trust = [] if all(_is_of_package(trial) for trial in trials.values()) else ["--trust"]
        print(f"curve over lam: {typed('figure', '--curves', 'lam', *selection, *where, *trust)}")
    print(f"\n{sweep_ending(name, trials, results, table)}", end="")


def _is_of_package(trial: Trial) -> bool:
    """Return whether all classes that a trial names are this package's."""
    return all(is_package_module(trial.config[group]["_target_"]) for group in COMPONENTS)


def _print_failures(store: Store, manifest: Manifest, progress: Progress) -> None:
    """Print the command that says why trials failed, and which diverged, if any did."""
    failures = looking("failures", manifest.name, results=store.root)
    if progress.failures:
        print(f"why {count(progress.failures, 'trial')} failed: {failures}")
    elif diverged := progress.counts["diverged"]:
        print(f"which {count(diverged, 'trial')} diverged: {failures}")


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


def run_batch(batch: Sequence[Sequence[str]], launcher: Launcher, search: Search | None = None) -> list[Any]:
    """Run one trial per list of overrides and return Hydra `JobReturn`s with their objectives, in order.

    This is what Hydra's own and others' sweepers call. A trial that failed raises where its value is read. The others
    are added to `search`.

    Raises
    ------
    UserError
        Bad overrides, missing data, or a results directory that cannot be written; `plan=true` and `paper=`, which are
        not for searches.
    """
    from hydra.core.utils import JobReturn, JobStatus

    configs = [next(iter(expand(overrides))) for overrides in batch]
    batch_trials = [Trial.from_config(config) for config in configs]
    settings = common_settings(configs)
    _check_searchable(configs, settings)
    store = Store(settings.results)
    trials = {trial.id: trial for trial in batch_trials}
    plan = plan_trials(store, trials, settings, launcher)
    if plan.to_run:
        varied = {key for overrides in batch for key in search.varied(overrides)} if search else set()
        manifest = prepare(store, plan, settings, launcher, "search", varied)
        forecast = LaunchForecast(store, manifest, launcher.workers(settings.device))
        with Progress(len(plan.to_run), manifest.labels, forecast) as progress:
            launcher.run(store, manifest, progress)
    if search:
        search.settings = settings
        search.make_folder(store)
    returns = []
    for trial, overrides in zip(batch_trials, batch, strict=True):
        result = store.result(trial.id)
        answer = JobReturn(overrides=list(overrides), cfg=None, working_dir=str(store.folder(trial.id)))
        if result is None or result.error is not None:
            message = result.error.message if result and result.error else "no result: was the search interrupted?"
            answer.status, answer.return_value = JobStatus.FAILED, UserError(f"trial {trial.id}: {message}")
        else:
            value = _value(trial, result, settings, search.told_to_minimise if search else None)
            answer.status, answer.return_value = JobStatus.COMPLETED, value
            if search:
                search.add(trial, overrides, value, diverged=result.status == "diverged")
        returns.append(answer)
    return returns


def _check_searchable(configs: Sequence[Mapping[str, Any]], settings: Settings) -> None:
    """Check that a search is asked for one trial after another.

    Raises
    ------
    UserError
        It is asked for a plan, or for the trials of a paper file.
    """
    if settings.plan:
        raise UserError("plan=true: a search chooses its trials by results, so it has no plan: leave plan=true out")
    for config in configs:
        if config.get("paper"):
            raise UserError(
                f"paper={config['paper']['name']}: its trials are given, not searched: leave hydra/sweeper out"
            )


def _value(trial: Trial, result: Result, settings: Settings, minimise: bool | None = None) -> float:
    """Return the number that a searching sweeper maximises or minimises."""
    return objective(result, settings.objective, regression=trial.dataset.loss == "squared", minimise=minimise)


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
