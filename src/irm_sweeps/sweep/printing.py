"""What a launch prints: the plan before its trials run, and after them where the results are and what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_name, sweep_names
from irm_sweeps.sweep.collect import of_trials
from irm_sweeps.sweep.labels import in_common
from irm_sweeps.sweep.paper import papers_of
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import is_default_store, looking, typed
from irm_sweeps.user_code.modules import foreign_targets, is_package_module
from irm_sweeps.wording import count

if TYPE_CHECKING:
    from irm_sweeps.analysis.readings import Results


def print_plan(plan: Plan) -> None:
    """Print what is damaged (on stderr), done, to run, common to all trials, and done without success."""
    for damage in plan.damaged:
        print(f"damaged, will be set aside and run again: {damage}", file=sys.stderr)
    print(plan.summary())
    if words := in_common(list(plan.trials.values())):
        print(f"all with {words}")
    if plan.unsuccessful:
        print(f"{len(plan.unsuccessful)} of those done failed or diverged: rerun=failed runs them again")


def how_far(store: Store) -> str:
    """Return the command that shows how far the work is."""
    return f"how far it is: {looking('status', results=store.root)}"


@contextmanager
def hint_on_interrupt() -> Iterator[None]:
    """On Ctrl-C, print that results and checkpoints are kept."""
    try:
        yield
    except KeyboardInterrupt:
        print("what is done, and the checkpoint of what was not, is kept: the same command goes on", file=sys.stderr)
        raise


def print_where(results: Results, trial_ids: Sequence[str]) -> None:
    """Print where the results are, and the command that shows the first that is completed, if any is."""
    store = results.readers[0]
    found = (result for result in map(results.of, trial_ids) if result is not None)
    completed = next((result.trial_id for result in found if result.status == "completed"), None)
    look = f"; look at one with: {looking('show', completed, results=store.root)}" if completed else ""
    print(f"results in {store.root}{look}")


def print_answer(trials: Mapping[str, Trial], label: str, overrides: Sequence[str], results: Results) -> None:
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
        trust = ["--trust"] if any(foreign_targets(trial.config) for trial in trials.values()) else []
        print(f"curve over lam: {typed('figure', '--curves', 'lam', *selection, *where, *trust)}")
    print(f"\n{sweep_ending(name, trials, results, table)}", end="")


def print_failures(store: Store, manifest: Manifest, progress: Progress) -> None:
    """Print the command that says why trials failed, and which diverged, if any did."""
    failures = looking("failures", manifest.name, results=store.root)
    if progress.failures:
        print(f"why {count(progress.failures, 'trial')} failed: {failures}")
    elif diverged := progress.counts["diverged"]:
        print(f"which {count(diverged, 'trial')} diverged: {failures}")
