"""Claims: exactly one of several claimants gets a trial, a dead one loses it, a live one keeps it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commands import eventually
from irm_sweeps.store import claims, liveness
from irm_sweeps.store.claims import Claim
from irm_sweeps.store.liveness import HEARTBEAT_SECONDS, SILENT_SECONDS, STALE_SECONDS, this_process
from irm_sweeps.store.store import Store

ID = "0123456789abcdef"
HOLD = """
import sys, time
from pathlib import Path
from irm_sweeps.store import claims
from irm_sweeps.store.store import Store
claim = claims.acquire(Store(Path(sys.argv[1])), sys.argv[2], "launch", 10, 1)
print("held" if claim else "not held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def acquire(store: Store, launch: str = "launch") -> Claim | None:
    return claims.acquire(store, ID, launch, steps=10, stack=1)


def held(store: Store, launch: str = "launch") -> Claim:
    claim = acquire(store, launch)
    assert claim is not None
    return claim


def rewrite(claim: Claim, seconds_ago: float = 0.0, **holder: object) -> Claim:
    """Make another process of a claim's holder, last heard of so long ago."""
    changed = replace(claim, holder=replace(claim.holder, **holder))
    claim.path.write_bytes(changed.content())
    when = time.time() - seconds_ago
    os.utime(claim.path, (when, when))
    return changed


def checkpoint(store: Store, when: float) -> None:
    path = store.folder(ID) / "checkpoint.safetensors"
    path.touch()
    os.utime(path, (when, when))


def dies(claim: Claim) -> None:
    rewrite(claim, started=claim.holder.started + 1)


@pytest.fixture
def holder(store: Store) -> subprocess.Popen[str]:
    """Another process that holds the claim."""
    started = subprocess.Popen([sys.executable, "-c", HOLD, str(store.root), ID], stdout=subprocess.PIPE, text=True)
    assert started.stdout
    assert started.stdout.readline() == "held\n"
    yield started
    started.kill()
    started.wait()


def test_a_living_holder_keeps_its_trial(store: Store, holder: subprocess.Popen[str]) -> None:
    assert acquire(store) is None
    long_ago = time.time() - 10 * STALE_SECONDS
    os.utime(store.folder(ID) / "claim.1.json", (long_ago, long_ago))
    assert acquire(store) is None, "on the same machine a silent process is not a dead one"


def test_a_suspended_holder_keeps_its_trial(store: Store, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    assert acquire(store) is None


@pytest.mark.parametrize("reaped", [True, False], ids=["gone", "zombie"])
def test_a_killed_holder_loses_it(store: Store, holder: subprocess.Popen[str], reaped: bool) -> None:
    holder.kill()
    if reaped:
        holder.wait()
    taken = eventually(lambda: acquire(store), "the claim is free")
    assert (taken.n, taken.deaths) == (2, 1)
    assert acquire(store) is None


def test_a_pid_that_another_process_has_by_now_is_a_dead_holder(store: Store) -> None:
    claim = held(store)
    rewrite(claim, started=claim.holder.started - 1)
    assert held(store).n == 2


def test_another_users_process_that_proc_hides_lives(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `hidepid` /proc shows a user no process of others; the kernel still says that there is one."""
    nobody_s = 2**22 + 1

    def refused(pid: int, signum: int) -> None:
        raise PermissionError if pid == nobody_s else ProcessLookupError

    monkeypatch.setattr(os, "kill", refused)
    rewrite(held(store), pid=nobody_s)
    assert acquire(store) is None
    rewrite(claims.current(store, ID), pid=nobody_s + 1)
    assert acquire(store) is not None


def test_another_boot_or_container_is_another_machine(store: Store) -> None:
    rewrite(held(store), machine="another boot")
    assert acquire(store) is None, "its heartbeat is fresh"


def test_a_holder_elsewhere_is_dead_when_it_has_been_silent_for_long(store: Store) -> None:
    claim = held(store)
    rewrite(claim, seconds_ago=STALE_SECONDS - 20, host="b", machine="b")
    assert acquire(store) is None
    rewrite(claim, seconds_ago=STALE_SECONDS + 1, host="b", machine="b")
    assert held(store).n == 2


def test_hosts_clocks_do_not_matter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(held(store), host="b", machine="b")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86_400)
    assert acquire(store) is None


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set what `squeue` answers."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def answers(script: str) -> None:
        (folder / "squeue").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "squeue").chmod(0o755)

    return answers


@pytest.mark.parametrize(
    ("answer", "dead"),
    [
        ("echo RUNNING", False),
        ("echo PENDING", False),
        ("echo CANCELLED", True),
        ("echo FAILED", True),
        ("echo SIGNALING", False),
        ("exit 0", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'Unable to contact slurm controller' >&2; exit 1", False),
    ],
)
def test_slurm_says_whether_a_silent_job_has_ended(
    store: Store, squeue: Callable[[str], None], answer: str, dead: bool
) -> None:
    squeue(answer)
    rewrite(held(store), seconds_ago=SILENT_SECONDS + 1, host="b", machine="b", job="12_3")
    assert (acquire(store) is not None) == dead


def test_slurm_is_not_asked_about_a_job_that_has_just_been_heard_of(
    store: Store, squeue: Callable[[str], None]
) -> None:
    squeue("echo CANCELLED")
    rewrite(held(store), seconds_ago=HEARTBEAT_SECONDS, host="b", machine="b", job="12_3")
    assert acquire(store) is None


def test_without_squeue_the_heartbeat_decides(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    claim = held(store)
    rewrite(claim, seconds_ago=SILENT_SECONDS + 1, host="b", machine="b", job="12_3")
    assert acquire(store) is None
    rewrite(claim, seconds_ago=STALE_SECONDS + 1, host="b", machine="b", job="12_3")
    assert acquire(store) is not None


def test_a_link_whose_answer_was_lost_is_this_worker_s(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An NFS client asks again, and the server finds the name taken, by itself; else nobody would train the trial."""
    real = os.link

    def asked_twice(*names: Any) -> None:
        real(*names)
        real(*names)

    monkeypatch.setattr(os, "link", asked_twice)
    assert held(store).is_latest()
    assert acquire(store) is None
    assert [path.name for path in store.folder(ID).iterdir()] == ["claim.1.json"]


def test_a_released_trial_is_free_at_once_and_nobody_died(store: Store) -> None:
    held(store).release(5)
    again = held(store)
    assert (again.n, again.deaths) == (2, 0)


def test_a_finished_trial_cannot_be_claimed(store: Store) -> None:
    held(store)
    (store.folder(ID) / "result.json").write_text("{}")
    claims.clear(store, ID)
    assert acquire(store) is None
    assert [path.name for path in store.folder(ID).iterdir()] == ["result.json"]


def test_who_was_overtaken_knows_it(store: Store) -> None:
    first = held(store)
    dies(first)
    second = held(store)
    assert not first.is_latest()
    assert second.is_latest()
    claims.clear(store, ID)
    assert not second.is_latest()


def test_deaths_without_progress_add_up(store: Store) -> None:
    dies(held(store))
    dies(second := held(store))
    third = held(store)
    assert (second.deaths, third.deaths) == (1, 2)


def test_a_checkpoint_in_between_starts_the_count_again(store: Store) -> None:
    dies(held(store))
    dies(held(store))
    claim = held(store)
    checkpoint(store, 1000.0)
    dies(claim)
    assert held(store).deaths == 1


def test_a_release_neither_adds_to_the_count_nor_clears_it(store: Store) -> None:
    dies(held(store))
    held(store).release(0)
    claim = held(store)
    assert claim.deaths == 1
    checkpoint(store, 1000.0)
    claim.release(5)
    assert held(store).deaths == 0, "there has been progress"


def test_another_launch_starts_its_own_count(store: Store) -> None:
    dies(held(store, "first"))
    dies(held(store, "first"))
    assert held(store, "second").deaths == 0


@pytest.mark.parametrize("content", ["", '{"holder": 1}', '{"holder": {}, "launch": "x"}', "[]"])
def test_a_damaged_claim_is_nobodys(store: Store, content: str) -> None:
    held(store).path.write_text(content)
    claim = held(store)
    assert (claim.n, claim.deaths) == (2, 0)


def test_a_look_at_a_claim_writes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = held(store)
    monkeypatch.setattr(liveness, "age_of", lambda path: pytest.fail("the holder is here: its pid tells"))
    assert claim.is_in_force()


def test_this_process_is_alive_to_itself(store: Store) -> None:
    assert this_process().is_alive(store.root / "no file is looked at")


def test_a_stray_file_is_no_claim_and_keeps_nobody_out(store: Store) -> None:
    folder = store.folder(ID)
    folder.mkdir()
    for n in ("0", "007", "999999998", "999999999", "1000000", "9" * 18, "9" * 240):
        (folder / f"claim.{n}.json").write_text("{}")
    (folder / "claim.3.json").mkdir()
    for _ in range(20):
        claim = held(store)
        assert claim.is_latest()
        assert acquire(store) is None
        claim.release(0)
    claims.clear(store, ID)
    assert [path.name for path in folder.iterdir()] == ["claim.3.json"], "a folder is nobody's claim"


def test_a_renewed_claim_tells_when_the_last_step_was(store: Store) -> None:
    claim = held(store)
    assert claim.seconds_since_step_now() is None, "the training has not begun"
    renewed = rewrite(claim.renew(3, seconds_since_step=7.5, longest_step=2.0), seconds_ago=100)
    since = claims.Claim.read(renewed.path, 1).seconds_since_step_now()
    assert since is not None
    assert 107 < since < 140


def test_claims_of_earlier_versions_do_not_tell_when_the_last_step_was(store: Store) -> None:
    claim = held(store)
    values = json.loads(claim.path.read_bytes())
    del values["seconds_since_step"], values["longest_step"]
    claim.path.write_text(json.dumps(values))
    old = claims.current(store, ID)
    assert old is not None
    assert old.is_in_force()
    assert old.seconds_since_step_now() is None
