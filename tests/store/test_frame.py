"""`irm_sweeps.load_results`: all numbers of a store in a typed data frame."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pytest

import irm_sweeps
import synthetic_store as synthetic
from commands import SMALL, launch
from irm_sweeps.errors import UserError
from irm_sweeps.store.frame import TYPES
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.labels import setting_labels

DOCS = Path(__file__).parents[2] / "docs"


pytestmark = pytest.mark.usefixtures("composed_once")


def by_seed(trial, environment):
    return 0.5 + 0.01 * float(environment) + 0.1 * trial.seed


@pytest.fixture
def store(demo, tmp_path):
    """Three rows of a paper; of IRMv1 one trial diverged and one failed."""
    root = tmp_path / "results"
    synthetic.fill(root, demo, "erm", by_seed)
    synthetic.fill(root, demo, "vrex", by_seed)
    a, b, _ = synthetic.trials_of(demo, "irmv1")
    synthetic.write(root, synthetic.diverged(a, 120), synthetic.failed(b, "RuntimeError: no luck"))
    return root


def test_a_row_is_a_trial_under_a_rule_in_an_environment(store, demo):
    frame = irm_sweeps.load_results(store)
    assert len(frame) == 6 * 2 * (2 + 9) + 2
    trial = synthetic.trials_of(demo, "vrex")[2]
    row = frame.query(f"trial_id == '{trial.id}' and rule == 'last' and split == 'test' and environment == '0.9'")
    assert len(row) == 1
    (row,) = row.to_dict("records")
    assert row["accuracy"] == pytest.approx(by_seed(trial, "0.9"), rel=1e-15)
    assert (row["risk"], row["step"], row["seed"], row["lam"]) == (0.5, 300, 2, 10000)
    assert (row["dataset"], row["backbone"], row["method"], row["optimizer"]) == (
        "colored_mnist",
        "mlp",
        "vrex",
        "adam",
    )
    assert (row["setting"], row["method._target_"]) == ("vrex lam=10000", "irm_sweeps.methods.rex.VREx")
    assert (row["training.steps"], row["optimizer.lr"], row["backbone.width"]) == (300, 0.001, 64)
    assert row["dataset.p_e"] == "[0.2, 0.1]"
    assert row["status"] == "completed"
    assert row["store"] == str(store)


def test_a_swept_key_keeps_its_default(tmp_path):
    """Also of a result that was stored without the fields at their default."""
    swept = list(trials(["method=erm", "dataset.noise_gap=0,0.1", "seed=0,1"]).values())
    results = [synthetic.completed(trial, by_seed) for trial in swept]
    results[0]["config"] = swept[0].canonical
    synthetic.write(tmp_path, *results)
    frame = irm_sweeps.load_results(tmp_path)
    assert frame.groupby("dataset.noise_gap")["seed"].agg(set).to_dict() == {0.0: {0, 1}, 0.1: {0, 1}}
    assert frame.groupby("setting")["seed"].agg(set).to_dict() == {
        "erm noise_gap=0": {0, 1},
        "erm noise_gap=0.1": {0, 1},
    }


def test_a_setting_is_named_as_the_trials_of_a_sweep_are(demo, tmp_path):
    every = [trial for row in demo.rows for trial in synthetic.trials_of(demo, row)]
    synthetic.write(tmp_path, *(synthetic.completed(trial, by_seed) for trial in every))
    frame = irm_sweeps.load_results(tmp_path).drop_duplicates("trial_id").set_index("trial_id")
    assert frame["setting"].to_dict() == setting_labels({trial.id: trial for trial in every})
    assert frame.groupby("setting")["seed"].agg(set).tolist() == [{0, 1, 2}] * 4


def test_a_setting_does_not_say_where_its_weights_lie(tmp_path):
    deep = ["dataset=cifar_mnist", "backbone=resnet18", "method=erm", "backbone.weights=imagenet"]
    for seed, place in enumerate(("/here/r.pth", "/there/r.pth")):
        (trial,) = trials([*deep, f"backbone.weights_path={place}", f"seed={seed}"]).values()
        synthetic.write(tmp_path, synthetic.completed(trial, by_seed))
    assert set(irm_sweeps.load_results(tmp_path)["setting"]) == {"erm"}


def test_a_method_without_penalty_has_no_lam(store):
    frame = irm_sweeps.load_results(store)
    assert frame.loc[frame["method"] == "erm", "lam"].isna().all()
    assert set(frame.loc[frame["method"] == "vrex", "lam"]) == {10000}


def test_lost_trials_are_there_with_their_reason(store):
    frame = irm_sweeps.load_results(store).set_index("status")
    assert frame.loc["diverged", "diverged_at"] == 120
    assert frame.loc["failed", "error"] == "RuntimeError: no luck"
    for status in ("diverged", "failed"):
        assert frame.loc[status, ["rule", "split", "environment", "risk", "accuracy"]].isna().all()


def test_columns_have_types_in_a_full_store_and_in_an_empty_one(store, tmp_path):
    (tmp_path / "empty").mkdir()
    for root in (store, tmp_path / "empty"):
        frame = irm_sweeps.load_results(root)
        assert list(frame.columns[: len(TYPES)]) == list(TYPES)
        for name, kind in TYPES.items():
            assert frame[name].dtype == pd.Series([], dtype=kind).dtype or kind == "category", name
    frame = irm_sweeps.load_results(store)
    kinds = {"method.anneal": "Int64", "dataset.grayscale": "boolean", "optimizer.lr": "float64"}
    assert {name: str(frame[name].dtype) for name in kinds} == kinds
    assert not [name for name in frame.columns if frame[name].dtype == object]


def test_a_column_of_several_kinds_is_json_text(demo, tmp_path):
    a, b, _ = synthetic.trials_of(demo, "erm")
    other = synthetic.completed(b, by_seed)
    other["config"] = {**other["config"], "training": {**other["config"]["training"], "precision": 32}}
    synthetic.write(tmp_path / "results", synthetic.completed(a, by_seed), other)
    assert set(irm_sweeps.load_results(tmp_path / "results")["training.precision"]) == {"32", '"float32"'}


def test_stores_are_put_together_and_a_completed_result_is_preferred(demo, tmp_path):
    a, b, c = synthetic.trials_of(demo, "erm")
    here, there = tmp_path / "here", tmp_path / "there"
    synthetic.write(here, synthetic.failed(a, "no"), synthetic.completed(b, by_seed))
    synthetic.write(there, synthetic.completed(a, by_seed), synthetic.completed(c, by_seed))
    for order in ((here, there), (there, here)):
        frame = irm_sweeps.load_results(*order)
        assert set(frame["trial_id"]) == {a.id, b.id, c.id}
        assert set(frame["status"]) == {"completed"}
        assert set(frame.loc[frame["trial_id"] == a.id, "store"]) == {str(there)}


def test_damaged_files_are_named_and_left_out(store):
    trial_id = next(r.trial_id for r in Store(store).results())
    (store / trial_id / "result.json").write_text('{"schema": 1')
    with pytest.warns(UserWarning, match=f"left out: 1 damaged result: .*{trial_id}"):
        frame = irm_sweeps.load_results(store)
    assert trial_id not in set(frame["trial_id"])
    assert len(frame.attrs["problems"]) == 1


def test_a_store_below_the_home_folder_is_found(store, monkeypatch):
    monkeypatch.setenv("HOME", str(store.parent))
    assert irm_sweeps.load_results(f"~/{store.name}").equals(irm_sweeps.load_results(store))


@pytest.mark.parametrize("given", [["results"], 3, None])
def test_what_is_no_path_is_an_error(given):
    with pytest.raises(UserError, match=r"is no path: several stores are load_results\(ONE, OTHER\)"):
        irm_sweeps.load_results(given)


def test_a_store_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no such directory"):
        irm_sweeps.load_results(tmp_path / "nowhere")
    with pytest.raises(AttributeError):
        _ = irm_sweeps.load_result


def test_a_real_result_is_read(tmp_path):
    assert launch(f"results={tmp_path}", *SMALL, "seed=3").code == 0
    frame = irm_sweeps.load_results(tmp_path)
    assert set(frame["environment"]) == {"0.1", "0.2", "0.9"}
    assert frame["seconds"].gt(0).all()
    assert set(frame["device"]) == {"cpu"}
    assert set(frame["stack_size"]) == {1}


def test_the_documented_example_runs(store, capsys, monkeypatch):
    monkeypatch.chdir(store.parent)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "notebooks.md").read_text(), re.S)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for block in blocks:
        if "to_parquet" not in block or importlib.util.find_spec("pyarrow"):
            exec(block, names)
    said = capsys.readouterr().out
    assert "RuntimeError: no luck" in said
    assert re.search(r"vrex lam=10000 [^a-z]*0\.9 +60\.9 +10\.0 +3", said)


def test_a_frame_survives_parquet(store, tmp_path):
    pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
    frame = irm_sweeps.load_results(store)
    frame.to_parquet(tmp_path / "results.parquet")
    again = pd.read_parquet(tmp_path / "results.parquet")
    pd.testing.assert_frame_equal(again, frame, check_dtype=False, check_categorical=False)
    assert again.dtypes["seed"] == "int64"
    assert again.dtypes["method.anneal"] == "Int64"
