"""Shell completion: the candidates of the Tab key, requested as a shell does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from commands import ROOT


def offered(line: str, answer: Path, folder: Path = ROOT) -> set[str]:
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " ",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    subprocess.run([sys.executable, "-m", "irm_sweeps"], cwd=folder, env=environment, check=True, timeout=120)
    return {word.strip() for word in answer.read_text().splitlines()}


METHODS = {path.stem for path in (ROOT / "conf" / "method").glob("*.yaml")}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("irm-sweeps repro", {"reproduce"}),
        ("irm-sweeps launch method=", {f"method={name}" for name in METHODS}),
        ("irm-sweeps launch -m method=erm,irm", {f"method=erm,{name}" for name in METHODS if name.startswith("irm")}),
        ("irm-sweeps launch method=irmv1 method.an", {"method.anneal="}),
        ("irm-sweeps launch -m seed=0,1 method=irmv1,vrex method.an", {"method.anneal="}),
        ("irm-sweeps launch -m 'method=choice(vrex,irmv1)' dataset=linear_unit_tests method.an", {"method.anneal="}),
        ("irm-sweeps launch -m method=irmv1,erm method.an", set()),
        (
            "irm-sweeps launch -m method=irmv1,vrex backbone=resnet18,resnet50 backbone.weights_p",
            {"backbone.weights_path="},
        ),
        ("irm-sweeps launch -m optimizer=sgd,sgd lam=1,2 optimizer.mo", {"optimizer.momentum="}),
        ("irm-sweeps launch -m logger=tensorboard,mlflow logger._t", {"logger._target_="}),
        ("irm-sweeps table --paper lin2021_", {"lin2021_small", "lin2021_table1", "lin2021_table2"}),
        ("irm-sweeps table --paper bae2021 --table 1 --against m", {"mm_rex", "meta_irm"}),
    ],
)
def test_it_offers(line: str, expected: set[str], tmp_path: Path) -> None:
    assert offered(line, tmp_path / "answer") == expected


@pytest.mark.parametrize("typed", ["", "-m ", "method=irmv1 "])
def test_before_a_word_is_begun_it_offers_every_key(typed: str, tmp_path: Path) -> None:
    assert {"method=", "dataset=", "lam="} <= offered(f"irm-sweeps launch {typed}", tmp_path / "answer")


def test_it_offers_choices_of_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's [my], own"
    (folder / "conf" / "method").mkdir(parents=True)
    shutil.copy(ROOT / "conf" / "method" / "vrex.yaml", folder / "conf" / "method" / "vrex_mine.yaml")
    assert offered("irm-sweeps launch method=vrex_", tmp_path / "answer", folder) == {"method=vrex_mine"}
    assert offered("irm-sweeps launch method=vrex_mine method.an", tmp_path / "answer", folder) == {"method.anneal="}


def test_it_offers_what_a_store_below_the_home_folder_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell hands over `~` as it was typed."""
    sweep = tmp_path / "kept" / "sweeps" / "demo-0123abcd"
    sweep.mkdir(parents=True)
    (sweep / "manifest.json").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert offered("irm-sweeps status --results ~/kept d", tmp_path / "answer") == {"demo-0123abcd"}


def test_it_loads_nothing_heavy(tmp_path: Path) -> None:
    """It is asked at every press of the key."""
    code = (
        "import argparse, sys\n"
        "from irm_sweeps import cli\n"
        "from irm_sweeps.commands import completers\n"
        "cli.parser(completing=True)\n"
        "assert 'method=erm' in completers.overrides('method=', argparse.Namespace(overrides=[]))\n"
        "assert not {'torch', 'pandas', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=120)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str) -> None:
    command = [sys.executable, "-m", "irm_sweeps", "completion", shell]
    script = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "irm-sweeps" in script
    assert "_ARGCOMPLETE" in script


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
def test_a_zsh_without_any_completion_takes_it() -> None:
    code = f'eval "$({sys.executable} -m irm_sweeps completion)"; print -- $_comps[irm-sweeps]'
    done = subprocess.run(["zsh", "-f", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "_python_argcomplete"
    assert not done.stderr


def test_launch_py_completes_through_hydra() -> None:
    """`eval "$(python launch.py -sc install=bash)"` makes bash ask so."""
    line = "python launch.py method=ir"
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": str(len(line))}
    command = [sys.executable, "launch.py", "-sc", "query=bash"]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == sorted(f"method={name}" for name in METHODS if name.startswith("ir"))
