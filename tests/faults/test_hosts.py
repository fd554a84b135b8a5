"""Two hosts on one store, which cannot look up each other's pids: heartbeats decide, and no trial runs twice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from commands import ROGUE, TRAINED, Desk, eventually, outcomes
from faults import hosts
from faults.hosts import Host
from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store import claims
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.plan import make_plan
from irm_sweeps.sweep.prepare import prepare
from irm_sweeps.sweep.run import run_sweep

pytestmark = pytest.mark.skipif(bool(hosts.why_not()), reason=f"no second host can be made here: {hosts.why_not()}")
SWEEP = [*ROGUE, "training.steps=60", "checkpoint_seconds=0.3", "seed=range(0,3)"]
"""Trials of six seconds until the gate opens."""
HOUR = 3600.0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    desk = Desk(tmp_path_factory.mktemp("undisturbed"))
    assert run_sweep([f"results={desk.results}", *SWEEP], InProcess()) == 0
    return outcomes(desk.in_store())


@pytest.fixture
def manifest(desk: Desk) -> Manifest:
    """A sweep that is launched, and that nobody works on yet."""
    trials, settings, label = collect([f"results={desk.results}", *SWEEP])
    store = Store(desk.results)
    return prepare(store, make_plan(store, trials, settings), settings, InProcess(), label)


@pytest.fixture
def works(desk: Desk, manifest: Manifest) -> Iterator[Callable[..., Host]]:
    """Start a host that works on the sweep."""
    started = []

    def start(name: str, clock: float = 0.0) -> Host:
        command = ["work", manifest.name, "--trust", "--results", str(desk.results)]
        started.append(Host(name, desk.folder, command, desk.gate, clock))
        return started[-1]

    yield start
    for host in started:
        host.end()


def where(desk: Desk, trial_id: str) -> list[str]:
    """The hosts that have begun to train a trial, in order."""
    return re.findall(rf"{TRAINED}.* on (\w+)$", desk.log(trial_id), re.MULTILINE)


def begun(desk: Desk, host: str) -> str | None:
    """A trial that a host trains, once it has a checkpoint."""
    for path in desk.results.glob("*/checkpoint.safetensors"):
        if where(desk, path.parent.name)[-1:] == [host]:
            return path.parent.name
    return None


def taken_over(desk: Desk, trial_id: str, host: str) -> bool:
    return where(desk, trial_id)[-1:] == [host] and "resumed at step" in desk.log(trial_id)


LEFT = r"error: \d trials? of this sweep without a result: other workers are at work on \d of them; .*"


def ended(host: Host) -> int:
    """Wait for a host's exit code, which is 2 where it says that it has left trials to the other, and else 0."""
    code, said = host.wait(), host.errors.read_text()
    assert code == (2 if re.fullmatch(LEFT, said.splitlines()[-1]) else 0), said
    return code


def test_two_hosts_share_a_sweep_whatever_their_clocks_say(
    desk: Desk, works: Callable[..., Host], undisturbed: dict[str, dict[str, Any]]
) -> None:
    both = [works("alpha", clock=5 * HOUR), works("beta", clock=-5 * HOUR)]
    for name in ("alpha", "beta"):
        eventually(lambda name=name: begun(desk, name), f"{name} trains")
    desk.gate.touch()
    assert min(map(ended, both)) == 0, "the one that ended last left none"
    assert outcomes(desk.in_store()) == undisturbed
    assert all(len(where(desk, trial_id)) == 1 for trial_id in undisturbed), "each was trained once"


def test_the_trials_of_a_dead_host_are_gone_on_with_elsewhere(
    desk: Desk, works: Callable[..., Host], undisturbed: dict[str, dict[str, Any]]
) -> None:
    alpha = works("alpha")
    lost = eventually(lambda: begun(desk, "alpha"), "alpha trains")
    alpha.die()
    claim = claims.current(Store(desk.results), lost)
    assert claim
    assert claim.is_in_force(), "nobody outside can tell yet"
    beta = works("beta")
    eventually(lambda: taken_over(desk, lost, "beta"), "beta goes on with it")
    desk.gate.touch()
    assert ended(beta) == 0, beta.errors.read_text()
    assert outcomes(desk.in_store()) == undisturbed
    assert where(desk, lost) == ["alpha", "beta"]


def test_a_host_that_comes_back_from_the_dead_writes_nothing_more(
    desk: Desk, works: Callable[..., Host], undisturbed: dict[str, dict[str, Any]]
) -> None:
    alpha = works("alpha")
    lost = eventually(lambda: begun(desk, "alpha"), "alpha trains")
    alpha.freeze()
    beta = works("beta")
    eventually(lambda: taken_over(desk, lost, "beta"), "beta goes on with it")
    alpha.thaw()
    eventually(lambda: "another worker has taken over" in desk.log(lost), "alpha has seen it")
    desk.gate.touch()
    assert 0 in {ended(alpha), ended(beta)}, "the one that ended last left none"
    assert outcomes(desk.in_store()) == undisturbed
    assert desk.log(lost).count(" completed\n") == 1
    assert json.loads((desk.results / lost / "result.json").read_text())["status"] == "completed"
