"""The start-up cost of a worker: modules that are not imported before its first step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from commands import ROOT, SMALL, SUPPORT, launch
from irm_sweeps.training import torch_optimizers

TRAINS = """
import sys
from pathlib import Path
import torch
from irm_sweeps.sweep.grid import trials
from irm_sweeps.training.loop import StackTraining

tiny = ["dataset.source=embedded", "dataset.n_train=20", "backbone.width=4", "training.steps=2", "seed=0,1"]
for choice in (["method=invrat_ec"], ["method=irm_games"], ["method=vrex", "optimizer=sgd"]):
    stack = list(trials([*tiny, *choice]).values())
    for size in (1, 2):
        StackTraining(stack[:size], Path("data"), torch.device("cpu")).run()
late = {"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)
assert not late, late
"""


def test_training_imports_no_compiler() -> None:
    """It takes 2 CPU-seconds, and torch's own optimizers import it at their first step.

    Not meta-IRM: `torch.func.grad`, its inner step, imports it too.
    """
    subprocess.run([sys.executable, "-c", TRAINS], check=True)


def test_eager_optimizers_move_as_torchs_own() -> None:
    for ours, theirs, options in (
        (torch_optimizers.Adam, torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.01}),
        (torch_optimizers.SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ):
        ends = []
        for kind in (ours, theirs):
            x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
            optimizer = kind([{"params": [x], "lr": 0.05}], **options, fused=True)
            for _ in range(5):
                optimizer.zero_grad()
                (x**4).sum().backward()
                optimizer.step()
            assert x.requires_grad
            ends.append(x.detach())
        assert torch.equal(*ends)


WORKS = """
import sys
import torch
from pathlib import Path
from irm_sweeps.launchers.worker_task import WorkerTask
(manifest,) = Path(sys.argv[1]).glob("sweeps/*/manifest.json")
WorkerTask(sys.argv[1], manifest.parent.name, threads=1)()
assert not {"hydra", "omegaconf", "submitit", "pandas", "matplotlib", "rich", "sympy"} & set(sys.modules)
print("worked")
"""


def test_a_worker_imports_nothing_of_commands_and_tables(tmp_path: Path) -> None:
    """From its start to its end, with a trial between."""
    assert launch("-m", f"results={tmp_path}", *SMALL).code == 0
    (result,) = tmp_path.glob("*/result.json")
    result.unlink()
    command = [sys.executable, "-c", WORKS, str(tmp_path)]
    assert subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout == "worked\n"
    assert result.exists()


LOOKS = """
import sys
from irm_sweeps.cli import main
for words in (["status"], ["status", "--all"], ["failures"]):
    main([*words, "--results", sys.argv[1]])
assert not {"torch", "pandas"} & set(sys.modules)
print("looked")
"""


def test_looking_at_a_sweep_imports_no_torch(tmp_path: Path) -> None:
    """Two CPU-seconds, for who asks how far it is."""
    assert launch("-m", f"results={tmp_path}", *SMALL).code == 0
    command = [sys.executable, "-c", LOOKS, str(tmp_path)]
    assert subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.endswith("looked\n")


def test_the_list_of_commands_imports_nothing_heavy() -> None:
    """It is printed by `--help`, and looked through at every press of Tab."""
    code = (
        "import sys\n"
        "from irm_sweeps import cli\n"
        "assert 'reproduce' in cli.parser().format_help()\n"
        "heavy = {'torch', 'pandas', 'numpy', 'pydantic', 'hydra', 'omegaconf', 'rich', 'submitit'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_library_warns_of_its_next_version(tmp_path: Path) -> None:
    """Of Hydra and OmegaConf, whichever are installed (`.ci/versions prerelease` has the coming ones)."""
    one = [*SMALL, "hydra/launcher=inprocess", f"results={tmp_path}"]
    commands = [["launch", *words] for words in (["--help"], one, ["-m", *one, "seed=0,1"])]
    command = [sys.executable, SUPPORT / "each_command.py", json.dumps(commands)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert [(code, err) for code, _, err in json.loads(ran.stdout)] == [(0, "")] * 3
    assert ran.stderr == "", "nor at an import"
