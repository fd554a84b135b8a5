"""`irm-sweeps`: looking at a store, and joining or ending the work on a sweep."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from irm_sweeps.errors import UserError, one_line_errors
from irm_sweeps.sweep.store import Store

if TYPE_CHECKING:
    from irm_sweeps.launchers.slurm import JobRecord
    from irm_sweeps.sweep.status import SweepStatus


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    top = argparse.ArgumentParser(
        prog="irm-sweeps", description="Look at a results directory, and join or end the work on a sweep."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument("--results", type=Path, default=Path("results"), help="the store (default: results)")
        return command

    status = add("status", "How far a sweep is: done, running, failed, to do, time left. From any node.")
    status.add_argument("sweep", nargs="?", help="name or its beginning (default: the last launched)")
    status.add_argument("--watch", action="store_true", help="repeat until the sweep is done")
    status.add_argument("--json", action="store_true", help="for scripts")
    show = add("show", "Print one trial's result.")
    show.add_argument("id", metavar="ID", help="trial id or its beginning")
    show.add_argument("--json", action="store_true", help="the whole result file")
    again = add("reproduce", "Run a stored trial again and compare, bit for bit. Exit code 0: equal, 1: differs.")
    again.add_argument("id", metavar="ID", help="trial id or its beginning")
    again.add_argument("--data-dir", type=Path, help="as launch.py's data_dir (default: $IRM_SWEEPS_DATA_DIR or data)")
    again.add_argument("--device", help="as launch.py's device (default: the kind that the trial ran on)")
    work = add("work", "Join a sweep: work on it with one more worker, here.")
    work.add_argument("sweep", help="name or its beginning")
    work.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    failures = add("failures", "The failed trials of a sweep, grouped by the last line of their error.")
    failures.add_argument("sweep", nargs="?", help="name or its beginning (default: the last launched)")
    logs = add("logs", "Print one trial's log.")
    logs.add_argument("id", metavar="ID", help="trial id or its beginning")
    cancel = add("cancel", "Cancel the SLURM jobs of a sweep, queued or running.")
    cancel.add_argument("sweep", help="name or its beginning")
    methods = add("methods", "Every method: paper, parameters, whether it stacks.")
    methods.add_argument(
        "--table", action="store_true", help="one line a method, as Markdown: players, own tensors, ..."
    )
    return top


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a user's mistake is one line and exit code 2."""
    sys.path.append(os.getcwd())  # where a user's own methods and data sets lie
    options = parser().parse_args(arguments)
    with one_line_errors():
        COMMANDS[options.command](options)


def _store(options: argparse.Namespace) -> Store:
    root = options.results.expanduser().absolute()
    if not root.is_dir():
        raise UserError(f"--results {options.results}: no such directory")
    return Store(root)


def _sweep(options: argparse.Namespace, store: Store) -> str:
    from irm_sweeps.sweep.manifest import sweep_names

    names = sweep_names(store)
    if options.sweep is None and not names:
        raise UserError(f"no sweep has been launched in {store.root}")
    return str(options.sweep or names[-1])


def _status(options: argparse.Namespace) -> None:
    from irm_sweeps.launchers.slurm import JobRecord
    from irm_sweeps.sweep.manifest import read_manifest
    from irm_sweeps.sweep.status import sweep_status

    store = _store(options)
    name = _sweep(options, store)
    while True:
        manifest = read_manifest(store, name)
        status = sweep_status(store, manifest)
        _add_jobs(status, JobRecord(store, manifest))
        print(json.dumps(status.as_json(), indent=1) if options.json else status.text(), flush=True)
        if not options.watch or status.done == status.total:
            return
        time.sleep(5)


def _add_jobs(status: SweepStatus, record: JobRecord) -> None:
    from irm_sweeps.launchers.slurm import SlurmError, in_words

    if record.cut_short():
        status.notes.append(
            "some SLURM jobs are not on record: a submission is under way or was cut short, or "
            f"{record.path} is damaged; the next launch, or cancel, finds them"
        )
    if not record.ids():
        return
    try:
        jobs = record.living()
    except SlurmError as error:
        status.notes.append(f"its SLURM jobs are unknown: {error}")
    else:
        status.jobs = in_words(jobs) if jobs else None


def _show(options: argparse.Namespace) -> None:
    from irm_sweeps.sweep.files import DamagedFile
    from irm_sweeps.sweep.show import scores_table

    store = _store(options)
    trial_id = store.find(options.id)
    try:
        result = store.result(trial_id)
    except DamagedFile as damage:
        raise UserError(f"damaged: {damage}; issue the sweep's command again to replace it") from None
    if result is None:
        raise UserError(f"trial {trial_id} has no result yet: see irm-sweeps status, or irm-sweeps logs {trial_id}")
    print(json.dumps(result, indent=1) if options.json else scores_table(result))


def _reproduce(options: argparse.Namespace) -> None:
    from irm_sweeps.sweep import reproduce

    store = _store(options)
    result, trial = reproduce.stored(store, store.find(options.id))
    data_dir = options.data_dir or Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "data"))
    print(reproduce.describe(result), flush=True)
    device = options.device or reproduce.device_of(result)
    again = reproduce.run_again(store, result, trial, data_dir.expanduser().absolute(), device)
    comparison = reproduce.compare(result, again)
    print(comparison.text())
    if not comparison.equal:
        raise SystemExit(1)


def _work(options: argparse.Namespace) -> None:
    from irm_sweeps.launchers.entry import WorkerTask
    from irm_sweeps.sweep.manifest import read_manifest

    store = _store(options)
    manifest = read_manifest(store, options.sweep)
    WorkerTask(str(store.root), manifest.name, threads=options.threads)()


def _failures(options: argparse.Namespace) -> None:
    from irm_sweeps.sweep.manifest import read_manifest
    from irm_sweeps.sweep.status import sweep_status

    store = _store(options)
    status = sweep_status(store, read_manifest(store, _sweep(options, store)))
    if not status.failures:
        print(f"{status.name}: no failures")
    for message, ids in sorted(status.failures.items(), key=lambda item: -len(item[1])):
        print(f"{len(ids)} x {message}")
        result = store.result(ids[0])
        if result is not None:
            print("    " + result["error"]["details"].rstrip().replace("\n", "\n    "))
        print("    trials: " + " ".join(ids))


def _logs(options: argparse.Namespace) -> None:
    store = _store(options)
    path = store.folder(store.find(options.id)) / "log.txt"
    if not path.exists():
        raise UserError(f"{path} does not exist: the trial has not started")
    sys.stdout.write(path.read_text(errors="replace"))


def _cancel(options: argparse.Namespace) -> None:
    from irm_sweeps.launchers.slurm import JobRecord
    from irm_sweeps.sweep.manifest import read_manifest

    store = _store(options)
    manifest = read_manifest(store, options.sweep)
    cancelled = ", ".join(JobRecord(store, manifest).cancel())
    print(f"{manifest.name}: cancelled {cancelled or 'nothing: no job is queued or running'}")


def _methods(options: argparse.Namespace) -> None:
    from irm_sweeps.sweep.catalogue import methods, page

    print(page() if options.table else "\n\n".join(entry.text() for entry in methods()))


COMMANDS = {
    "status": _status,
    "show": _show,
    "reproduce": _reproduce,
    "work": _work,
    "failures": _failures,
    "logs": _logs,
    "cancel": _cancel,
    "methods": _methods,
}
