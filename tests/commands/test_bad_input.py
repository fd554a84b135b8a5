"""User mistakes: one clear line on stderr, exit code 2, no stack trace, and no lost data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from commands import ROGUE, ROOT, SMALL, SUPPORT, Desk, irm_sweeps, launch


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


MISTAKES = {
    "lmbda=3": "unknown key `lmbda` (did you mean `lam`?)",
    "method=irm": "method=irm: no such method (did you mean `irmv1`?); choose from",
    "lam=-1": "lam=-1: input should be greater than or equal to 0",
    "lam=abc": "lam='abc': input should be a valid number",
    "lam=null method=irmv1": "lam=null: this method needs a penalty weight",
    "~lam": "`lam` is missing",
    "~backbone": "~backbone: every trial has a backbone: choose another one, backbone=NAME",
    "seed=-1": "seed=-1: input should be greater than or equal to 0",
    "+foo=1": "unknown key `foo`",
    "method=null": "must be a string",
    "dataset.n_trian=3": "unknown key `dataset.n_trian` (did you mean `dataset.n_train`?)",
    "dataset.n_train=3000": "dataset.n_train=3000 + dataset.n_val=0 exceeds the 2000 images",
    "objective=nonsense": "objective=nonsense: write auto or RULE:SPLIT/ENVIRONMENT/METRIC",
    "device=tpu": "device=tpu: choose auto, cpu, cuda or cuda:N",
    "device=cuda:9": "device=cuda:9: this machine shows",
    "stack=0": "stack=0: give auto, or a whole number from 1 on",
    "stack=many": "stack='many': give auto, or a whole number from 1 on",
    "rerun=never": "rerun='never': input should be 'missing', 'failed', 'changed' or 'all'",
    "method._target_=nowhere.Method": "method._target_='nowhere.Method' cannot be imported",
    "method._target_=rogue.STEP_SECONDS": "is not a Method: subclass irm_sweeps.methods.method.Method",
    "paper=demo": "paper=demo is a sweep: python launch.py -m",
    "results=/proc/here": "cannot create /proc/here",
    f"results={__file__}/here": "Not a directory",
}

SWEEPING_MISTAKES = {
    "lmbda=3,4": "unknown key `lmbda` (did you mean `lam`?)",
    "lam=interval(1,2)": "lam=interval(1,2): an interval needs a searching sweeper, e.g. hydra/sweeper=optuna",
    "method=irmv1,vrex method.aneal=2": "unknown key `method.aneal` (did you mean `method.anneal`?)",
    "lam=1,-1": "lam=-1: input should be greater than or equal to 0",
    "paper=nope": "paper=nope: no such paper; choose from bae2021, bae2021_figure10",
    "paper=demo paper.only=[ermm]": "no row 'ermm' (did you mean `erm`?); rows: erm, irmv1",
    "paper=demo method.anneal=3": "demo, row erm: unknown key `method.anneal`",
    "paper=demo seed=range(3,0)": "demo, row erm: seed=range(3,0): range(3,0) is empty",
    "paper=my_conf/paper/next.yaml": "paper=my_conf/paper/next.yaml: a paper file is chosen by its name, next, and",
    "seed=range(3,0)": "seed=range(3,0): range(3,0) is empty",
    "lam=1;2": "'lam=1;2' cannot be read: write lam=1,2",
    "optimizer.lr=loguniform(1,2)": "optimizer.lr=loguniform(1,2): there is no loguniform(...); a list is 1,10,100",
    "lam=(1": "'lam=(1' cannot be read: extraneous input '('",
    "paper=demo method=irm": "method=irm: no such method (did you mean `irmv1`?)",
    "hydra/launcher=local hydra.launcher.slots=0": "hydra.launcher.slots=0: must be a whole number of at least 1",
    "hydra/launcher=local hydra.launcher.slotz=1": "unknown key `hydra.launcher.slotz`",
    "device=cuda:9": "device=cuda:9: this machine shows",
    "hydra/launcher=basic": "cannot run a sweep of irm_sweeps: use hydra/launcher=local, inprocess or slurm",
    "hydra/launcher=nope": "hydra/launcher=nope: no such hydra/launcher; choose from",
    "results=a,b": "one value for all trials",
    "objective=nonsense": "objective=nonsense: write auto or RULE:SPLIT/ENVIRONMENT/METRIC",
    "seed=range(0,3": "range(0,3",
    "seed=0..3": "; several values are a sweep: -m 'seed=range(0,3)' (without 3), or seed=0,3",
    "seed=0-3": "-m 'seed=range(0,3)' (without 3)",
    "seed=0:3": "-m 'seed=range(0,3)' (without 3)",
    "seed=[0,1]": "seed=[0, 1]: input should be a valid integer; several values are a sweep: -m seed=0,1",
    "method=irmv1 lam=[1,10]": "; several values are a sweep: -m lam=1,10",
    "method=irmv1 lam=1e2:1e4": "; several values are a sweep: -m lam=1e2,1e4",
    "training.steps=10-20": "-m 'training.steps=range(10,20)' (without 20), or training.steps=10,20",
    "optimizer.lr=[0.1,0.01]": "; several values are a sweep: -m optimizer.lr=0.1,0.01",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_trial(mistake: str, results: Path) -> None:
    own = [override for override in SMALL if not override.startswith(f"{mistake.partition('=')[0]}=")]
    answer = launch(*([] if "results=" in mistake else [f"results={results}"]), *own, *mistake.split())
    assert MISTAKES[mistake] in answer.complaint
    assert not list(results.glob("*/result.json"))


@pytest.mark.parametrize("mistake", SWEEPING_MISTAKES)
def test_a_sweep(mistake: str, results: Path) -> None:
    own = [] if "paper=" in mistake else [o for o in SMALL if o.partition("=")[0] not in mistake]
    answer = launch("-m", *([] if "results=" in mistake else [f"results={results}"]), *own, *mistake.split())
    assert SWEEPING_MISTAKES[mistake] in answer.complaint
    assert not results.exists()


@pytest.mark.parametrize("override", ["seed=a", "seed=-1", "seed=[a]", "checkpoint_seconds=1..3"])
def test_no_sweep_is_suggested_where_none_is_meant(override: str, results: Path) -> None:
    answer = launch("-m", f"results={results}", *SMALL, override)
    assert f"{override.partition('=')[0]}=" in answer.complaint
    assert "sweep" not in answer.complaint


def test_a_real_process_prints_one_line_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    single = desk.start("lmbda=3", f"results={desk.results}")
    sweep = desk.start("-m", "lam=1,abc", f"results={desk.results}")
    assert desk.answer(single).complaint == "error: unknown key `lmbda` (did you mean `lam`?)"
    assert "lam='abc': input should be a valid number" in desk.answer(sweep).complaint
    assert not desk.results.exists()


def test_help_reads_like_documentation() -> None:
    shown = subprocess.run([sys.executable, "launch.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "python launch.py -m" in shown.stdout


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut short"], ids=["missing", "empty", "cut short"])
@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["trial", "sweep"])
def test_mnist_that_cannot_be_read(
    content: bytes | None, mode: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    data = tmp_path / "data"
    data.mkdir()
    if content is not None:
        (data / "mnist.npz").write_bytes(content)
    answer = launch(*mode, f"results={tmp_path / 'r'}", f"data_dir={data}", "dataset.source=auto")
    told = "mnist.npz" if content is None else f"{data / 'mnist.npz'} is damaged"
    assert told in answer.complaint
    assert not list(tmp_path.glob("r/*/result.json"))


def test_mnist_without_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(3))
    answer = launch(f"results={tmp_path / 'r'}", f"data_dir={tmp_path}", "dataset.source=auto")
    assert "lacks the arrays ['y_train', 'x_test', 'y_test']" in answer.complaint


def test_a_result_cut_short_is_named_set_aside_and_made_again(results: Path) -> None:
    sweep = ["-m", f"results={results}", *SMALL, "seed=0,1"]
    assert launch(*sweep).code == 0
    damaged, intact = sorted(results.glob("*/result.json"))
    whole, other = damaged.read_bytes(), intact.read_bytes()
    damaged.write_bytes(whole[:100])

    told = launch(*sweep, "plan=true")
    assert "1 done, 1 to run" in told.out
    assert told.err.startswith(f"damaged, will be set aside and run again: {damaged}")
    assert damaged.read_bytes() == whole[:100], "a plan changes nothing"
    shown = irm_sweeps("show", damaged.parent.name, "--results", str(results))
    assert "issue the sweep's command again" in shown.complaint

    again = launch(*sweep)
    assert again.code == 0
    assert "1 completed" in again.out
    assert (damaged.parent / "result.damaged.1.json").read_bytes() == whole[:100]
    assert intact.read_bytes() == other
    assert json.loads(damaged.read_text())["metrics"] == json.loads(whole)["metrics"]


def test_a_users_method_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Path) -> None:
    (tmp_path / "broken_method.py").write_text("import nothing_of_this_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    answer = launch(f"results={results}", *SMALL, "method._target_=broken_method.Mine")
    assert "method._target_='broken_method.Mine' cannot be imported: No module named 'nothing" in answer.complaint


def test_a_users_method_with_a_wrong_value(results: Path) -> None:
    assert str(SUPPORT) in sys.path
    answer = launch(f"results={results}", *ROGUE, "method.deed=dance")
    assert "method.deed='dance': input should be 'none', 'raise', 'kill' or 'lose'" in answer.complaint


def test_irm_sweeps_names_what_it_does_not_find(results: Path) -> None:
    assert "no such directory" in irm_sweeps("status", "--results", str(results)).complaint
    results.mkdir()
    where = ["--results", str(results)]
    assert "no sweep has been launched" in irm_sweeps("status", *where).complaint
    assert launch("-m", f"results={results}", *SMALL, "seed=0").code == 0
    for command in (["status", "sweet"], ["work", "sweet"], ["failures", "sweet"], ["cancel", "sweet"]):
        assert "sweep 'sweet': no such sweep" in irm_sweeps(*command, *where).complaint
    for command in (["show", "zz"], ["logs", "zz"]):
        assert "ID 'zz': no trial starts with it" in irm_sweeps(*command, *where).complaint
    (manifest,) = results.glob("sweeps/*/manifest.json")
    manifest.write_text("{")
    assert "issue the sweep's command again" in irm_sweeps("status", *where).complaint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_results_that_may_not_be_written(results: Path) -> None:
    results.mkdir(mode=0o500)
    assert "cannot be written: Permission denied" in launch(f"results={results}", *SMALL).complaint
