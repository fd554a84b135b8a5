"""What a newcomer types in the first minutes: slips of the hand, nothing run yet, another folder."""

from __future__ import annotations

from pathlib import Path

import pytest

import tables
from commands import irm_sweeps, launch
from irm_sweeps.commands import command
from irm_sweeps.compose import compose, own_conf_dir
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.reproduce import run_again
from irm_sweeps.sweep.store import Store
from irm_sweeps.trial import Trial

SLIPS = {
    "--lam 3": "'--lam' is no override: write KEY=VALUE, e.g. lam=...",
    "--lam=3": "'--lam=3' is no override: write KEY=VALUE, e.g. lam=3",
    "irmv1 lam=3": "'irmv1' is no override: write KEY=VALUE, e.g. method=irmv1",
    "nonsense": "'nonsense' is no override: write KEY=VALUE, e.g. lam=100",
    "--cfg jobs": "argument --cfg/-c: invalid choice: 'jobs'",
    "seed=range(0,3)": "seed=range(0,3) has several values, which is a sweep: python launch.py -m ...",
    "lam=1,10": "lam=1,10 has several values, which is a sweep: python launch.py -m ...",
    "-m lam=1, 10": "'10' stands alone: write KEY=VALUE and lists without spaces, e.g. lam=1,10",
    "method = irmv1": "'method' stands alone: write KEY=VALUE and lists without spaces",
    "-m method=[erm,vrex]": "a choice is a name; several are a sweep: python launch.py -m method=erm,vrex",
    "-m paper=demo paper.onyl=[erm]": "unknown key `paper.onyl` (did you mean `only`?)",
    "method=irmv1 method.aneal=3": "unknown key `method.aneal` (did you mean `anneal`?)",
    "-m method=irmv1 method.aneal=3,4": "unknown key `method.aneal` (did you mean `anneal`?)",
    "method=irmv1 lmbda=3": "unknown key `lmbda` (did you mean `lam`?)",
    "method=irmv1 method.aneal=3 dataset=colored": "dataset=colored: no such dataset (did you mean `colored_mnist`?)",
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_one_line_with_the_fix(slip: str) -> None:
    assert SLIPS[slip] in launch(*slip.split()).complaint


def test_flags_may_stand_anywhere() -> None:
    shown = launch("lam=3", "--cfg", "job", "seed=1")
    assert shown.code == 0
    assert shown.out.startswith("lam: 3\nseed: 1\n")
    assert "lam='abc': input should be a valid number" in launch("lam=3,abc", "-m", "seed=0,1").complaint


def test_before_anything_has_run_the_next_command_is_named(tmp_path: Path) -> None:
    where = ["--results", str(tmp_path / "results")]
    first = "python launch.py -m paper=demo"
    assert first in irm_sweeps("status", *where).complaint
    (tmp_path / "results").mkdir()
    assert first in irm_sweeps("status", *where).complaint


def test_an_empty_table_names_the_command_that_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], composed_once: None
) -> None:
    """As it is typed in the folder where one is."""
    monkeypatch.chdir(tmp_path)
    tables.main(["--paper", "demo", "seed=0,1"])
    told = capsys.readouterr().err
    assert "nothing measured yet: irm-sweeps launch -m paper=demo seed=0,1 runs all of it" in told


def test_commands_are_named_as_they_are_typed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [command("launch"), command("table")] == ["python launch.py", "python analysis/tables.py"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "launch.py").write_text("somebody else's")
    assert [command("launch"), command("table")] == ["irm-sweeps launch", "irm-sweeps table"]


def test_a_misspelt_command_has_a_suggestion() -> None:
    assert "no 'stauts' (did you mean `status`?); choose from init, launch, table" in irm_sweeps("stauts").complaint


def test_conf_in_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it is that of another program, or the variable names one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IRM_SWEEPS_CONF", raising=False)
    assert own_conf_dir() is None
    (tmp_path / "conf" / "optimizer").mkdir(parents=True)
    (tmp_path / "conf" / "optimizer" / "mine.yaml").write_text(
        "_target_: irm_sweeps.training.optimizers.SGD\nlr: 0.5\nmomentum: 0.0\nweight_decay: 0.0\n"
    )
    assert own_conf_dir() == tmp_path / "conf"
    assert compose(["optimizer=mine"])["optimizer"]["lr"] == 0.5
    (tmp_path / "conf" / "config.yaml").write_text("a: 1")
    assert own_conf_dir() is None
    monkeypatch.setenv("IRM_SWEEPS_CONF", "conf")
    assert own_conf_dir() == tmp_path / "conf"


def test_reproduce_says_how_to_name_the_data(tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(b"cut short")
    trial = Trial.from_config(compose([]))
    with pytest.raises(UserError, match=r"mnist\.npz is damaged.*; or say where it lies: --data-dir DIR"):
        run_again(Store(tmp_path), {}, trial, tmp_path, "cpu")
