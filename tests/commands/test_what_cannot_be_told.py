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

from commands import CAN_BE_PLAIN, SMALL, FakeCommand, each_as_plain_user, irm_sweeps, launch
from irm_sweeps import load_results
from irm_sweeps.files.atomic import write_atomically
from irm_sweeps.store import claims
from irm_sweeps.store.liveness import SILENT_SECONDS
from irm_sweeps.store.manifest import read_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names

SILENT = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
FEW = [word for word in SMALL if word != "device=cpu"]
stopped_by_permissions = pytest.mark.skipif(not CAN_BE_PLAIN, reason="root may read anything")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sweeps of a trial each: it is open."""
    made = Store(tmp_path_factory.mktemp("launched") / "results")
    for seed in (0, 1):
        launch("-m", f"results={made.root}", *SMALL, f"seed={seed}")
    for trial_id in made.trial_ids():
        shutil.rmtree(made.folder(trial_id))
    return made.root


@pytest.fixture
def store(launched: Path, tmp_path: Path) -> Store:
    """A copy of the two sweeps."""
    return Store(Path(shutil.copytree(launched, tmp_path / "results")))


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
def closed(path: Path, left: int = 0) -> Iterator[None]:
    """Let nobody but a root do more with it meanwhile than the mode `left` allows."""
    mode = path.stat().st_mode
    path.chmod(left)
    try:
        yield
    finally:
        path.chmod(mode)


@stopped_by_permissions
def test_sweeps_that_may_not_be_listed(store: Store) -> None:
    sweeps = store.root / "sweeps"
    with closed(sweeps):
        where = ["--results", str(store.root)]
        for answer in each_as_plain_user(["status", *where], ["status", "--all", *where]):
            assert answer.complaint == f"error: cannot read {sweeps}: Permission denied"


@stopped_by_permissions
def test_a_sweep_that_may_not_be_looked_into_is_listed(store: Store) -> None:
    where = ["--results", str(store.root)]
    first, last = sweep_names(store)
    with closed(store.root / "sweeps" / last):
        whole, newest, named = each_as_plain_user(
            ["status", "--all", "--json", *where], ["status", *where], ["status", last, *where]
        )
        told = json.loads(whole.out)
        assert [(one["sweep"], one["state"]) for one in told] == [(last, "unknown"), (first, "stopped")]
        why = f"cannot read {store.root}/sweeps/{last}/manifest.json: Permission denied: make it readable for you"
        assert told[0]["problem"] == why
        assert newest.out.startswith(f"{first}: 0/1 done"), "the last that may be asked about"
        assert named.complaint == f"error: {why}"


@stopped_by_permissions
def test_a_result_that_may_not_be_read_is_neither_damaged_nor_missing(tmp_path: Path) -> None:
    """No command advises what the launch then refuses to do."""
    store, sweep = Store(tmp_path / "results"), ["paper=demo", "paper.only=[erm]", "seed=0", *FEW]
    launch("-m", *sweep, f"results={store.root}")
    (trial_id,) = store.trial_ids()
    where, path = ["--results", str(store.root)], store.folder(trial_id) / "result.json"
    why = f"cannot read {path}: Permission denied"
    with closed(path):
        filled = ["table", "--paper", "demo", "paper.only=[erm]", "seed=0", *FEW, *where]
        shown, reproduced, status_of_one, status_of_all, tabled, missing, launched_again = each_as_plain_user(
            *(["show", trial_id, *where], ["reproduce", trial_id, *where]),
            *(["status", *where], ["status", "--all", *where]),
            *(filled, [*filled, "--missing"]),
            ["launch", "-m", *sweep, f"results={store.root}"],
        )
        for refused in (shown, reproduced):
            assert refused.complaint == f"error: {why}: make it readable for you"
        answer = status_of_one.out
        assert "0 running, 0 to do, 1 unknown\n" in answer
        assert f"  unknown  {why}: make it readable for you\n" in answer
        assert "again" not in answer
        assert "unknown: cannot read" in status_of_all.out
        assert "has a result that may not be read, left out: 1 of 1 trial: " in tabled.out
        assert "no result yet" not in tabled.out
        assert missing.out == ""
        assert launched_again.complaint == f"error: {why}: make it readable for you, or choose another results="


LIST_ONLY, ENTER_ONLY = 0o600, 0o300
CLOSED = {
    "the folder above, without x": (lambda store, trial: store.root.parent, LIST_ONLY),
    "the store, without x": (lambda store, trial: store.root, LIST_ONLY),
    "the store, without r": (lambda store, trial: store.root, ENTER_ONLY),
    "sweeps, without x": (lambda store, trial: store.root / "sweeps", LIST_ONLY),
    "sweeps, without r": (lambda store, trial: store.root / "sweeps", ENTER_ONLY),
    "the sweep, without r": (lambda store, trial: store.root / "sweeps" / sweep_names(store)[-1], ENTER_ONLY),
    "the manifest": (lambda store, trial: store.root / "sweeps" / sweep_names(store)[-1] / "manifest.json", 0),
    "the trial, without x": (lambda store, trial: store.folder(trial), LIST_ONLY),
    "the trial, without r": (lambda store, trial: store.folder(trial), ENTER_ONLY),
}
"""What another user may not do with which part of a store."""


@pytest.fixture
def half_done(trained_store: Path, tmp_path: Path) -> tuple[Store, str]:
    """A sweep of two trials, of which the first has lost its result."""
    store = Store(tmp_path / "home" / "results")
    shutil.copytree(trained_store, store.root)
    trial, _ = store.trial_ids()
    (store.folder(trial) / "result.json").unlink()
    return store, trial


@stopped_by_permissions
@pytest.mark.parametrize("place", CLOSED)
def test_no_command_ends_in_a_traceback(place: str, half_done: tuple[Store, str]) -> None:
    store, trial = half_done
    path, left = CLOSED[place]
    where = ["--results", str(store.root)]
    sweep = sweep_names(store)[-1]
    commands = [
        ["status", *where],
        ["status", "--all", *where],
        ["failures", *where],
        ["show", trial, *where],
        ["logs", trial, *where],
        ["reproduce", trial, *where],
        ["work", sweep, *where],
        ["table", "--paper", "demo", "seed=0", *FEW, *where],
        ["launch", "-m", "seed=0,1", *SMALL, f"results={store.root}", "hydra/launcher=inprocess"],
    ]
    reading = ["-c", f"from irm_sweeps import load_results; load_results({str(store.root)!r})"]
    with closed(path(store, trial), left):
        *answers, read = each_as_plain_user(*commands, reading)
    for words, answer in zip(commands, answers, strict=True):
        assert "Traceback" not in answer.out + answer.err, (words, answer)
        assert answer.code in (0, 2), (words, answer)
        assert answer.code == 0 or answer.err.splitlines()[-1].startswith("error: "), (words, answer)
    assert "PermissionError" not in read.err, read
    if "trial" in place:
        assert ", 1 unknown" in answers[0].out
        assert "unknown: " in answers[2].out


STRAYS = [
    "X backup",
    "demo-639744ff.old",
    "\N{GREEK SMALL LETTER LAMDA}-0123abcd",
    "two\nlines-01234567",
    "~",
    "-",
    "\udcff",
]


def test_strays_are_no_sweeps(half_done: tuple[Store, str]) -> None:
    """Files, folders and links of any name, in the store, among its sweeps and in a trial's folder."""
    store, trial = half_done
    where = ["--results", str(store.root)]
    (sweep,) = sweep_names(store)
    before = [irm_sweeps(*words, *where) for words in (["status"], ["status", "--all"], ["failures"])]
    for folder in (store.root, store.root / "sweeps", store.folder(trial), store.root / "sweeps" / sweep):
        for n, name in enumerate(STRAYS):
            kind = n % 3
            if kind == 0:
                shutil.copytree(store.root / "sweeps" / sweep, folder / name, symlinks=True)
            elif kind == 1:
                (folder / name).write_text("{")
            else:
                (folder / name).symlink_to(folder)
    assert [irm_sweeps(*words, *where) for words in (["status"], ["status", "--all"], ["failures"])] == before
    for words in (["show", "0"], ["logs", trial], ["cancel", sweep]):
        assert irm_sweeps(*words, *where).code in (0, 2)
    assert len(load_results(store.root).trial_id.unique()) == 1
    again = launch("-m", "seed=0,1", *SMALL, f"results={store.root}")
    assert again.code == 0, again
    assert "1 done, 1 to run" in again.out


def test_a_copy_of_a_sweep_is_named_and_left_out(half_done: tuple[Store, str]) -> None:
    store, _ = half_done
    (sweep,) = sweep_names(store)
    copy = store.root / "sweeps" / f"backup-{sweep}"
    shutil.copytree(store.root / "sweeps" / sweep, copy)
    os.utime(copy / "manifest.json", (2e9, 2e9))
    answer = irm_sweeps("status", "--results", str(store.root))
    assert answer.code == 0, answer
    assert answer.out.startswith(f"{sweep}: 1/2 done")
    assert answer.err == f"left out: {copy} has the manifest of another sweep\n"


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_every_file_obeys_the_umask(umask: int, tmp_path: Path) -> None:
    """So colleagues who share a group can share a store, and one's own stays one's own."""
    results = tmp_path / "results"
    before = os.umask(umask)
    try:
        answer = launch(
            "-m", f"results={results}", *SMALL, "seed=0,1", "hydra/launcher=local", "hydra.launcher.slots=1"
        )
    finally:
        os.umask(before)
    assert answer.code == 0, answer
    modes = {path: path.stat().st_mode & 0o777 for path in results.rglob("*")}
    assert {"result.json", "history.jsonl", "log.txt", "manifest.json", "jobs"} <= {path.name for path in modes}
    wrong = {
        str(path): oct(mode) for path, mode in modes.items() if mode != (0o777 if path.is_dir() else 0o666) & ~umask
    }
    assert wrong == {}
