"""Run the trials that a searching sweeper, Hydra's own or another's, asks for next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import common_settings
from irm_sweeps.sweep.forecast import LaunchForecast
from irm_sweeps.sweep.grid import expand
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.objective import objective
from irm_sweeps.sweep.prepare import plan_trials, prepare
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.sweep.search import Search
from irm_sweeps.trial import Trial


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
            value = objective(
                result,
                settings.objective,
                regression=trial.dataset.is_regression,
                minimise=search.told_to_minimise if search else None,
            )
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
