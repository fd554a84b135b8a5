"""How many workers can one store serve? Claims and file operations per trial, with simulated workers.

    python benchmarks/scale.py [--trials 300] [--workers 1,2,4] [--store DIR]

Real manifests, claims, heartbeats' format, results and logs; only the training is left out. Workers are processes that
share one store and start at once; `--store` puts it on the file system in question. Rival: as many processes that only
create a folder and write the same result file with fsync, each its own share: what the file system gives without any
arbitration. Then their file operations per trial, counted by kind, for each number of workers: what arbitration costs
is what grows with it; and those of one worker that finds a trial done, or claimed on another host. Last, how often a
worker looks at a trial that is not for it, where more of them than any machine here could run take turns in lock step
(threads, and a store in memory).
"""

from __future__ import annotations

import builtins
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from frame import Table, arguments, conclude, parser

OPERATIONS = ("stat", "listdir", "scandir", "link", "replace", "unlink", "mkdir", "fsync")
RESULT = {"schema": 1, "status": "completed", "metrics": {}, "steps": 0, "timing": {"seconds": 1.0, "stack_size": 1}}


def prepare(root: Path, n: int) -> tuple[Any, str]:
    """Write the manifest of n trials into a new store."""
    from irm_sweeps.launchers.inprocess import InProcess
    from irm_sweeps.store.store import Store
    from irm_sweeps.sweep import prepare as preparation
    from irm_sweeps.sweep.collect import collect
    from irm_sweeps.sweep.plan import make_plan
    from thousands import TINY

    trials, settings, label = collect([*TINY, f"seed=range(0,{n})", f"results={root}", "stack=1"])
    store = Store(root)
    return store, preparation.prepare(store, make_plan(store, trials, settings), settings, InProcess(), label).name


def worker_on(root: Path, name: str) -> Any:
    """Return a worker that gives every trial it claims an empty result at once."""
    import torch

    from irm_sweeps.store.manifest import read_manifest
    from irm_sweeps.store.store import Store
    from irm_sweeps.worker.worker import Worker

    class Simulated(Worker):
        def _train(self, group: Any) -> None:
            for held in group:
                trial = held.trial
                self._write_result(trial, {**RESULT, "trial_id": trial.id, "config": trial.config}, [{"step": 0}])

    store = Store(root)
    return Simulated(store, read_manifest(store, name), torch.device("cpu"))


def at_work(root: Path, name: str, kind: str, workers: int) -> tuple[float, Counter[str]]:
    """Start so many processes; when all are ready let them go.

    Returns
    -------
    The seconds until the last one is done, and the file operations of all.
    """
    command = [sys.executable, __file__, "--side", kind, "--store", str(root), "--sweep", name]
    running = [
        subprocess.Popen([*command, "--share", f"{i}/{workers}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for i in range(workers)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    started = time.perf_counter()
    for process in running:
        assert process.stdin is not None
        process.stdin.close()
    found: Counter[str] = Counter()
    for process in running:
        assert process.stdout is not None
        found.update(json.loads(process.stdout.readline() or "{}"))
    if any(process.wait() for process in running):
        sys.exit("a simulated worker failed")
    return time.perf_counter() - started, found


def side(kind: str, root: Path, name: str, share: str) -> None:
    """Be one of these processes."""
    worker = worker_on(root, name)
    i, n = map(int, share.split("/"))
    print("ready", flush=True)
    sys.stdin.read()
    own: Counter[str] = Counter()
    if kind == "claims":
        worker.work()
        return
    if kind == "counted":
        with counted(own):
            worker.work()
        print(json.dumps(own))
        return
    from irm_sweeps.files.atomic import to_json, write_atomically

    for trial_id in list(worker.manifest.trials)[i::n]:
        folder = root / f"plain-{trial_id}"
        folder.mkdir()
        content = to_json({**RESULT, "trial_id": trial_id, "config": worker.manifest.trials[trial_id]})
        write_atomically(folder / "result.json", content)


def trials_per_second(trials: int, workers: int, kind: str, folder: Path) -> float:
    return trials / shared_out(trials, workers, kind, folder)[0]


def shared_out(trials: int, workers: int, kind: str, folder: Path) -> tuple[float, Counter[str]]:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        store, name = prepare(Path(own), trials)
        taken, found = at_work(store.root, name, kind, workers)
        if kind != "plain" and not all(map(store.has_result, worker_on(store.root, name).manifest.trials)):
            sys.exit("a trial has no result")
        return taken, found


@contextmanager
def counted(found: Counter[str]) -> Iterator[None]:
    """Count this process's file operations by kind."""

    def counting(name: str, plain: Any) -> Any:
        def call(*positional: Any, **named: Any) -> Any:
            found[name] += 1
            return plain(*positional, **named)

        return call

    opening = counting("open", io.open)
    with ExitStack() as patches:
        for name in OPERATIONS:
            patches.enter_context(patch.object(os, name, counting(name, getattr(os, name))))
        patches.enter_context(patch.object(os, "open", counting("open", os.open)))
        patches.enter_context(patch.object(io, "open", opening))
        patches.enter_context(patch.object(builtins, "open", opening))
        yield


def passing_over(trials: int, folder: Path) -> dict[str, Counter[str]]:
    """Return the operations of one worker that finds so many trials in others' hands."""
    from irm_sweeps.store import claims

    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as own:
        store, name = prepare(Path(own), trials)
        worker_on(store.root, name).work()
        for what in ("found done", "found in another host's hands"):
            worker = worker_on(store.root, name)
            for trial_id in worker.manifest.trials if what.startswith("found in") else ():
                (store.folder(trial_id) / "result.json").unlink()
                claim = claims.acquire(store, trial_id, "another", steps=1, stack=1)
                assert claim is not None
                claim.path.write_bytes(replace(claim, holder=replace(claim.holder, machine="another")).content())
            with counted(found.setdefault(what, Counter())):
                for stack in worker.manifest.stacks:
                    worker._work_on(stack)
    return found


class InMemory:
    """What `worker.stack_order` asks of a store, without files; it counts what they would have cost."""

    root = Path()

    def __init__(self) -> None:
        self.begun: dict[str, None] = {}
        self.looks = self.reads = 0

    def folder(self, trial_id: str) -> Any:
        return trial_id

    def is_there(self, folder: Any) -> bool:
        self.looks += 1
        return folder in self.begun

    def names(self, _: Path) -> list[str]:
        from irm_sweeps.worker.stack_order import NAMES_PER_READ

        self.reads += 1 + len(self.begun) // NAMES_PER_READ
        return list(self.begun)


def in_lock_step(workers: int, trials: int) -> tuple[float, float]:
    """Return looks at a trial's folder, and reads of listings, per trial."""
    from irm_sweeps.worker import stack_order

    store = InMemory()
    stacks = [[f"{i:016x}"] for i in range(trials)]
    step = threading.Barrier(workers)
    lock = threading.Lock()

    def attempt(stack: Any) -> bool:
        with suppress(threading.BrokenBarrierError):
            step.wait()
        with lock:
            won = stack[0] not in store.begun
            store.begun[stack[0]] = None
        return won

    def work() -> None:
        stack_order.try_untouched(store, stacks, attempt)  # type: ignore[arg-type]
        step.abort()

    patches = {"names_in": store.names, "is_there": store.is_there}
    with patch.multiple(stack_order, **patches):
        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return store.looks / trials, store.reads / trials


def main() -> None:
    made = parser(__doc__, rounds=2)
    made.add_argument("--trials", type=int, default=300)
    made.add_argument("--workers", default="1,2,4", help="numbers of workers (default: 1,2,4)")
    made.add_argument("--store", type=Path, default=Path(tempfile.gettempdir()), help="where the stores are made")
    made.add_argument("--sweep", help="internal")
    made.add_argument("--share", help="internal")
    options = arguments(made)
    if options.side:
        side(options.side, options.store, options.sweep, options.share)
        return
    trials = 20 if options.quick else options.trials
    tables = []
    found: dict[str, Counter[str]] = {}
    for workers in [2] if options.quick else map(int, options.workers.split(",")):
        table = Table(f"{workers} workers", rival="plain writes", unit="trials/s", better="high")
        table.measure(
            {
                "claimed trials": lambda n=workers: trials_per_second(trials, n, "claims", options.store),
                "plain writes": lambda n=workers: trials_per_second(trials, n, "plain", options.store),
            },
            options.rounds,
        )
        tables.append(table)
        found[f"shared by {workers}"] = shared_out(trials, workers, "counted", options.store)[1]
    conclude(tables, options)
    found |= passing_over(trials, options.store)
    print(f"\n| file operations of a trial | {' | '.join([*OPERATIONS, 'open', 'all'])} |\n|{'---|' * 11}")
    for what, counts in found.items():
        own = [counts[name] / trials for name in (*OPERATIONS, "open")]
        print(f"| {what} | {' | '.join(f'{value:.1f}' for value in [*own, sum(own)])} |")
    print("\n| workers in lock step | trials | looks a trial | reads of listings a trial |\n|---|---|---|---|")
    for workers, each in ((10, 100),) if options.quick else ((10, 1000), (100, 100)):
        looks, reads = in_lock_step(workers, workers * each)
        print(f"| {workers:,} | {workers * each:,} | {looks:.1f} | {reads:.2f} |", flush=True)


if __name__ == "__main__":
    main()
