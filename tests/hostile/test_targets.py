"""`_target_` may name a subclass of the group's base in a user's config, a class of this package in a stored one."""

from __future__ import annotations

import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from commands import SMALL, irm_sweeps, launch
from hostile.conftest import SWEEP
from hostile.poison import values
from irm_sweeps.compose import compose
from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.errors import UserError
from irm_sweeps.testing.fixtures import composed
from irm_sweeps.trial import Trial

CALLS = [
    "os.system",
    "builtins.eval",
    "subprocess.Popen",
    "shutil.rmtree",
    "torch.load",
    "pathlib.Path",
    "builtins.exec",
]
ODD = ["os", ".os.system", "..", "os.", ".", "a b.c", "os.system;touch x", "$(touch x).y", "\0.x", "x" * 10_000 + ".y"]
BASES = [
    "irm_sweeps.methods.method.Method",
    "irm_sweeps.config.Component",
    "irm_sweeps.cli.main",
    "irm_sweeps.trial.Trial",
]
IMPORTS = "from pathlib import Path\nPath({!r}).touch()\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported, and shows by a file that it has been."""
    (tmp_path / "hostile_module.py").write_text(IMPORTS.format(str(tmp_path / "imported")))
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "imported"
    sys.modules.pop("hostile_module", None)


@pytest.mark.parametrize("target", [*CALLS, *ODD, *BASES])
@pytest.mark.parametrize("group", COMPONENTS)
def test_a_name_that_is_no_subclass_is_one_error(group: str, target: str) -> None:
    """The folders that were searched, which a user may have many of, come on top of what was so long before."""
    config = deepcopy(composed(()))
    config[group] = {"_target_": target, "command": "touch x"}
    with pytest.raises(UserError, match=rf"^{group}\._target_=") as refused:
        Trial.from_config(config)
    reason, _, folders = str(refused.value).partition(f"; {target.partition('.')[0]:.80} was looked for in ")
    assert len(reason) < 600
    assert len(folders) < 400
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("target", [None, 3, True, [], {}, ["os.system"], {"_target_": "os.system"}, ""])
def test_a_name_that_is_no_text_is_one_error(target: Any) -> None:
    config = deepcopy(composed(()))
    config["method"] = {"_target_": target}
    with pytest.raises(UserError, match="method has no `_target_`"):
        Trial.from_config(config)


NESTED = {"_target_": "os.system", "command": "touch {}"}


@pytest.mark.parametrize("trusted", [True, False])
def test_a_target_within_a_value_is_a_wrong_value(trusted: bool, tmp_path: Path) -> None:
    """In the place of every field of every group, and as a whole group."""
    bomb = {**NESTED, "command": NESTED["command"].format(tmp_path / "x")}
    whole = composed(("method=irmv1",))
    places = [(group, field) for group in (*COMPONENTS, "training") for field in whole[group] if field != "_target_"]
    for group, field in places:
        config = deepcopy(whole)
        config[group][field] = bomb
        with pytest.raises(UserError):
            Trial.from_config(config, trusted=trusted)
    for key in whole:
        if key in (*COMPONENTS, "training", "lam", "seed"):
            with pytest.raises(UserError):
                Trial.from_config({**whole, key: bomb}, trusted=trusted)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("place", ["method.anneal", "lam", "data_dir", "logger"])
def test_the_command_line_calls_nothing_either(place: str, tmp_path: Path) -> None:
    bomb = f"{place}={{_target_:os.system,command:'touch {tmp_path / 'x'}'}}"
    for arguments in ([], ["-m"]):
        answer = launch(*arguments, f"results={tmp_path / 'r'}", *SMALL, "method=irmv1", f"++{bomb}")
        assert len(answer.complaint) < 600
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("launcher", ["local", "inprocess", "slurm"])
def test_nothing_in_a_launcher_s_values_is_called(launcher: str, tmp_path: Path) -> None:
    """Hydra would call what is nested in the config that it instantiates."""
    bomb = f"++hydra.launcher.setup={{_target_:os.system,command:'touch {tmp_path / 'x'}'}}"
    answer = launch("-m", f"results={tmp_path / 'r'}", *SWEEP, f"hydra/launcher={launcher}", bomb)
    assert "setup" in answer.complaint
    assert not (tmp_path / "x").exists()


def test_what_a_result_names_is_not_imported(results: Path, victim: Path, mine: Path, capsys) -> None:
    """By no reader; `reproduce` says what to add if it is the user's own."""
    from irm_sweeps.analysis import figure_command
    from irm_sweeps.analysis import report_command as report

    for group in COMPONENTS:
        values("config", group, "_target_", to="hostile_module.Mine")(victim)
    where = ["--results", str(results)]
    for command in (["status"], ["show", victim.parent.name], ["failures"]):
        assert irm_sweeps(*command, *where).code == 0
    assert (
        "hostile_module.Mine, which is not of irm_sweeps: if it is your own"
        in irm_sweeps("reproduce", victim.parent.name, *where).complaint
    )
    report.main([*where, "--output", str(results / "page.html")])
    with pytest.raises(SystemExit):
        figure_command.main(["--curves", "lam", *where])
    assert "what a store names is not imported" in capsys.readouterr().err
    launch("-m", f"results={results}", *SWEEP, "seed=0,1,2", "plan=true")
    assert not mine.exists()
    told = irm_sweeps("reproduce", victim.parent.name, "--trust", *where).complaint
    assert "_target_='hostile_module.Mine' cannot be imported: module 'hostile_module' has no attribute" in told
    assert mine.exists()


def test_what_a_manifest_names_is_not_imported(results: Path, victim: Path, mine: Path, tmp_path: Path) -> None:
    """Neither a class, nor from its folders; a logger writes into the store or needs `--trust`."""
    victim.unlink()
    (path,) = results.glob("sweeps/*/manifest.json")
    intact = path.read_bytes()
    work = ["work", path.parent.name, "--results", str(results)]
    values("trials", victim.parent.name, "method", "_target_", to="hostile_module.Mine")(path)
    values("settings", "folders", to=[str(mine.parent)])(path)
    assert "needs hostile_module.Mine, which is not of irm_sweeps or its store" in _worked(*work)
    assert not mine.exists()

    loggers = {
        "hostile_module.Mine": {"_target_": "hostile_module.Mine"},
        str(tmp_path / "elsewhere"): {
            "_target_": "irm_sweeps.loggers.tensorboard.TensorBoard",
            "directory": str(tmp_path / "elsewhere"),
        },
        "http://collector": {
            "_target_": "irm_sweeps.loggers.mlflow.MLflow",
            "directory": None,
            "tracking_uri": "http://collector",
        },
        "the network": {
            "_target_": "irm_sweeps.loggers.wandb.WandB",
            "directory": None,
            "project": "p",
            "mode": "online",
        },
    }
    for told, logger in loggers.items():
        path.write_bytes(intact)
        values("settings", "logger", to=logger)(path)
        assert told in _worked(*work)
    assert not mine.exists()
    assert not (tmp_path / "elsewhere").exists()


def _worked(*arguments: str) -> str:
    """Join a sweep in a process of its own (a worker takes over its process' signals); return its complaint."""
    import subprocess

    from commands import Answer

    script = "import sys; from irm_sweeps.cli import main; main(sys.argv[1:])"
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, timeout=60)
    return Answer(ended.returncode, ended.stdout, ended.stderr).complaint


def test_a_class_that_this_process_has_imported_may_be_read_back(results: Path, victim: Path) -> None:
    config = json.loads(victim.read_text())["config"]
    own = {**config, "method": {**config["method"], "_target_": "rogue.Rogue", "deed": "none"}}
    sys.modules.pop("rogue", None)
    with pytest.raises(UserError, match="what a store names is not imported"):
        Trial.from_config(own, trusted=False)
    trial = Trial.from_config(own)
    assert Trial.from_config(own, trusted=False).id == trial.id


@pytest.mark.parametrize("code", ["1 +", "raise SystemExit(3)", "1 / 0", "raise RecursionError", "import nowhere"])
def test_a_user_s_broken_module_is_one_line(code: str, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "broken_hostile.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"_target_='broken_hostile\.Mine' cannot be imported: "):
        Trial.from_config({**compose([]), "method": {"_target_": "broken_hostile.Mine"}})
    sys.modules.pop("broken_hostile", None)


def test_weights_that_a_stored_config_names_are_an_ordinary_file(tmp_path: Path) -> None:
    """Reading a config hashes the weights: it must not wait for a pipe, nor read a device for ever."""
    import os

    config = compose(["dataset=cifar_mnist", "backbone=resnet18"])
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.pth").symlink_to("/dev/zero")
    for name in ("pipe.pth", "zero.pth"):
        config["backbone"]["weights"] = str(tmp_path / name)
        with pytest.raises(UserError, match="no regular file"):
            Trial.from_config(config, trusted=False)
