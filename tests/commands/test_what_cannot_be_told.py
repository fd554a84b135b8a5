"""Unknown states, with SLURM silent or another user's files, are called unknown and lead to no advice."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from commands import CAN_BE_PLAIN, SMALL, FakeCommand, as_plain_user, irm_sweeps, launch
from irm_sweeps.files.atomic import write_atomically
from irm_sweeps.store import claims
from irm_sweeps.store.liveness import SILENT_SECONDS
from irm_sweeps.store.manifest import read_manifest, sweep_names
from irm_sweeps.store.store import Store

SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
FEW = [word for word in SMALL if word != "device=cpu"]
stopped_by_permissions = pytest.mark.skipif(not CAN_BE_PLAIN, reason="root may read anything")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two sweeps of a trial each: it is open."""
    made = Store(tmp_path / "results")
    for seed in (0, 1):
        launch("-m", f"results={made.root}", *SMALL, f"seed={seed}")
    for trial_id in made.trial_ids():
        shutil.rmtree(made.folder(trial_id))
    return made


@pytest.fixture
def submitted(store: Store) -> Store:
    """The same as SLURM jobs: 12_0 for the one launched first, 15_0 for the other."""
    for name, job in zip(sweep_names(store), ("12_0", "15_0"), strict=True):
        (store.root / "sweeps" / name / "jobs.json").write_text(json.dumps({"jobs": [job]}))
    return store


def status(store: Store, *words: str) -> str:
    return irm_sweeps("status", *words, "--results", str(store.root)).out


def states(store: Store) -> list[str]:
    return [told["state"] for told in json.loads(status(store, "--all", "--json"))]


# -- SLURM -------------------------------------------------------------------------------------------


def test_all_sweeps_cost_one_question(submitted: Store, fake: FakeCommand) -> None:
    calls = fake("squeue", "15_0|PENDING|Priority\n")
    assert states(submitted) == ["stopped", "queued"]
    (asked,) = calls.read_text().splitlines()
    assert asked.endswith("--jobs 12,15")


def test_a_silent_slurm_is_no_idle_one(submitted: Store, fake: FakeCommand) -> None:
    calls = fake("squeue", stderr=SILENT, code=1)
    *lines, note = status(submitted, "--all").splitlines()
    assert len(calls.read_text().splitlines()) == 1
    assert [" unknown " in line for line in lines] == [False, True, True]
    names = sweep_names(submitted)
    assert note == f"note: which SLURM jobs are left is unknown: squeue: {SILENT}  ({', '.join(names)})"
    assert states(submitted) == ["unknown", "unknown"]

    one = status(submitted, names[0])
    assert SILENT in one
    assert "whether anything is running cannot be told" in one
    assert "nothing is running" not in one
    assert json.loads(status(submitted, names[0], "--json"))["state"] == "unknown"


def test_jobs_that_this_cluster_does_not_know_may_be_another_clusters(submitted: Store, fake: FakeCommand) -> None:
    fake("squeue", stderr="slurm_load_jobs error: Invalid job id specified", code=1)
    assert states(submitted) == ["unknown", "unknown"]
    assert "the cluster asked here knows none of them" in status(submitted)


@pytest.mark.parametrize(("here", "state"), [("big", "stopped"), ("small", "unknown")])
def test_which_cluster_was_given_the_jobs_is_on_record(
    submitted: Store, fake: FakeCommand, here: str, state: str
) -> None:
    for path in submitted.root.glob("sweeps/*/jobs.json"):
        (job,) = json.loads(path.read_text())["jobs"]
        path.write_text(json.dumps({"jobs": [job], "clusters": {job.partition("_")[0]: "big"}}))
    fake("squeue", stderr="slurm_load_jobs error: Invalid job id specified", code=1)
    fake("scontrol", f"ClusterName = {here}\n")
    assert states(submitted) == [state, state]
    assert ("15_0 went to cluster big: ask there" in status(submitted)) == (here == "small")


@pytest.mark.parametrize(("private", "state"), [("none", "stopped"), ("accounts,jobs", "unknown"), (None, "unknown")])
def test_slurm_may_hide_jobs_of_others(
    submitted: Store, fake: FakeCommand, monkeypatch: pytest.MonkeyPatch, private: str | None, state: str
) -> None:
    fake("squeue")
    if private is not None:
        fake("scontrol", f"PrivateData             = {private}\n")
    assert states(submitted) == ["stopped", "stopped"], "they are this user's"
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert states(submitted) == [state, state]
    assert ("another user's, whose jobs SLURM may hide" in status(submitted)) == (state == "unknown")
    fake("squeue", "15_0|RUNNING|None\n")
    assert states(submitted) == [state, "queued"]


def test_a_worker_out_of_sight_that_misses_heartbeats_is_doubtful(store: Store, fake: FakeCommand) -> None:
    """Its job is unknown to the cluster asked here, which proves nothing."""
    fake("squeue", stderr="slurm_load_jobs error: Invalid job id specified", code=1)
    manifest = read_manifest(store, sweep_names(store)[-1])
    (trial_id,) = manifest.trials
    claim = claims.acquire(store, trial_id, manifest.launch, 20, 1)
    assert claim is not None
    elsewhere = replace(claim, holder=replace(claim.holder, host="node7", machine="another", job="7_0"))
    for silent, doubtful in ((1, False), (SILENT_SECONDS + 10, True)):
        write_atomically(claim.path, elsewhere.content())
        then = claim.path.stat().st_mtime - silent
        os.utime(claim.path, (then, then))
        (running,) = json.loads(status(store, "--json"))["running"]
        assert running["doubtful"] == doubtful
        assert ("no heartbeat of late: it may have died" in status(store)) == doubtful


def test_where_nothing_was_submitted_a_silent_slurm_does_not_matter(store: Store, fake: FakeCommand) -> None:
    fake("squeue", stderr=SILENT, code=1)
    assert states(store) == ["stopped", "stopped"]
    assert "nothing is running: issue the sweep's command again" in status(store)


def test_a_submission_under_way_may_have_jobs(store: Store) -> None:
    name = sweep_names(store)[0]
    (store.root / "sweeps" / name / "submitting.now").touch()
    assert states(store) == ["unknown", "stopped"]
    *_, note = status(store, "--all").splitlines()
    assert "a submission is under way" in note
    assert note.endswith(f"({name})")
    assert "nothing is running" not in status(store, name)


# -- another user's ----------------------------------------------------------------------------------


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """Let nobody but a root read it meanwhile."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


@stopped_by_permissions
def test_sweeps_that_may_not_be_listed(store: Store) -> None:
    sweeps = store.root / "sweeps"
    with closed(sweeps):
        for words in (["status"], ["status", "--all"]):
            complaint = as_plain_user(*words, "--results", str(store.root)).complaint
            assert complaint == f"error: cannot read {sweeps}: Permission denied"


@stopped_by_permissions
def test_a_sweep_that_may_not_be_looked_into_is_listed(store: Store) -> None:
    where = ["--results", str(store.root)]
    first, last = sweep_names(store)
    with closed(store.root / "sweeps" / last):
        told = json.loads(as_plain_user("status", "--all", "--json", *where).out)
        assert [(one["sweep"], one["state"]) for one in told] == [(last, "unknown"), (first, "stopped")]
        why = f"cannot read {store.root}/sweeps/{last}/manifest.json: Permission denied: make it readable for you"
        assert told[0]["problem"] == why
        assert as_plain_user("status", *where).out.startswith(f"{first}: 0/1 done"), "the last that may be asked about"
        assert as_plain_user("status", last, *where).complaint == f"error: {why}"


@stopped_by_permissions
def test_a_result_that_may_not_be_read_is_neither_damaged_nor_missing(tmp_path: Path) -> None:
    """No command advises what the launch then refuses to do."""
    store, sweep = Store(tmp_path / "results"), ["paper=demo", "paper.only=[erm]", "seed=0", *FEW]
    launch("-m", *sweep, f"results={store.root}")
    (trial_id,) = store.trial_ids()
    where, path = ["--results", str(store.root)], store.folder(trial_id) / "result.json"
    why = f"cannot read {path}: Permission denied"
    with closed(path):
        for words in (["show", trial_id, *where], ["reproduce", trial_id, *where]):
            assert as_plain_user(*words).complaint == f"error: {why}: make it readable for you"
        answer = as_plain_user("status", *where).out
        assert "0 running, 0 to do, 1 unknown\n" in answer
        assert f"  unknown  {why}: make it readable for you\n" in answer
        assert "again" not in answer
        assert "unknown: cannot read" in as_plain_user("status", "--all", *where).out
        table = as_plain_user("table", "--paper", "demo", "paper.only=[erm]", "seed=0", *FEW, *where).out
        assert "has a result that may not be read, left out: 1 of 1 trials" in table
        assert "no result yet" not in table
        missing = as_plain_user("table", "--missing", "--paper", "demo", "paper.only=[erm]", "seed=0", *FEW, *where)
        assert missing.out == ""
        refused = as_plain_user("launch", "-m", *sweep, f"results={store.root}").complaint
        assert refused == f"error: {why}: make it readable for you, or choose another results="
