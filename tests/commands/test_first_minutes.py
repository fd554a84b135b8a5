"""Commands in the first minutes of use: typing mistakes, an empty store, another folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import synthetic_store
from commands import SMALL, irm_sweeps, launch
from irm_sweeps.analysis import report_command, table_command
from irm_sweeps.commands.second_run import run_again
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import conf_dir, own_conf_dir
from irm_sweeps.errors import UserError
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.typed_commands import command

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
    "-m paper=demo paper.onyl=[erm]": "unknown key `paper.onyl` (did you mean `paper.only`?)",
    "method=irmv1 method.aneal=3": "unknown key `method.aneal` (did you mean `method.anneal`?)",
    "-m method=irmv1 method.aneal=3,4": "unknown key `method.aneal` (did you mean `method.anneal`?)",
    "method=irmv1 lmbda=3": "unknown key `lmbda` (did you mean `lam`?)",
    "method=irmv1 method.aneal=3 dataset=colored": "(did you mean `colored_mnist` or `colored_mnist_01`?)",
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
    first = "irm-sweeps launch -m paper=demo"
    assert first in irm_sweeps("status", *where).complaint
    (tmp_path / "results").mkdir()
    assert first in irm_sweeps("status", *where).complaint


def test_an_empty_table_names_the_command_that_fills_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], composed_once: None
) -> None:
    """As it is typed in the folder where one is."""
    monkeypatch.chdir(tmp_path)
    table_command.main(["--paper", "demo", "seed=0,1"])
    told = capsys.readouterr().err
    assert "nothing measured yet: irm-sweeps launch -m paper=demo seed=0,1 runs all of it" in told


def test_commands_are_named_as_they_are_typed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [command("launch"), command("table")] == ["python launch.py", "python analysis/tables.py"]
    with monkeypatch.context() as typed:
        typed.setattr(sys, "argv", ["/somewhere/bin/irm-sweeps", "table", "--help"])
        assert [command("launch"), command("table")] == ["irm-sweeps launch", "irm-sweeps table"]
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
    result = Result.from_values(synthetic_store.diverged(trial, 1))
    with pytest.raises(UserError, match=r"mnist\.npz is damaged.*; or say where it lies: --data-dir DIR"):
        run_again(Store(tmp_path), result, trial, tmp_path, "cpu")


PAPER = """
name: small
title: small
rows:
  erm: {label: ERM, sweep: [method=erm]}
  vrex: {label: V-REx, sweep: [method=vrex]}
columns: [{label: shifted, metric: test/0.9/accuracy}]
"""


@pytest.fixture
def own_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_conf" / "paper" / "small.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(PAPER)
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path / "my_conf"))
    return path


def test_a_paper_file_need_not_have_the_key_that_shrinks_it(own_paper: Path, tmp_path: Path) -> None:
    del own_paper
    command = ["-m", "paper=small", "paper.only=[vrex]", *SMALL, f"results={tmp_path / 'results'}", "plan=true"]
    answer = launch(*command)
    assert "0 done, 1 to run" in answer.out, answer
    assert "  to run  vrex " in answer.out
    wrong = [word.replace("[vrex]", "[vrexx]") for word in command]
    assert "no row 'vrexx' (did you mean `vrex`?)" in launch(*wrong).complaint


def test_a_yaml_that_cannot_be_read_is_one_line(own_paper: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_paper.write_text(PAPER + ": : [\n")
    assert "small.yaml" in launch("-m", "paper=small", *SMALL, "plan=true").complaint
    with pytest.raises(SystemExit):
        table_command.main(["--paper", "small"])
    assert capsys.readouterr().err.startswith("error: not YAML: ")


def test_a_yaml_in_another_encoding_is_one_line_that_names_it(
    own_paper: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_paper.write_bytes(PAPER.encode() + "# größe\n".encode("latin-1"))
    told = "small.yaml is no text in UTF-8: save it in UTF-8"
    assert told in launch("-m", "paper=small", *SMALL, "plan=true").complaint
    with pytest.raises(SystemExit):
        table_command.main(["--paper", "small"])
    assert told in capsys.readouterr().err


def test_published_numbers_without_a_source_are_said_to_have_none(
    own_paper: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_paper.write_text(PAPER.replace("sweep: [method=erm]", "sweep: [method=erm], published: [[50, 1]]"))
    table_command.main(["--paper", "small", "--results", str(tmp_path / "results"), "--format", "md"])
    out = capsys.readouterr().out
    assert "Published: the paper file names no source; ± is taken as" in out, out


def test_a_key_that_no_class_has_is_blamed_on_the_yaml_that_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on the command, and the YAML is not recommended."""
    mine = tmp_path / "my_conf" / "method" / "risk_gap.yaml"
    mine.parent.mkdir(parents=True)
    mine.write_text((conf_dir() / "method" / "vrex.yaml").read_text() + "annneal: 3\nfoo: 1\n")
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path / "my_conf"))
    complaint = launch("method=risk_gap", "lam=1", *SMALL).complaint
    assert f"unknown key `method.annneal` in {mine} (did you mean `method.anneal`?); VREx has " in complaint, complaint
    assert "has it" not in complaint
    mine.write_text((conf_dir() / "method" / "vrex.yaml").read_text() + "foo: 1\n")
    complaint = launch("method=risk_gap", "lam=1", *SMALL).complaint
    assert f"unknown key `method.foo` in {mine}; VREx has " in complaint, complaint


def test_a_key_that_ones_own_class_lacks_asks_for_its_annotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "my_conf" / "method" / "sharp.yaml"
    mine.parent.mkdir(parents=True)
    of_vrex = (conf_dir() / "method" / "vrex.yaml").read_text()
    mine.write_text(of_vrex.replace("irm_sweeps.methods.rex.VREx", "wrong_turns.Unread") + "sharpness: 1\nfoo: 1\n")
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path / "my_conf"))
    complaint = launch("method=sharp", "lam=1", *SMALL).complaint
    annotate = "annotate it in Unread if that is to have it, e.g. `foo: float`; Unread has "
    assert f"unknown key `method.foo` in {mine}: {annotate}" in complaint, complaint


def test_what_cannot_be_priced_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "mnist.npz").write_bytes(b"cut short")
    sweep = ["method=erm,vrex,irmv1", "seed=0,1", f"data_dir={tmp_path}", f"results={tmp_path / 'results'}"]
    answer = launch("-m", *sweep, "plan=true")
    assert answer.out.count("mnist.npz is damaged") == 1, answer
    assert "6 trials cannot run or be priced: " in answer.out
    assert "wall time" not in answer.out


def test_a_list_that_tells_kinds_apart_is_shown_whole(tmp_path: Path) -> None:
    own = [word for word in SMALL if "test_p_e" not in word]
    sweep = ["method=erm", "dataset.test_p_e=[0.1,0.9],[0.1,0.8]", f"results={tmp_path / 'results'}"]
    assert "test_p_e=[0.1,0.8]" in launch("-m", *sweep, *own, "plan=true").out


def test_a_results_folder_that_is_a_file(tmp_path: Path) -> None:
    (file := tmp_path / "results").write_text("")
    assert f"results={file} is a file: give a directory" in launch("method=erm", *SMALL, f"results={file}").complaint
    assert f"{file} is a file, and no archive of" in irm_sweeps("status", "--results", str(file)).complaint


def test_a_sweep_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    launch("-m", "method=erm", "seed=0,1", *SMALL, f"results={tmp_path}")
    (name,) = (path.name for path in (tmp_path / "sweeps").iterdir())
    assert f"the newest: {name}" in irm_sweeps("status", "nonsense", "--results", str(tmp_path)).complaint


def test_the_folder_of_a_new_project_can_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "my study é; $HOME"
    (cd,) = (line for line in irm_sweeps("init", str(folder)).out.splitlines() if line.startswith("  cd "))
    there = subprocess.run(["bash", "-c", f"{cd} && pwd"], capture_output=True, text=True)
    assert there.stdout == f"{folder}\n"


def test_a_row_whose_class_is_broken_costs_the_report_no_other_paper(
    own_paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper is named with the reason; its other row has results."""
    (tmp_path / "broken_gap.py").write_text("def (\n")
    (tmp_path / "gap.yaml").write_text("_target_: broken_gap.Gap\n")
    results = tmp_path / "results"
    small = [*SMALL, f"results={results}"]
    assert launch("-m", "paper=small", "paper.only=[erm]", *small).code == 0
    own_paper.write_text(PAPER.replace("method=vrex", f"method={tmp_path / 'gap.yaml'}"))
    monkeypatch.syspath_prepend(tmp_path)
    report_command.main([*SMALL, "--results", str(results)])
    assert "invalid syntax (broken_gap.py, line 1)" in (results / "report.html").read_text()


def test_a_store_below_the_home_folder_has_a_table(
    own_paper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shell that does not expand `~` in `--results=~/store` leaves it to the command."""
    del own_paper
    monkeypatch.setenv("HOME", str(tmp_path))
    assert launch("-m", "paper=small", *SMALL, f"results={tmp_path / 'store'}").code == 0
    table_command.main(["--paper", "small", *SMALL, "--results=~/store"])
    assert "(n=1)" in capsys.readouterr().out
