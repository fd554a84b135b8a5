"""The paper files: each composes, is consistent with the others, and trains, shrunk to a fraction of a second.

A new file in conf/paper/ is tested here without being named.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import torch
import yaml

import small_sst2
from archives import write_archives
from commands import launch
from irm_sweeps.errors import UserError
from irm_sweeps.overrides.launch_line import addressed_to_trials
from irm_sweeps.sweep.grid import last_wins
from irm_sweeps.sweep.metric import parts
from irm_sweeps.sweep.paper import Paper, load_paper
from irm_sweeps.training.loop import Outcome, StackTraining
from irm_sweeps.trial import Trial

FILES = sorted((Path(__file__).parents[2] / "conf" / "paper").glob("*.yaml"))
NAMES = [path.stem for path in FILES]

SHRUNK = {
    "training.steps": 6,
    "training.epochs": None,
    "training.precision": "float32",
    "seed": 0,
    "method.anneal": 2,
    "method.stop_warmup": 0,
    "method.stop_threshold": 1e9,
    "method.stop_below": 1.0,
    "method.reference_steps": 2,
    "method.inference_steps": 2,
    "method.discovery_steps": 1,
    "method.second_discovery_steps": 1,
    "method.synthesis_steps": 2,
    "backbone.width": 8,
    "dataset.source": "embedded",
    "dataset.n_train": 40,
    "dataset.n_test": 20,
    "dataset.resolution": 32,
    "dataset.glove_dim": small_sst2.DIM,
    "backbone.weights": "none",
    "method.emb_dim": 4,
}
"""What makes any trial of a paper file quick, where the trial has such a key."""


OUTCOMES: dict[str, Outcome] = {}
"""What the trainings of shrunk trials have come to, by trial."""

pytestmark = pytest.mark.usefixtures("composed_once")


@functools.cache
def paper_of(name: str) -> Paper:
    return load_paper(name)


@functools.cache
def trials_of(name: str) -> dict[str, Trial]:
    trials, lacking = paper_of(name).all_trials()
    assert not lacking
    return trials


SINGLE = [name for name in NAMES if not yaml.safe_load((FILES[NAMES.index(name)]).read_text()).get("include")]
UNIONS = [name for name in NAMES if name not in SINGLE]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_named_as_it_is_asked_for(name: str) -> None:
    paper = paper_of(name)
    assert paper.name == name
    assert not paper.only
    assert paper.title
    assert trials_of(name)


@pytest.mark.parametrize("name", SINGLE)
def test_its_columns_can_be_read(name: str) -> None:
    """Their metrics are metrics, and published cells fit the columns (which `Paper` checks)."""
    paper = paper_of(name)
    for column in paper.columns:
        parts(column.metric)
    if any(row.published for row in paper.rows.values()):
        assert paper.source


@pytest.mark.parametrize("name", SINGLE)
def test_seeds_are_as_many_as_published(name: str) -> None:
    """So that what is compared are means of equally many trials."""
    paper = paper_of(name)
    if paper.published_n is None:
        pytest.skip("the paper does not say of how many")
    for row in paper.rows.values():
        if row.sweep is None or not any(row.published):
            continue
        for column in paper.columns:
            seeds = [trial.seed for trial in paper.cell_trials(row, column).values()]
            assert sorted(set(seeds)) == list(range(paper.published_n or 0)), row.label


def shrunk(trial: Trial) -> Trial:
    """The trial with tiny data, network and length; everything that makes it what it is stays."""
    values = trial.model_dump(mode="json", by_alias=True)
    for key, value in SHRUNK.items():
        *path, leaf = key.split(".")
        node = functools.reduce(dict.__getitem__, path, values)
        if leaf in node:
            node[leaf] = value
    if values["training"]["evaluate_every"]:
        values["training"]["evaluate_every"] = 2
    if values["dataset"].get("n_val"):
        values["dataset"]["n_val"] = 8
    if values["training"]["batch_size"]:  # deep: two environments, three steps, few images
        values["training"] |= {"batch_size": 8, "steps": 3}
    if "correlations" in values["dataset"]:
        values["dataset"] |= {"envs": 2, "correlations": None, "n_train": 16, "n_test": 8}
    for section, key in (("backbone", "head_hidden"), ("method", "hidden_dim")):
        if values[section].get(key):
            values[section][key] = 8
    return Trial.from_config({**values})


@pytest.mark.parametrize("name", SINGLE)
def test_its_trials_train_and_fill_their_cells(name: str, data_dir: Path) -> None:
    """Of several files' trials that are equal when they are shrunk, one is trained."""
    paper = paper_of(name)
    for row in paper.rows.values():
        if row.sweep is None:
            continue
        for column in paper.columns:
            first = shrunk(next(iter(paper.cell_trials(row, column).values())))
            if first.id not in OUTCOMES:
                (OUTCOMES[first.id],) = StackTraining([first], data_dir, torch.device("cpu")).run()
            scores = OUTCOMES[first.id].metrics[row.select or paper.select]["scores"]
            split, environment, measure = parts(column.metric)
            of = scores[split] if environment == "mean" else {environment: scores[split][environment]}
            assert all(own[measure] is not None for own in of.values()), (row.label, column.metric)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small files of the published form for the datasets that have no embedded source."""
    return write_archives(small_sst2.write(tmp_path_factory.mktemp("data")))


def test_what_papers_share_is_trained_once() -> None:
    """Rows that repeat another file's trial repeat all of it: the same ids."""
    shared = [
        ("bae2021_figure3", "bae2021_table1", 60),
        ("bae2021_figure8", "bae2021_table4", 30),
        ("bae2021_table5", "bae2021_table1", 10),
        ("bae2021_figure4", "bae2021_table1", 20),
        ("bae2021_figure5", "bae2021_table1", 30),
        ("bae2021_figure5", "bae2021_table3", 30),
        ("bae2021_figure6", "bae2021_figure5", 30),
        ("cmnist", "bae2021_table1", 60),
        ("rich_features_table1", "rich_features", 1500),
    ]
    for one, other, count in shared:
        assert len(trials_of(one).keys() & trials_of(other).keys()) == count, (one, other)


def test_deep_trials_are_priced_by_kind() -> None:
    """They train alone, but those that differ in seed and lam only cost the same."""
    trials = list(trials_of("lin2021_table1").values())
    assert len({trial.stack_key for trial in trials}) == len(trials) == 816
    assert len({trial.kind for trial in trials}) == 4 * (9 + 4)
    shallow = list(trials_of("bae2021_table1").values())
    assert all(trial.kind == trial.stack_key for trial in shallow)


# Unions.


@pytest.mark.parametrize("name", UNIONS)
def test_a_union_has_every_trial_of_its_files_once(name: str) -> None:
    paper = paper_of(name)
    assert set(paper.include) == {other for other in NAMES if re.match(rf"{name}_(table|figure)\d+$", other)}
    assert trials_of(name).keys() == set().union(*(trials_of(other).keys() for other in paper.include))


@pytest.mark.usefixtures("unpriced")
def test_a_union_takes_overrides_and_a_choice_of_its_files(tmp_path: Path) -> None:
    answer = launch(
        "-m",
        "paper=bae2021",
        "paper.only=[bae2021_table1,bae2021_table5]",
        "seed=0,1",
        f"results={tmp_path}",
        "plan=true",
        "dataset.source=embedded",
        "dataset.n_train=40",
        "dataset.n_val=10",
    )
    assert answer.code == 0, answer
    assert "0 done, 18 to run" in answer.out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"only": ["bae2021_tabel1"]}, "no file 'bae2021_tabel1' (did you mean `bae2021_table1`?)"),
        (
            {"rows": {"erm": {"label": "ERM"}}, "columns": [{"label": "x", "metric": "a/b/risk"}]},
            "give rows and columns",
        ),
        ({"include": []}, "give rows and columns"),
    ],
)
def test_what_is_wrong_with_a_union_is_said(changes: dict[str, object], words: str) -> None:
    values = {"name": "bae2021", "title": "all", "include": ["bae2021_table1"], **changes}
    with pytest.raises(UserError, match=re.escape(words)):
        Paper.from_config(values)


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ({"kind": "number"}, "`x` goes with kind=number"),
        ({"kind": "history", "x": "lam", "quantity": "penalty"}, "`x` goes with kind=number"),
        ({"quantity": "penalty"}, "`quantity` goes with kind=history"),
        ({"kind": "pie"}, "'environments', 'number', 'history' or 'bars'"),
    ],
)
def test_what_is_wrong_with_a_figure_is_said(figure: dict[str, str], words: str) -> None:
    values = paper_of("demo").model_dump()
    with pytest.raises(UserError, match=re.escape(words)):
        Paper.from_config({**values, "figure": {"label": "x", **figure}})


def test_a_cells_overrides_are_the_papers_then_the_rows() -> None:
    paper = paper_of("bae2021_figure4")
    overrides = paper.cell_overrides(paper.rows["meta_irm"], paper.columns[2], ["seed=3"])
    assert overrides == last_wins(overrides)
    assert {"dataset.noise_gap=0.02", "seed=3", "lam=0.7"} <= set(overrides)


def test_fields_of_the_rows_choices_can_be_set(tmp_path: Path) -> None:
    """The default dataset has no such field; that of the paper's rows has."""
    common = ["-m", "paper=bae2021_table6", "paper.only=[erm,grayscale]", "seed=0", f"results={tmp_path / 'results'}"]
    own = [f"data_dir={small_sst2.write(tmp_path)}", f"dataset.glove_dim={small_sst2.DIM}", "training.steps=3"]
    answer = launch(*common, *own, "device=cpu")
    assert answer.code == 0, answer
    assert "2 completed" in answer.out + answer.err
    assert (
        "unknown key `dataset.glove_dmi` (did you mean `dataset.glove_dim`?)"
        in launch(*common, "dataset.glove_dmi=8").complaint
    )


@pytest.mark.parametrize(
    ("typed", "passed"),
    [
        (["-m", "method=erm", "dataset.n_val=3"], ["-m", "method=erm", "dataset.n_val=3"]),
        (["paper=demo", "dataset.n_val=3", "lam=1,2"], ["paper=demo", "++dataset.n_val=3", "lam=1,2"]),
        (
            ["paper=demo", "paper.only=[erm]", "hydra.launcher.slots=2"],
            ["paper=demo", "++paper.only=[erm]", "hydra.launcher.slots=2"],
        ),
        (
            ["paper=demo", "+method.deed=none", "method._target_=a.B"],
            ["paper=demo", "+method.deed=none", "++method._target_=a.B"],
        ),
    ],
)
def test_which_overrides_a_paper_is_left_to_judge(typed: list[str], passed: list[str]) -> None:
    assert addressed_to_trials(typed) == passed
