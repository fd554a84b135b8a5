"""A store on a simulated NFS, without locks and with stale caches: each trial is still trained once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from commands import ROOT, SMALL, SUPPORT
from irm_sweeps.store.store import Store

TRIALS, CLIENTS = 100, 8
CLIENT = """
import sys, time
from pathlib import Path
from faults.nfs_like import Client
from irm_sweeps.store import claims
from irm_sweeps.store.store import Store

root, number, trials = Path(sys.argv[1]), int(sys.argv[2]), [f"{i:016x}" for i in range(int(sys.argv[3]))]
store = Store(root)
Client(str(root), number).install()
deadline = time.monotonic() + 120
left = trials[number:] + trials[:number]
component = {"_target_": "irm_sweeps.methods.erm.ERM"}
config = {**dict.fromkeys(("dataset", "backbone", "method", "optimizer"), component), "training": {}, "seed": 0}
while left and time.monotonic() < deadline:
    for trial_id in left:
        claim = claims.acquire(store, trial_id, "launch", 10, 1)
        if claim is None:
            continue
        if int(trial_id, 16) % 7 == claim.n == 1:
            claim.release(3)
            continue
        print(trial_id, flush=True)
        claim.renew(5)
        time.sleep(0.002)
        result = {"schema": 1, "trial_id": trial_id, "status": "completed", "config": config, "metrics": {}}
        assert claim.is_latest() and store.write_result(result, []), trial_id
        claims.clear(store, trial_id)
    left = [trial_id for trial_id in left if not store.has_result(trial_id)]
"""
"""A worker's way with a store, without the training: claim, now and then release, heartbeat, result, clear."""


def test_clients_that_believe_what_they_have_seen_train_nothing_twice(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    path = os.pathsep.join([str(SUPPORT), str(SUPPORT.parent), os.environ.get("PYTHONPATH", "")])
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(store.root), str(i), str(TRIALS)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for i in range(CLIENTS)
    ]
    trained = Counter(word for client in clients for word in client.communicate(timeout=300)[0].split())
    assert [client.returncode for client in clients] == [0] * CLIENTS
    assert trained == Counter(f"{i:016x}" for i in range(TRIALS))
    assert len(list(store.results())) == TRIALS
    left = {path.name for path in store.root.glob("*/*")}
    assert left == {"result.json", "history.jsonl"}


def test_no_lock_is_ever_asked_for(tmp_path: Path) -> None:
    """Neither by the launcher nor by its worker: a file server without locks does as well."""
    if not shutil.which("strace"):
        pytest.skip("no strace")
    trace = tmp_path / "trace"
    own = [f"results={tmp_path / 'results'}", *SMALL, "seed=0,1", "hydra.launcher.slots=1"]
    calls = ["strace", "-f", "--seccomp-bpf", "-e", "trace=flock,fcntl", "-y", "-o", str(trace)]
    answer = subprocess.run(
        [*calls, sys.executable, "launch.py", "-m", *own],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if "PTRACE" in answer.stderr or "ptrace" in answer.stderr:
        pytest.skip(f"no process can be traced here: {answer.stderr.strip()}")
    assert answer.returncode == 0, answer
    assert {json.loads(p.read_text())["status"] for p in tmp_path.glob("results/*/result.json")} == {"completed"}
    lines = trace.read_text().splitlines()
    assert lines, "nothing was traced"
    locks = [line for line in lines if "flock(" in line or "F_SETLK" in line or "F_OFD_SETLK" in line]
    assert [line for line in locks if str(tmp_path) in line] == []
