"""Process state set by a user's code is reset after the call, so other trials are unaffected."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import PrivateAttr
from torch import Tensor, nn

from commands import outcomes
from contracts import start, trial
from irm_sweeps import process_state
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.config import import_class
from irm_sweeps.data.dataset import TrialData
from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Method, Point, Turn
from irm_sweeps.process_state import ProcessSetting, fresh_state, process_settings
from irm_sweeps.project.template.data.two_bits import TwoBits
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.result import Result
from irm_sweeps.store.store import Store
from irm_sweeps.trial import Trial
from irm_sweeps.worker.worker import Worker

NOWHERE = Path("no_data_is_read")
BACKENDS: Any = torch.backends
CUDNN, CUDA, MKLDNN = BACKENDS.cudnn, BACKENDS.cuda, BACKENDS.mkldnn
HALF = "reduced_precision_reduction"
DEEDS: dict[str, Callable[[], Any]] = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),  # type: ignore[no-untyped-call]
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "precision of convolutions": lambda: setattr(CUDNN, "fp32_precision", "ieee"),
    "precision of oneDNN": lambda: MKLDNN.set_flags(_fp32_precision="bf16"),
    "precision of all": lambda: setattr(MKLDNN, "fp32_precision", "ieee"),
    "the old switch": lambda: setattr(CUDNN, "allow_tf32", False),
    "the old switch, then a new one": lambda: (
        DEEDS["the old switch"](),
        setattr(CUDNN.conv, "fp32_precision", "tf32"),
    ),
    "the old switch of cuBLAS": lambda: setattr(CUDA.matmul, "allow_tf32", True),
    "sums of float16": lambda: setattr(CUDA.matmul, f"allow_fp16_{HALF}", False),
    "sums of bfloat16": lambda: setattr(CUDA.matmul, f"allow_bf16_{HALF}", False),
    "attention": lambda: CUDA.enable_flash_sdp(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "autocast's dtype": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "autocast's cache": lambda: torch.set_autocast_cache_enabled(False),
    "a region of autocast": lambda: torch.autocast("cpu", torch.bfloat16).__enter__(),
    "denormals": lambda: torch.set_flush_denormal(True),
    "cudnn": lambda: setattr(CUDNN, "benchmark", True),
    "no cudnn": lambda: setattr(CUDNN, "enabled", False),
    "no onednn": lambda: setattr(MKLDNN, "enabled", False),
    "deterministic onednn": lambda: setattr(MKLDNN, "deterministic", True),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": lambda: torch.set_num_threads(3),
    "folder": lambda: os.chdir("/"),
    "umask": lambda: os.umask(0o077),
    "a new variable": lambda: os.environ.update(ROGUE="1"),
    "another variable": lambda: os.environ.update(HOME="/"),
    "no variable": lambda: os.environ.pop("HOME", None),
}
AS_FOUND = ("threads", "folder", "umask", "a new variable", "another variable", "no variable")


def asked(read: Callable[[], Any]) -> Any:
    """Return an answer, or torch's refusal to give one."""
    try:
        return read()
    except RuntimeError as error:
        return str(error)


def rounded_again() -> bool:
    """Return whether a region of autocast sees a weight that has changed since the last one."""
    weight = torch.nn.Parameter(torch.ones(1, 1, device="cpu", dtype=torch.float32))
    one = torch.ones_like(weight, requires_grad=False)
    seen = []
    for _ in range(2):
        with torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, cache_enabled=True):
            seen.append((one @ weight).detach().item())
        weight.detach().zero_()
    torch.clear_autocast_cache()
    return seen == [1, 0]


def state() -> dict[str, Any]:
    """Return what torch, the system and this package say, each asked in its own way."""
    formats = (CUDNN, CUDNN.conv, CUDNN.rnn, CUDA.matmul, MKLDNN, MKLDNN.matmul, MKLDNN.conv, MKLDNN.rnn, BACKENDS)
    mask = os.umask(0o022)
    os.umask(mask)
    return {
        **{setting.name: setting.get() for setting in process_settings()},
        "zeros": (torch.zeros(1).dtype, torch.zeros(1).device, (torch.ones(1, requires_grad=True) * 1).requires_grad),
        "autocast": [
            (torch.is_autocast_enabled(on), torch.get_autocast_dtype(on), torch.is_autocast_cache_enabled())
            for on in ("cpu", "cuda")
        ],
        "rounded again": rounded_again(),
        "denormal": (torch.full((64,), 1e-39, device="cpu", dtype=torch.float32) * 0.5).max().item(),
        "formats": [own.fp32_precision for own in formats],
        "word": asked(torch.get_float32_matmul_precision),
        "old switches": [asked(lambda own=own: own.allow_tf32) for own in (CUDNN, CUDA.matmul)],
        "half": [getattr(CUDA.matmul, f"allow_{kind}_{HALF}") for kind in ("fp16", "bf16")],
        "attention": (CUDA.flash_sdp_enabled(), CUDA.mem_efficient_sdp_enabled(), CUDA.math_sdp_enabled()),
        "libraries": [(own.enabled, own.deterministic) for own in (CUDNN, MKLDNN)],
        "repeatable": (torch.get_deterministic_debug_mode(), torch.is_anomaly_enabled(), CUDNN.benchmark),
        "system": (torch.get_num_threads(), os.getcwd(), mask, dict(os.environ)),
    }


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
        "from irm_sweeps.process_state import process_settings as all_settings\n"
        "print([s for s in all_settings() if s.new not in (None, s.get())])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout == "[]\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_folder_that_has_been_removed_is_no_obstacle(here: Path) -> None:
    here.rmdir()
    with fresh_state():
        os.chdir(here.parent)


def test_a_folder_that_is_renamed_meanwhile_is_the_same(here: Path) -> None:
    with fresh_state():
        os.chdir("/")
        here.rename(here.parent / "there")
    assert Path.cwd() == here.parent / "there"


@pytest.mark.parametrize("rebound", [False, True])
def test_finders_of_modules_that_a_trial_puts_first_are_asked_last_by_the_next(
    rebound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finder(MetaPathFinder):
        def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
            asked_for.append(fullname)

    asked_for: list[str] = []
    before = list(sys.meta_path)
    monkeypatch.setattr(sys, "meta_path", list(before))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    finder = Finder()
    with fresh_state():
        if rebound:
            sys.meta_path = [finder, *before[1:]]
        else:
            sys.meta_path.insert(0, finder)
            sys.meta_path.remove(before[-1])
        importlib.util.find_spec("colorsys")
        assert asked_for.pop() == "colorsys"
    assert sys.meta_path == [*before, finder]
    assert importlib.util.find_spec("colorsys")
    assert asked_for == []


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("deed", ["rename", "remove"])
def test_a_folder_that_goes_meanwhile_fails_no_trial(deed: str, here: Path, tmp_path: Path) -> None:
    gone = {"rename": lambda: here.rename(tmp_path / "there"), "remove": here.rmdir}[deed]
    before, trials = open_files(), [doing("goes", 1), doing("none", 2)]
    DEEDS["goes"] = lambda: here.exists() and gone()
    try:
        found = work(tmp_path / "store", *trials)
    finally:
        del DEEDS["goes"]
    assert not here.exists()
    assert [result["status"] for result in found.values()] == ["completed", "completed"]
    assert open_files() == before


def test_what_cannot_be_put_back_is_said_and_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither to those after it, nor to the error that a trial ended with."""

    def refuse(value: int) -> None:
        raise RuntimeError(f"no {value}")

    values = iter([1, 2, 2])
    stubborn = ProcessSetting("stubborn", lambda: next(values), refuse)
    others = process_settings()
    monkeypatch.setattr(process_state, "process_settings", lambda: (stubborn, *others))
    before, threads = Path.cwd(), torch.get_num_threads()
    with suppress(ZeroDivisionError), fresh_state():
        os.chdir("/")
        torch.set_num_threads(3)
        raise ZeroDivisionError
    assert (Path.cwd(), torch.get_num_threads()) == (before, threads)
    assert capsys.readouterr().err == "cannot put back stubborn: no 1\n"


def test_what_nobody_has_changed_is_read_and_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it costs little: each setting is read before the block and after. Only generators are set without a look."""
    read: Counter[str] = Counter()
    put: list[str] = []

    def counted(setting: ProcessSetting) -> ProcessSetting:
        return replace(
            setting,
            get=lambda: (read.update([setting.name]), setting.get())[1],
            put=lambda value: (put.append(setting.name), setting.put(value))[1],
        )

    with fresh_state():
        watched = tuple(map(counted, process_settings()))
        monkeypatch.setattr(process_state, "process_settings", lambda: watched)
        with fresh_state():
            pass
    assert put == ["random", "numpy.random", "torch's generators"]
    assert max(read.values()) == 2


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
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    manifest = write_manifest(store, "sweep", {t.id: t.canonical for t in trials}, [[t.id] for t in trials], run)
    Worker(store, manifest, torch.device("cpu"), capture=False).work()
    return outcomes({r.trial_id: dict(r.raw) for r in store.results() if isinstance(r, Result)})


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


class Drawing(ERM):
    """ERM that draws from torch's global generator where there is one of its own: when it is made, and at each step."""

    _factor: float = PrivateAttr(1.0)

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._factor = torch.rand(()).item()

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        turn = super().turn(at, moving)
        return Turn(
            {name: value * (self._factor + torch.rand(())) for name, value in turn.objectives.items()}, turn.log
        )


def test_what_is_drawn_from_the_global_generator_depends_on_the_trial_only(tmp_path: Path) -> None:
    """The generator begins at the trial's seed, whatever ran before in the process and drew from it."""
    first, second = (doing("none", seed).model_copy(update={"method": Drawing(risk="mean")}) for seed in (1, 2))
    torch.manual_seed(3)
    alone = work(tmp_path / "alone", second)
    torch.manual_seed(4)
    assert work(tmp_path / "after", first, doing("none", 3), second)[second.id] == alone[second.id]
    assert alone[second.id]["status"] == "completed"


def test_a_module_that_is_imported_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["import os", "import torch", "torch.set_num_threads(3)", "os.chdir('/')", "torch.set_grad_enabled(False)"]
    (tmp_path / "own_setting.py").write_text("\n".join([*lines, "from irm_sweeps.methods.erm import ERM as Mine"]))
    monkeypatch.syspath_prepend(tmp_path)
    before = state()
    assert import_class("own_setting.Mine", Method, "method") is ERM  # type: ignore[type-abstract]
    assert state() == before


def test_what_a_module_sets_for_a_library_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is imported once, and the library may look later; what it sets at that time is not another trial's."""
    (tmp_path / "own_variable.py").write_text(
        "import os; os.environ['ROGUE'] = '1'; from irm_sweeps.methods.erm import ERM"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROGUE", "0")
    import_class("own_variable.ERM", Method, "method")  # type: ignore[type-abstract]
    assert os.environ["ROGUE"] == "1"


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
        found.append({r.trial_id: dict(r.raw) for r in store.results() if isinstance(r, Result)})
    assert outcomes(found[0]) == outcomes(found[1])
    (erm,) = (i for i, result in found[1].items() if result["config"]["method"]["_target_"].endswith("ERM"))
    assert "equal: the parameters" in project("reproduce", erm, "--trust", "--results", str(store.root))
