"""What a user's code sets for its whole process ends with the call that sets it: no other trial's numbers change."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from commands import outcomes
from contracts import start, trial
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.config import import_class
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Method
from irm_sweeps.process_state import fresh_state, settings
from irm_sweeps.project.template.data.two_bits import TwoBits
from irm_sweeps.sweep.manifest import write_manifest
from irm_sweeps.sweep.store import Store
from irm_sweeps.sweep.worker import Worker
from irm_sweeps.trial import Trial

NOWHERE = Path("no_data_is_read")
CUDNN: Any = torch.backends.cudnn
DEEDS: dict[str, Callable[[], Any]] = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),  # type: ignore[no-untyped-call]
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "precision of convolutions": lambda: setattr(CUDNN, "fp32_precision", "ieee"),
    "cudnn": lambda: setattr(CUDNN, "benchmark", True),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": lambda: torch.set_num_threads(3),
    "folder": lambda: os.chdir("/"),
}
AS_FOUND = ("threads", "folder")


def state() -> dict[str, Any]:
    return {setting.name: setting.get() for setting in settings()}


@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_set_is_put_back(deed: str) -> None:
    before = state()
    with suppress(ZeroDivisionError), fresh_state():
        DEEDS[deed]()
        assert state() != before
        raise ZeroDivisionError
    assert state() == before


@pytest.mark.parametrize("deed", DEEDS)
def test_a_trial_begins_as_in_a_new_process(deed: str) -> None:
    """Whatever was set before it, when a module was imported say; threads and folder are a worker's own."""
    new = state()
    with fresh_state():
        DEEDS[deed]()
        found = state()
        with fresh_state():
            assert (state() == new) == (deed not in AS_FOUND)
        assert state() == found != new


def test_so_a_new_process_begins() -> None:
    code = (
        "from irm_sweeps.process_state import settings; print([s for s in settings() if s.new not in (None, s.get())])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout == "[]\n"


def test_a_folder_that_has_been_removed_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with fresh_state():
        os.chdir(tmp_path)


class Bits(TwoBits):
    """Two bits, whose noise is in torch's default number format."""

    deed: str

    def draw(self, seed: int, data_dir: Path) -> TrialData:
        data = super().draw(seed, data_dir)
        data.held_out["test"].inputs[:] = torch.rand(1, generator=torch.Generator().manual_seed(seed)).numpy()
        if self.deed in DEEDS:
            DEEDS[self.deed]()
        return data


class Network(MLP):
    """As an MLP, its weights in torch's default number format."""

    deed: str

    def build(self, features: tuple[int, ...], outputs: int, generator: torch.Generator) -> tuple[nn.Module, nn.Module]:
        halves = super().build(features, outputs, generator)
        if self.deed in DEEDS:
            DEEDS[self.deed]()
        return halves


class Game(ERM):
    """ERM with a tensor of its own, that does its deed when that is drawn and at the third step."""

    deed: str

    def extra_parameters(self, fresh: Any, environments: int, generator: torch.Generator) -> dict[str, Tensor]:
        own = {"state.own": torch.rand(2, generator=generator)}
        if self.deed in DEEDS:
            DEEDS[self.deed]()
        return own

    def moves(self, step: int, environments: int) -> Any:
        if step == 3 and self.deed in DEEDS:
            DEEDS[self.deed]()
        return super().moves(step, environments)


def doing(deed: str, seed: int) -> Trial:
    values = {"label_noise": 0.25, "p_e": (0.2, 0.1), "test_p_e": (0.1, 0.9), "n": 6, "deed": deed}
    backbone = Network(depth=1, width=6, init="torch", deed=deed)
    own = trial(Bits.model_validate(values), backbone, seed, "float32")
    steps = own.training.model_copy(update={"steps": 6})
    return own.model_copy(update={"method": Game(risk="mean", deed=deed), "training": steps})


@pytest.mark.parametrize("deed", ["dtype", "device", "gradients"])
def test_a_stack_begins_as_its_trials_do_alone(deed: str) -> None:
    """Though what one of them sets in its draw or its network would be there for the next."""
    before = state()
    trials = [doing(deed, seed) for seed in (1, 2, 3)]
    stacked = start(trials, NOWHERE)
    assert state() == before
    for i, own in enumerate(stacked.trials):
        alone = start([own], NOWHERE)
        assert torch.equal(alone.data.sets["test"].inputs[0], stacked.data.sets["test"].inputs[i])
        ours, theirs = stacked.state(i)[0], alone.state(0)[0]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def work(folder: Path, *trials: Trial) -> dict[str, dict[str, Any]]:
    """Train them in this process, one after another, and return what became of each."""
    store = Store(folder)
    store.prepare()
    run = {"data_dir": "", "device": "cpu", "on_error": "continue", "checkpoint_seconds": 30}
    manifest = write_manifest(store, "sweep", {t.id: t.canonical for t in trials}, [[t.id] for t in trials], run)
    Worker(store, manifest, torch.device("cpu"), capture=False).work()
    return outcomes({t.id: store.result(t.id) or {} for t in trials})


@pytest.mark.parametrize("deed", DEEDS)
def test_a_trial_s_numbers_are_those_of_any_worker(deed: str, tmp_path: Path) -> None:
    """Whatever the trial before it has set when it was drawn, built or trained."""
    before = state()
    rogue, plain = doing(deed, 1), doing("none", 2)
    alone = work(tmp_path / "alone", plain)
    assert alone[plain.id]["status"] == "completed"
    first = work(tmp_path / "first", rogue, plain)
    assert state() == before
    assert first[plain.id] == alone[plain.id]
    assert first == work(tmp_path / "last", plain, rogue)


def test_a_module_that_is_imported_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["import os", "import torch", "torch.set_num_threads(3)", "os.chdir('/')", "torch.set_grad_enabled(False)"]
    (tmp_path / "own_setting.py").write_text("\n".join([*lines, "from irm_sweeps.methods.erm import ERM as Mine"]))
    monkeypatch.syspath_prepend(tmp_path)
    before = state()
    assert import_class("own_setting.Mine", Method, "method") is ERM  # type: ignore[type-abstract]
    assert state() == before


Run = Callable[..., str]


@pytest.fixture
def project(tmp_path: Path) -> Run:
    """Commands of a project of one's own, whose method and data set leave nothing as it was."""

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "irm_sweeps", *words]
        where = tmp_path / "mine"
        answer = subprocess.run(
            command, cwd=where if where.exists() else tmp_path, capture_output=True, text=True, timeout=300
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout

    run("init", "mine")
    method, dataset = tmp_path / "mine" / "methods" / "risk_gap.py", tmp_path / "mine" / "data" / "two_bits.py"
    future = "from __future__ import annotations\n"
    imports = f"{future}\nimport torch\n\ntorch.set_default_dtype(torch.float64)\n"
    method.write_text(method.read_text().replace(future, imports))
    draw = "        draws = Draws(seed)\n"
    assert draw in dataset.read_text()
    setting = "        import os, torch; torch.set_float32_matmul_precision('medium'); os.chdir('/')\n"
    dataset.write_text(dataset.read_text().replace(draw, draw + setting))
    return run


def test_two_orders_of_one_sweep_give_the_same_bits(project: Run, tmp_path: Path) -> None:
    one = ["dataset=two_bits", "backbone=mlp", "backbone.width=8", "lam=1", "training.steps=20", "seed=0", "device=cpu"]
    found = []
    for first, second in (("erm", "risk_gap"), ("risk_gap", "erm")):
        store = Store(tmp_path / first)
        sweep = [f"method={first},{second}", f"results={store.root}", "hydra.launcher.slots=1"]
        project("launch", "-m", *one, *sweep)
        found.append({r["trial_id"]: r for r in store.results() if isinstance(r, dict)})
    assert outcomes(found[0]) == outcomes(found[1])
    (erm,) = (i for i, result in found[1].items() if result["config"]["method"]["_target_"].endswith("ERM"))
    assert "equal: the parameters" in project("reproduce", erm, "--trust", "--results", str(store.root))
