"""`irm-sweeps`: the project's commands, wherever the package is installed."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from irm_sweeps.commands import completion
from irm_sweeps.errors import UserError, one_line_errors, printable
from irm_sweeps.files.untrusted import MIB, open_regular
from irm_sweeps.store.store import Store
from irm_sweeps.typed_commands import SCRIPTS, OneLineParser, import_from_here, launching, looking, offers

_DESCRIPTION = "Run trials and sweeps, look at their results, and join or end the work on a sweep."
_EPILOG = 'COMMAND --help says more; "launch --help" is the manual of keys. Tab: eval "$(%(prog)s completion)"'

_TRUST = (
    "import what the store names besides irm_sweeps: classes of your own, from where the work was launched or is typed"
)


def parser(*, completing: bool = False) -> argparse.ArgumentParser:
    """Return the command line; to complete one, with the options of the scripts too."""
    top = OneLineParser(prog="irm-sweeps", description=_DESCRIPTION, epilog=_EPILOG)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, about: str, **how: Any) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about, **how)

    def add_for_store(name: str, about: str) -> argparse.ArgumentParser:
        added = add(name, about)
        added.add_argument("--results", type=Path, default=Path("results"), help="the store (default: results)")
        return added

    def add_sweep(to: argparse.ArgumentParser, **how: Any) -> None:
        offers(to.add_argument("sweep", **how), completion.sweeps)

    def add_id(to: argparse.ArgumentParser) -> None:
        offers(to.add_argument("id", metavar="ID", help="trial id or its beginning"), completion.trials)

    new = add("init", "Start a project of your own: a folder with a method, a data set, a table and their tests.")
    new.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or not there yet")
    launch = add("launch", "Run a trial, or with -m a sweep: irm-sweeps launch -m method=irmv1,vrex lam=1,100")
    offers(launch.add_argument("overrides", nargs="*", metavar="KEY=VALUE"), completion.overrides)
    launch.add_argument("-m", "--multirun", action="store_true", help="a sweep")
    launch.add_argument("--cfg", choices=["job", "hydra", "all"], help="print the config and run nothing")
    for name, about in (
        ("table", "Print a paper's table: measured, published, verdict."),
        ("figure", "Draw a paper's figure, or a general picture of a sweep."),
        ("report", "Write one HTML page with everything that a store says."),
    ):
        add(name, about, **({"parents": [_script(name).parser()], "add_help": False} if completing else {}))

    status = add_for_store("status", "How far a sweep is: done, running, failed, to do, time left. From any node.")
    add_sweep(status, nargs="?", help="name or its beginning (default: the last launched)")
    status.add_argument("--watch", action="store_true", help="repeat until the sweep is done")
    status.add_argument(
        "--all", action="store_true", help="every sweep of the store, a line each, the last launched last"
    )
    status.add_argument("--json", action="store_true", help="for scripts")
    show = add_for_store("show", "Print one trial's result.")
    add_id(show)
    show.add_argument("--json", action="store_true", help="the whole result file")
    again = add_for_store(
        "reproduce", "Run a stored trial again and compare, bit for bit. Exit code 0: equal, 1: differs."
    )
    add_id(again)
    again.add_argument("--trust", action="store_true", help=_TRUST)
    again.add_argument("--data-dir", type=Path, help="as launch's data_dir (default: $IRM_SWEEPS_DATA_DIR or data)")
    again.add_argument("--device", help="as launch's device (default: the kind that the trial ran on)")
    work = add_for_store("work", "Join a sweep: work on it with one more worker, here.")
    add_sweep(work, help="name or its beginning")
    work.add_argument("--trust", action="store_true", help=_TRUST)
    work.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    failures = add_for_store("failures", "The failed trials of a sweep, grouped by the last line of their error.")
    add_sweep(failures, nargs="?", help="name or its beginning (default: the last launched)")
    add_id(add_for_store("logs", "Print one trial's log."))
    add_sweep(
        add_for_store("cancel", "Cancel the SLURM jobs of a sweep, queued or running."), help="name or its beginning"
    )
    methods = add("methods", "Every method: paper, parameters, whether it stacks.")
    methods.add_argument(
        "--table", action="store_true", help="one line a method, as Markdown: players, own tensors, ..."
    )
    complete = add("completion", 'What makes a shell complete these commands: eval "$(irm-sweeps completion)"')
    complete.add_argument("shell", nargs="?", choices=completion.SHELLS, default="bash", help="default: bash")
    return top


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; a user's mistake is one line and exit code 2."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_errors():
        if "_ARGCOMPLETE" in os.environ:
            import_from_here()
            completion.answer(parser(completing=True))
        if words and words[0] in SCRIPTS:
            import_from_here()
            _run_script(words[0], words[1:])
            return
        options = parser().parse_args(words)
        if getattr(options, "trust", False) or options.command == "methods":
            import_from_here()
        COMMANDS[options.command](options)


def _run_script(name: str, words: Sequence[str]) -> None:
    if name == "launch":
        from irm_sweeps import launch

        launch.main(words)
    else:
        _script(name).main(words)


def _script(name: str) -> Any:
    """Import the module of a command that is also a script of a checkout."""
    module = {"table": "table_command", "figure": "figure_command", "report": "report"}[name]
    return importlib.import_module(f"irm_sweeps.analysis.{module}")


def _store(options: argparse.Namespace) -> Store:
    root = options.results.expanduser().absolute()
    if root.exists() and not root.is_dir():
        raise UserError(f"--results {options.results} is a file: give a directory")
    if not root.is_dir():
        raise UserError(
            f"{root}: no such directory; --results DIR names the store, "
            f"or run something first: {launching('paper=demo')}"
        )
    return Store(root)


def _sweep(options: argparse.Namespace, store: Store) -> str:
    from irm_sweeps.store.manifest import sweep_names

    names = sweep_names(store)
    if options.sweep is None and not names:
        raise UserError(f"no sweep has been launched in {store.root}: {launching('paper=demo')} is one")
    return str(names[-1] if options.sweep is None else options.sweep)


def _status(options: argparse.Namespace) -> None:
    from irm_sweeps.commands.status import add_jobs, sweep_status
    from irm_sweeps.store.manifest import read_manifest, sweep_names
    from irm_sweeps.sweep.progress import in_place
    from irm_sweeps.wording import count

    store = _store(options)
    name = _sweep(options, store)
    if options.all:
        _status_of_all(options, store)
        return
    others = 0 if options.sweep else len(sweep_names(store)) - 1
    hint = f"\n  {count(others, 'other sweep')}: {looking('status', '--all', results=store.root)}" if others else ""
    with in_place(options.watch and not options.json) as show:
        while True:
            manifest = read_manifest(store, name)
            status = sweep_status(store, manifest)
            add_jobs(store, [(status, manifest)])
            show(json.dumps(status.as_json(), indent=1) if options.json else printable(status.text() + hint))
            if not options.watch or status.done == status.total:
                return
            time.sleep(5)


def _status_of_all(options: argparse.Namespace, store: Store) -> None:
    from irm_sweeps.commands.overview import overview, text
    from irm_sweeps.commands.status import add_jobs

    if options.sweep or options.watch:
        raise UserError(f"--all is every sweep once: leave out {options.sweep or '--watch'}")
    entries = overview(store, partial(add_jobs, store))
    print(json.dumps([entry.as_json() for entry in entries], indent=1) if options.json else printable(text(entries)))


def _show(options: argparse.Namespace) -> None:
    from irm_sweeps.commands.show import scores_table
    from irm_sweeps.files.atomic import DamagedFile

    store = _store(options)
    trial_id = store.find(options.id)
    try:
        result = store.result(trial_id)
    except DamagedFile as damage:
        raise UserError(damage.told()) from None
    if result is None:
        status, logs = (looking(*words, results=store.root) for words in (("status",), ("logs", trial_id)))
        raise UserError(f"trial {trial_id} has no result yet: see {status}, or {logs}")
    print(json.dumps(result.raw, indent=1) if options.json else printable(scores_table(result)))


def _reproduce(options: argparse.Namespace) -> None:
    from irm_sweeps.commands import reproduce

    store = _store(options)
    result, trial = reproduce.stored(store, store.find(options.id), trusted=options.trust)
    data_dir = options.data_dir or Path(os.environ.get("IRM_SWEEPS_DATA_DIR", "data"))
    print(printable(reproduce.describe(result)), flush=True)
    device = options.device or reproduce.device_of(result)
    place = data_dir.expanduser().absolute()
    again = reproduce.run_again(store, result, trial, place, device, trusted=options.trust)
    comparison = reproduce.compare(result, again)
    print(printable(comparison.text()))
    if not comparison.equal:
        raise SystemExit(1)


def _work(options: argparse.Namespace) -> None:
    from irm_sweeps.launchers.worker_task import WorkerTask
    from irm_sweeps.store.manifest import read_manifest

    store = _store(options)
    manifest = read_manifest(store, options.sweep)
    WorkerTask(str(store.root), manifest.name, threads=options.threads, trusted=options.trust, told=True)()


def _failures(options: argparse.Namespace) -> None:
    from irm_sweeps.commands.status import most_first, sweep_status
    from irm_sweeps.store.manifest import read_manifest
    from irm_sweeps.wording import count

    store = _store(options)
    status = sweep_status(store, read_manifest(store, _sweep(options, store)))
    if not status.failures:
        print(f"{status.name}: no failed trials")
    for message, ids in most_first(status.failures):
        print(f"{len(ids)} x {message}")
        result = store.result(ids[0])
        if result is not None and result.error is not None:
            print("    " + printable(result.error.details).rstrip().replace("\n", "\n    "))
        print("    trials: " + " ".join(ids))
    for message, logs in most_first(status.ended):
        print(f"{count(len(logs), 'worker')} ended early: {message}\n    logs: {printable(' '.join(logs))}")


def _logs(options: argparse.Namespace) -> None:
    store = _store(options)
    path = store.own_folder(store.find(options.id)) / "log.txt"
    try:
        with open_regular(path) as log:
            for line in iter(partial(log.readline, MIB), b""):
                sys.stdout.write(printable(line.decode(errors="replace")))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: the trial has not started") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _cancel(options: argparse.Namespace) -> None:
    from irm_sweeps.launchers.slurm_jobs import JobRecord
    from irm_sweeps.store.manifest import read_manifest

    store = _store(options)
    manifest = read_manifest(store, options.sweep)
    cancelled = ", ".join(JobRecord(store, manifest).cancel())
    print(f"{manifest.name}: cancelled {cancelled or 'nothing: no job is queued or running'}")


def _init(options: argparse.Namespace) -> None:
    from irm_sweeps.commands.init import create

    print(create(options.folder))


def _completion(options: argparse.Namespace) -> None:
    print(completion.script(options.shell))


def _methods(options: argparse.Namespace) -> None:
    from irm_sweeps.commands.methods import methods, page

    print(page() if options.table else "\n\n".join(entry.text() for entry in methods()))


COMMANDS = {
    "init": _init,
    "status": _status,
    "show": _show,
    "reproduce": _reproduce,
    "work": _work,
    "failures": _failures,
    "logs": _logs,
    "cancel": _cancel,
    "methods": _methods,
    "completion": _completion,
}
