"""A user's YAML given by its path, and the Python file that it names, on any machine that runs the trial."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from commands import ROOT, SMALL, launch
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.paper import Paper
from irm_sweeps.trial import GROUPS, Trial

OWN_METHOD = '''
from irm_sweeps.methods.rex import VREx


class Mine(VREx):
    """V-REx by another name."""
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, from which commands are typed: V-REx with an anneal of its own, and an own class."""
    values = yaml.safe_load((ROOT / "conf" / "method" / "vrex.yaml").read_text())
    (tmp_path / "my.yaml").write_text(yaml.safe_dump({**values, "anneal": 3}))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**values, "_target_": "own_mine.Mine"}))
    (tmp_path / "own_mine.py").write_text(OWN_METHOD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def vrex(*overrides: str) -> str:
    return Trial.from_config(compose(["method=vrex", "method.anneal=3", *overrides])).id


@pytest.mark.parametrize("written", ["my.yaml", "./my.yaml", "{folder}/my.yaml", "{folder}/../{name}/my.yaml"])
def test_a_path_is_a_choice(written: str, folder: Path) -> None:
    """Its trial is that of the values; where they are written is no part of it."""
    path = written.format(folder=folder, name=folder.name)
    assert Trial.from_config(compose([f"method={path}"])).id == vrex()
    assert Trial.from_config(compose([f"method={path}", "method.anneal=8"])).method.anneal == 8  # type: ignore[attr-defined]
    assert Trial.from_config(compose([f"method={path}", "protocol=released"])).id == vrex()


def test_every_group_of_a_trial_takes_one(folder: Path) -> None:
    assert set(COMPONENTS) == set(GROUPS)
    for group, name in {"dataset": "linear_unit_tests", "backbone": "mlp", "optimizer": "sgd"}.items():
        (folder / f"{group}.yaml").write_text((ROOT / "conf" / group / f"{name}.yaml").read_text())
        one, other = (Trial.from_config(compose([f"{group}={choice}"])) for choice in (f"{group}.yaml", name))
        assert one.id == other.id


def test_numbers_are_read_as_in_the_package_s_yaml(folder: Path) -> None:
    text = (folder / "my.yaml").read_text().replace("weight_before_anneal: 1.0", "weight_before_anneal: 1e-3")
    (folder / "my.yaml").write_text(text)
    assert compose(["method=my.yaml"])["method"]["weight_before_anneal"] == 0.001


def test_it_is_the_package_s_only_by_name(folder: Path) -> None:
    (folder / "erm.yaml").write_text((folder / "my.yaml").read_text())
    assert Trial.from_config(compose(["method=./erm.yaml"])).id == vrex()
    assert Trial.from_config(compose(["method=erm"])).id != vrex()


def test_sweeps_and_paper_files_take_it(folder: Path) -> None:
    found = trials([f"method=erm,{folder}/my.yaml,irmv1", "lam=1,2"])
    assert len(found) == 5
    assert {vrex("lam=1"), vrex("lam=2")} < set(found)
    paper = Paper.from_config(
        {
            "name": "own",
            "title": "",
            "source": "",
            "select": "last",
            "sweep": ["lam=1"],
            "rows": {"mine": {"label": "Mine", "sweep": [f"method={folder}/my.yaml"]}},
            "columns": [{"label": "", "metric": "test/0.9/accuracy"}],
        }
    )
    assert paper.all_trials() == ({vrex("lam=1"): next(iter(trials(["method=my.yaml", "lam=1"]).values()))}, {})


def test_the_command_line_takes_it(folder: Path) -> None:
    alone = launch(*SMALL, "method=./my.yaml", "lam=3")
    assert (alone.code, alone.err) == (0, "")
    for path in (f"{folder}/my.yaml", f"../{folder.name}/my.yaml", f"./../{folder.name}/my.yaml"):
        swept = launch("-m", *SMALL, f"method=erm,{path}", "lam=3", "plan=true")
        assert swept.out.startswith("1 done, 1 to run")
        assert launch(*SMALL, f"method={path}", "lam=3").out.startswith("done before")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "method={path}: cannot be read: No such file or directory"),
        ("lam: 3", "method={path} has no `_target_`: it must name a class"),
        ("- a list", "method={path} has no `_target_`: it must name a class"),
        ("", "method={path} has no `_target_`: it must name a class"),
        ("a: [", "method={path}: not YAML: while parsing"),
        ("_target_: nowhere.Mine", "method._target_='nowhere.Mine' cannot be imported"),
        ("_target_: irm_sweeps.methods.irmv1.IRMv1\non: hidden", "not a word: quote it in the YAML"),
    ],
)
def test_a_mistake_is_one_clear_line(content: str | None, complaint: str, folder: Path) -> None:
    path = folder / "wrong.yaml"
    if content is not None:
        path.write_text(content)
    for arguments in (["method=wrong.yaml"], ["-m", f"method=erm,{path}"]):
        assert complaint.format(path=path) in launch(*arguments, *SMALL, "results=results").complaint
    assert not (folder / "results").exists()
    with pytest.raises(UserError):
        Trial.from_config(compose([f"method={path}"]))


def process(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_workers_import_what_lies_where_the_command_was_typed(folder: Path, tmp_path_factory) -> None:
    """Those that the command starts, and one that joins from another folder; the class is in no package."""
    elsewhere, results = tmp_path_factory.mktemp("elsewhere"), folder / "results"
    command = [sys.executable, str(ROOT / "launch.py"), "-m", *SMALL, "method=./mine.yaml", "lam=1,2"]
    first = process(folder, *command, "hydra.launcher.slots=1", f"results={results}")
    assert first.returncode == 0, first.stdout + first.stderr
    done = sorted(results.glob("*/result.json"))
    assert len(done) == 2
    done[0].unlink()
    (sweep,) = (path.name for path in (results / "sweeps").iterdir())
    worker = str(Path(sys.executable).parent / "irm-sweeps")
    untrusting = process(elsewhere, worker, "work", sweep, "--results", str(results))
    assert untrusting.returncode == 2
    assert "needs own_mine.Mine, which is not of irm_sweeps" in untrusting.stderr
    joined = process(elsewhere, worker, "work", sweep, "--results", str(results), "--trust")
    assert joined.returncode == 0, joined.stdout + joined.stderr
    assert '"status": "completed"' in done[0].read_text()
