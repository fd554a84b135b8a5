"""The table of a sweep from several stores, and from one that was moved."""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, irm_sweeps
from irm_sweeps import load_results
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_names


@pytest.fixture
def two(trained_store: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two stores with one sweep's results; the second one's sweep has another name and was launched later."""
    first, second = (Path(shutil.copytree(trained_store, tmp_path / name)) for name in ("first", "second"))
    (name,) = sweep_names(Store(second))
    later = second / "sweeps" / "sweep-00000000"
    (second / "sweeps" / name).rename(later)
    manifest = later / "manifest.json"
    manifest.write_text(manifest.read_text().replace(name, later.name))
    stamp = (first / "sweeps" / name / "manifest.json").stat().st_mtime + 60
    os.utime(manifest, (stamp, stamp))
    return first, second


def table(*words: object) -> Any:
    answer = irm_sweeps("table", *map(str, words))
    assert answer.code == 0, answer
    return answer


def changed(store: Path, seed: int, **values: Any) -> str:
    """Change a result of a store; return its trial's id."""
    for path in store.glob("*/result.json"):
        result = json.loads(path.read_text())
        if result["config"]["seed"] == seed:
            result["metrics"]["last"]["scores"]["test"]["0.9"]["accuracy"] = 0.5
            path.write_text(json.dumps(result | values))
            return path.parent.name
    raise AssertionError(seed)


def test_the_sweep_launched_last_is_that_of_any_store(two: tuple[Path, Path]) -> None:
    first, second = two
    assert table("--results", first, second).out.startswith("sweep-00000000: ")
    assert table("--results", second, first).out.startswith("sweep-00000000: ")


def test_results_of_other_sweeps_are_counted(two: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = two
    assert "more result" not in table("--results", first, second).err
    victim = next(iter(second.glob("*/result.json"))).parent
    other = Path(shutil.copytree(victim, second / ("f" * 16)))
    result = other / "result.json"
    result.write_text(result.read_text().replace(victim.name, other.name))
    err = table("--results", first, second).err
    assert "has only sweep-00000000" in err
    assert "1 more result;" in err
    assert "more result" not in table("--results", first, second, *SMALL, "seed=0,1").err


def test_stores_that_disagree_on_a_trial_are_named(two: tuple[Path, Path]) -> None:
    first, second = two
    assert "other numbers" not in table("--results", first, second).err
    trial_id = changed(second, 1)
    scores = [json.loads((store / trial_id / "result.json").read_text())["metrics"] for store in two]
    difference = abs(0.5 - scores[0]["last"]["scores"]["test"]["0.9"]["accuracy"])
    for words in (["table"], ["report"]):
        err = irm_sweeps(*words, "--results", str(first), str(second)).err
        said = re.search(
            f"1 result in {second} with other numbers than in {first}, accuracy by up to ([0-9.]+) points: {trial_id} "
            rf"\((irm-sweeps reproduce {trial_id} --results {first}) tells",
            err,
        )
        assert said is not None, err
        assert float(said[1]) == pytest.approx(100 * difference, rel=0.05)
    page = (first / "report.html").read_text()
    assert '<a href="#skipped">Some results were skipped.</a>' in page
    assert '<h3 id="skipped">Results that were skipped</h3>' in page
    with pytest.warns(UserWarning, match=f"other numbers than in {first}.*{trial_id}"):
        load_results(first, second)


def test_other_times_contradict_nothing(two: tuple[Path, Path]) -> None:
    first, second = two
    for path in second.glob("*/result.json"):
        result = json.loads(path.read_text())
        result["timing"]["seconds"] += 1
        path.write_text(json.dumps(result))
    assert "other numbers" not in table("--results", first, second).err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_results(first, second)


def test_the_command_that_trains_the_rest_fills_the_store_that_is_read(trained_store: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(trained_store, tmp_path / "moved"))
    for path in moved.glob("sweeps/*/manifest.json"):
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps(manifest | {"command": "irm-sweeps launch -m results=gone seed=0,1"}))
    shutil.rmtree(next(iter(moved.glob("*/result.json"))).parent)
    assert f"irm-sweeps launch -m results={moved} seed=0,1" in table("--results", moved).out
    assert table("--results", moved, "--missing").out == f"irm-sweeps launch -m results={moved} seed=0,1\n"
    assert f"results={moved} " in irm_sweeps("status", "--all", "--results", str(moved)).out


def test_a_store_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    complaint = irm_sweeps("table", "--results", str(nowhere)).complaint
    assert complaint.startswith(f"error: --results {nowhere}: no such directory; run something first: ")
    assert complaint.endswith(f" results={nowhere}")
