"""What is read from SLURM's commands and variables."""

from __future__ import annotations

import ast
import os
import re

import pytest

from arrows import SOURCES, name_of
from commands import FakeCommand
from irm_sweeps import slurm

WORDS = re.compile(r"SLURM_\w+|SUBMITIT_EXECUTOR|squeue|scontrol|scancel|sacct|sinfo")


def test_no_other_module_asks_slurm() -> None:
    asking = {
        name_of(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORDS.fullmatch(node.value)
    }
    assert asking == {"slurm"}


@pytest.mark.parametrize(
    ("answer", "size"), [("MaxArraySize            = 50\n", 50), ("nothing of the kind", 1001), (None, 1001)]
)
def test_the_sites_array_size(fake: FakeCommand, answer: str | None, size: int) -> None:
    if answer is not None:
        fake("scontrol", answer)
    assert slurm.max_array_size() == size


def test_variables_of_sbatch_do_not_override_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"SBATCH_TIMELIMIT": "1", "SBATCH_SIGNAL": "TERM@50", "SBATCH_JOB_NAME": "mine", "SBATCH_PARTITION": "gpu"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with slurm.options_of_the_launcher_only():
        assert [name for name in own if name in os.environ] == ["SBATCH_PARTITION"]
    assert {name: os.environ[name] for name in own} == own


# -- what a task is given -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("visible", "local_rank", "own"), [("2", "0", "2"), ("0,3", "0", "0"), ("0,3", "1", "3"), ("0,3", "2", "0")]
)
def test_each_task_of_a_job_has_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch, visible: str, local_rank: str, own: str
) -> None:
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_GPUS", visible)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setenv("SLURM_LOCALID", local_rank)
    assert slurm.gpu_of_task() == own


def test_without_gpus_or_slurm_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert slurm.gpu_of_task() is None
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert slurm.gpu_of_task() is None


@pytest.mark.parametrize("inherited", ["0", "-1", "NoDevFiles"])
def test_a_job_without_gpus_has_none_of_the_submitting_shell(monkeypatch: pytest.MonkeyPatch, inherited: str) -> None:
    """sbatch exports the shell's environment: `0` of a login node is no GPU of this job."""
    for name in slurm._GPU_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert slurm.gpu_of_task() is None


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, None),
        ({"SLURM_CPUS_PER_TASK": "4", "SLURM_CPUS_ON_NODE": "8"}, 4),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_NTASKS_PER_NODE": "2"}, 4),
        ({"SLURM_CPUS_ON_NODE": "1", "SLURM_NTASKS": "2"}, 1),
    ],
)
def test_threads_are_those_that_slurm_gave(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], threads: int | None
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert slurm.threads_of_task() == threads


@pytest.mark.parametrize(
    ("answer", "preempted"),
    [
        ("JobState=RUNNING Reason=None PreemptTime=2030-01-01T00:00:00", True),
        ("JobState=RUNNING Reason=None PreemptTime=None", False),
        ("JobState=COMPLETING PreemptTime=2030-01-01T00:00:00", False),
    ],
)
def test_sigterm_may_be_a_preemption(
    monkeypatch: pytest.MonkeyPatch, fake: FakeCommand, answer: str, preempted: bool
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    assert not slurm.is_being_preempted()
    fake("scontrol", answer)
    assert slurm.is_being_preempted() == preempted
