"""Sixteen processes race for a thousand claims: each claim is taken exactly once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from commands import eventually
from irm_sweeps.store.store import Store

CLAIMS, RACERS = 1000, 16
RACE = """
import sys, time
from pathlib import Path
from irm_sweeps.store import claims
from irm_sweeps.store.store import Store
store, start, n = Store(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
while not start.exists():
    time.sleep(0.005)
for i in range(n):
    if claims.acquire(store, f"{i:016x}", "launch", 10, 1):
        print(i)
print("over", flush=True)
sys.stdin.read()
"""
"""Hold what was claimed until the others have tried too: a claim of a process that is gone is free."""


def race(store: Store, start: Path, n: int = RACERS) -> Counter[int]:
    """Let n processes claim every trial, and return how often each was had."""
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(store.root), str(start), str(CLAIMS)],
            stdin=subprocess.PIPE,
            stdout=(start.parent / f"{i}.out").open("w"),
            text=True,
        )
        for i in range(n)
    ]
    outputs = [start.parent / f"{i}.out" for i in range(n)]
    eventually(lambda: all(path.read_text() for path in outputs), "all are ready")
    start.touch()
    eventually(lambda: all(path.read_text().endswith("over\n") for path in outputs), "all have tried")
    for racer in racers:
        racer.communicate("")
    return Counter(int(word) for path in outputs for word in path.read_text().split()[1:-1])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "results")
    made.prepare()
    return made


def newest(store: Store) -> Counter[int]:
    """How many trials have which newest claim."""
    folders = store.root.glob("?" * 16)
    return Counter(max(int(path.name.split(".")[1]) for path in folder.glob("claim.*")) for folder in folders)


def test_a_thousand_free_trials_are_each_claimed_once(store: Store, tmp_path: Path) -> None:
    assert race(store, tmp_path / "start") == Counter(range(CLAIMS))
    assert newest(store) == {1: CLAIMS}
    assert not list(store.root.glob("*/.*")), "a temporary file is left"


def test_a_thousand_trials_of_the_dead_are_each_taken_over_once(store: Store, tmp_path: Path) -> None:
    race(store, tmp_path / "start", n=1)
    for path in store.root.glob("*/claim.1.json"):
        holder = json.loads(path.read_text())["holder"]["pid"]
        assert not os.path.exists(f"/proc/{holder}"), "the racers are gone"
    (tmp_path / "start").unlink()
    assert race(store, tmp_path / "start") == Counter(range(CLAIMS))
    assert newest(store) == {2: CLAIMS}
