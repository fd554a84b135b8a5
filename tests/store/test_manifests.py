"""Manifests are read trial by trial: strictly, and in little memory."""

from __future__ import annotations

import io
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, irm_sweeps, launch
from irm_sweeps.errors import UserError
from irm_sweeps.files import json_stream
from irm_sweeps.files.json_stream import JsonStream
from irm_sweeps.store import claims
from irm_sweeps.store.manifest import read_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.sweeps import sweep_name, sweep_names


@pytest.fixture
def store(trained_store: Path, tmp_path: Path) -> Store:
    """A copy of a store with a sweep of two trials."""
    return Store(Path(shutil.copytree(trained_store, tmp_path / "results")))


def path_of(store: Store) -> Path:
    return store.root / "sweeps" / sweep_names(store)[0] / "manifest.json"


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64 * 1024])
def test_where_pieces_end_does_not_matter(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "_CHUNK", chunk)
    value = {
        "a": 12345,
        "f": 10000.25,
        "g": 1.5e-07,
        "b": {"c": [1.5, -2e3, None, True], "\u03bb": '\u03bb\\"'},
        "d": [],
        "e": {},
    }
    for indent in (None, 1):
        for ascii_only in (True, False):
            text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
            stream = JsonStream(io.BytesIO(text), len(text))
            read: dict[str, Any] = {}
            for key in stream.members():
                read[key] = {inner: stream.value() for inner in stream.members()} if key == "b" else stream.value()
            stream.end()
            assert read == value


def members_of(text: str) -> dict[str, Any]:
    stream = JsonStream(io.BytesIO(text.encode()), 100)
    read = {key: stream.value() for key in stream.members()}
    stream.end()
    return read


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,}', '{"a":1 "b":2}', '{"a":1,"a":2}', '{"a":NaN}', '{"a":1}x'],
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is missing|stands twice|not JSON|Expecting|follows|Illegal"):
        members_of(text)


def test_a_large_manifest_takes_less_memory_than_its_file(store: Store) -> None:
    path = path_of(store)
    content = json.loads(path.read_text())
    config = next(iter(content["trials"].values()))
    content["trials"] |= {f"{seed:016x}": {**config, "seed": seed, "lam": seed / 7} for seed in range(10_000)}
    path.write_text(json.dumps(content))
    tracemalloc.start()
    try:
        manifest = read_manifest(store, path.parent.name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert dict(manifest.trials["0000000000000007"]) == content["trials"]["0000000000000007"]
    assert list(manifest.trials) == list(content["trials"])
    assert peak < path.stat().st_size


def test_what_a_worker_keeps_of_a_trial_is_less_than_half_of_its_text(store: Store) -> None:
    """Bytes for each further trial, read and asked for, against those in the file."""
    path = path_of(store)
    content = json.loads(path.read_text())
    config = next(iter(content["trials"].values()))
    kept, size = [], []
    for n in (100, 10_000):
        ids = [f"{seed:016x}" for seed in range(n)]
        own = {trial_id: {**config, "seed": seed} for seed, trial_id in enumerate(ids)}
        labels = {trial_id: f"erm seed={seed}" for seed, trial_id in enumerate(ids)}
        path.write_text(json.dumps({**content, "trials": own, "stacks": [[i] for i in ids], "labels": labels}))
        tracemalloc.start()
        try:
            manifest = read_manifest(store, path.parent.name)
            assert [manifest.trials[trial_id]["seed"] for trial_id in ids[:50]] == list(range(50))
            kept.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
        size.append(path.stat().st_size)
    assert kept[1] - kept[0] < (size[1] - size[0]) / 2


def test_each_config_is_read_as_it_was_written(store: Store) -> None:
    """Parts that repeat, differ in type alone, are long, come in another order, or are not in the first."""
    path = path_of(store)
    content = json.loads(path.read_text())
    config = next(iter(content["trials"].values()))
    long = {**config["optimizer"], "note": 'long "\\\u03bb" ' * 30}
    configs = [
        {**config, "lam": 1.25e-7},
        {**config, "lam": 1, "optimizer": {**config["optimizer"], "lr": 1}},
        {**config, "lam": 1.0, "optimizer": {**config["optimizer"], "lr": 1.0}},
        {**config, "lam": None, "optimizer": long},
        {**config, "optimizer": {**long, "note": long["note"] + "."}},
        dict(reversed(config.items())),
        {**config, "further": {"a": []}},
    ]
    trials = {f"{i:016x}": one for i, one in enumerate(configs)}
    for indent in (None, 1):
        path.write_text(json.dumps({**content, "trials": trials, "stacks": []}, indent=indent))
        read = read_manifest(store, path.parent.name).trials
        assert [json.dumps(one) for one in read.values()] == [json.dumps(one) for one in configs]


@pytest.mark.parametrize("wrong", ["dataset", "seed"])
def test_a_wrong_trial_is_named(store: Store, wrong: str) -> None:
    path = path_of(store)
    content = json.loads(path.read_text())
    trial_id = list(content["trials"])[1]
    content["trials"][trial_id][wrong] = False
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"trials\.{trial_id}\.{wrong}"):
        read_manifest(store, path.parent.name)
    assert irm_sweeps("status", "--results", str(store.root)).code == 2


def test_a_sweep_of_many_paper_files_has_a_name_that_a_file_system_takes(store: Store) -> None:
    label = "+".join(f"bae2021_table{i}" for i in range(1, 41))
    names = [sweep_name(label, ids) for ids in (["0" * 16], ["1" * 16])]
    assert len({*names}) == 2, "the digest of the trials is not what is cut"
    for name in names:
        (store.root / "sweeps" / name).mkdir()
        assert name.startswith("bae2021_table1_bae2021_table2_")
    assert sweep_name("bae2021_table1+lin2021", ["0" * 16]) == "bae2021_table1_lin2021-fcdb4b42"


def test_a_launch_that_leaves_trials_to_others_says_so(store: Store) -> None:
    """This process holds a claim on the one trial that is left, as another worker would."""
    trial_id, _ = store.trial_ids()
    (store.folder(trial_id) / "result.json").unlink()
    claim = claims.acquire(store, trial_id, "another", 20, 1)
    assert claim is not None
    again = ["-m", f"results={store.root}", *SMALL, "seed=0,1"]
    answer = launch(*again)
    assert "0 completed" in answer.out
    assert answer.complaint.startswith(
        "error: 1 trial of this sweep without a result: other workers are at work on 1 of them; how far it is: "
    )
    claim.release(0)
    assert launch(*again).code == 0
