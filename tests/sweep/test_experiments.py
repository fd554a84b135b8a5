"""`experiment=NAME`: recipes, whose trials are those of the paper files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from irm_sweeps.conf_folders import yamls
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.grid import HydraCache, last_wins, trials
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.trial import Trial

pytestmark = pytest.mark.usefixtures("composed_once")

CACHE = HydraCache()
WEIGHTS = "lam=1,10,100,1000,10000,100000"
LIN2021 = {
    "oracle": ["method=erm", "dataset.oracle=true"],
    "erm": ["method=erm"],
    "irmv1_o": ["method=irmv1", WEIGHTS],
    "irmv1_h": ["method=irmv1", "method.on=hidden", WEIGHTS],
    "rex_o": ["method=vrex", WEIGHTS],
    "rvp_o": ["method=rvp", WEIGHTS],
    "invrat_eb_h": ["method=invrat_eb", "method.emb_dim=64,128,256,512", WEIGHTS],
    "invrat_ec_h": ["method=invrat_ec", WEIGHTS],
}
PAPERS = {
    "bae2021": (480, "04c32feb3324f7e5"),
    "bae2021_figure10": (20, "1c44bc348ea81f28"),
    "bae2021_figure3": (60, "302cb6ae09c41fce"),
    "bae2021_figure4": (120, "cf8c3115eec2667d"),
    "bae2021_figure5": (90, "359ecb6b13eda60a"),
    "bae2021_figure6": (30, "26ab2d9555a71747"),
    "bae2021_figure8": (30, "48c47da03e10bad2"),
    "bae2021_figure9": (20, "79d4f1775ef257af"),
    "bae2021_meta_irm_search": (18, "0b754cc0e9e30951"),
    "bae2021_table1": (60, "302cb6ae09c41fce"),
    "bae2021_table2": (80, "849b9c8f0dce9e2d"),
    "bae2021_table3": (30, "42ffec4186958bff"),
    "bae2021_table4": (30, "48c47da03e10bad2"),
    "bae2021_table5": (40, "79a84b88bcec44fd"),
    "bae2021_table6": (80, "51dac4d9cc96d2a2"),
    "cmnist": (240, "f2354c61cb281e08"),
    "cmnist_01": (70, "a4c956c75b84acd1"),
    "cmnist_common": (672, "3fcb5d1836d20cf9"),
    "demo": (12, "36cd3978bfd74bfb"),
    "lin2021": (960, "b0f51bd7b046fdbc"),
    "lin2021_small": (204, "1996d3baf5de24c2"),
    "lin2021_table1": (816, "90aa7046ff2ba5bd"),
    "lin2021_table2": (288, "e722a594682a5d70"),
    "linear_unit_tests": (1350, "70e664b86822060a"),
    "protocols": (100, "7737316546f8a489"),
    "rich_features": (1500, "3263c6e78bcde84c"),
    "rich_features_table1": (1650, "6cdf7077f2653699"),
}
"""Number of each paper file's trials, and a hash of their ids. A change that is meant is named in CHANGELOG.md."""


def of_paper(name: str, row: str) -> set[str]:
    paper = load_paper(name, CACHE)
    return set(paper.cell_trials(paper.rows[row], paper.columns[0]))


def the_one(*overrides: str) -> Trial:
    (trial,) = trials(overrides).values()
    return trial


def test_every_paper_file_has_the_trials_that_it_had() -> None:
    ids = {path.stem: sorted(load_paper(path.stem, CACHE).all_trials()[0]) for path in yamls("paper")}
    assert {
        name: (len(own), hashlib.sha256("\n".join(own).encode()).hexdigest()[:16]) for name, own in ids.items()
    } == PAPERS


@pytest.mark.parametrize("row", LIN2021)
def test_lin2021_is_the_papers_sweep(row: str) -> None:
    assert set(trials(["experiment=lin2021", "seed=range(0,3)", *LIN2021[row]])) == of_paper("lin2021_table1", row)


@pytest.mark.parametrize("row", ["erm", "irmv1", "mm_rex", "vrex", "meta_irm"])
def test_bae2021_is_the_papers_sweep(row: str) -> None:
    assert set(trials(["experiment=bae2021", "seed=range(0,10)", f"method={row}"])) == of_paper("bae2021_table1", row)


def test_what_is_typed_wins_over_the_recipe() -> None:
    trial = the_one("experiment=bae2021", "method=irmv1", "lam=3", "backbone.width=7", "optimizer=sgd")
    assert (trial.lam, trial.backbone.model_dump()["width"], type(trial.optimizer).__name__) == (3, 7, "SGD")
    assert the_one("experiment=lin2021", "method=erm", "backbone=resnet50").backbone.target.endswith("ResNet50")


def test_typed_steps_replace_the_epochs_of_a_recipe_and_of_a_paper() -> None:
    assert the_one("experiment=lin2021", "method=erm").training.epochs == 100
    training = the_one("experiment=lin2021", "method=erm", "training.steps=7").training
    assert (training.steps, training.epochs) == (7, None)
    assert last_wins(["training.epochs=100"], ["training.steps=7"]) == ["training.steps=7"]
    both = ["training.epochs=1", "training.steps=7"]
    assert last_wins([], both) == both


def test_the_small_one_trains_from_scratch_at_native_resolution() -> None:
    trial = the_one("experiment=lin2021_small", "method=invrat_ec")
    assert trial.dataset.features == (3, 64, 32)
    assert trial.backbone.model_dump()["weights"] == "none"
    assert (trial.training.steps, trial.training.epochs, trial.training.batch_size) == (200, None, 64)
    assert trial.method.model_dump()["anneal"] < 200


@pytest.mark.parametrize("backbone", ["resnet18", "resnet50"])
def test_the_games_of_a_recipe_begin_after_its_epochs(backbone: str) -> None:
    """Two epochs of 79 steps, as its batches do not depend on the backbone; of the small one, half its steps."""
    for experiment, warm_up in (("lin2021", 158), ("lin2021_small", 100)):
        trial = the_one(f"experiment={experiment}", "method=irm_games", f"backbone={backbone}")
        assert trial.method.model_dump()["warm_up"] == warm_up


def test_recipes_may_be_swept() -> None:
    found = trials(["experiment=lin2021_small,bae2021", "method=vrex", "lam=1"])
    assert {type(trial.dataset).__name__ for trial in found.values()} == {"CIFARMNIST", "ColoredMNIST"}


def test_a_recipe_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path))
    folder = tmp_path / "experiment"
    folder.mkdir()
    (folder / "mine.yaml").write_text("# @package _global_\ndefaults: [override /method: vrex]\nseed: 7\n")
    (folder / "wrong.yaml").write_text("seed: 7\n")
    trial = the_one("experiment=mine")
    assert (trial.seed, type(trial.method).__name__) == (7, "VREx")
    assert trial.id == the_one("method=vrex", "seed=7").id
    with pytest.raises(UserError, match="the recipe's first line must be `# @package _global_`"):
        trials(["experiment=wrong"])


def test_a_paper_has_a_recipe_of_its_own() -> None:
    with pytest.raises(UserError, match="experiment=bae2021: the trials of paper=demo have a recipe of their own"):
        collect(["paper=demo", "experiment=bae2021"])
