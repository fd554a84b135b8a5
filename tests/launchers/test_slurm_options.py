"""The SLURM launcher without a cluster: its options, its record of jobs, and who counts as dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from commands import FakeCommand
from irm_sweeps.compose import conf_dir
from irm_sweeps.errors import UserError
from irm_sweeps.launchers import entry
from irm_sweeps.launchers.slurm import Slurm, SlurmOptions
from irm_sweeps.launchers.slurm_jobs import JobRecord, SlurmError, in_words, max_array_size
from irm_sweeps.launchers.worker_task import WorkerTask
from irm_sweeps.store import liveness
from irm_sweeps.store.liveness import HEARTBEAT_SECONDS, STALE_SECONDS, Process, this_process
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store


def defaults() -> dict[str, Any]:
    values = OmegaConf.to_container(OmegaConf.load(conf_dir() / "hydra" / "launcher" / "slurm.yaml"))
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items() if not str(name).startswith("_")}


def options(**changes: Any) -> SlurmOptions:
    return SlurmOptions.from_config({**defaults(), **changes})


@pytest.fixture
def manifest() -> Manifest:
    stacks = [["0123456789abcdef"], ["fedcba9876543210"]]
    settings = RunSettings(data_dir="data", device="cpu", on_error="continue", checkpoint_seconds=30)
    return Manifest("sweep-1", {}, stacks, settings, "launch", "", "")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def record(store: Store, manifest: Manifest) -> JobRecord:
    made = JobRecord(store, manifest)
    made.about_to_submit()
    made.submitted(["12_0", "12_1", "15"])
    return made


# -- options -----------------------------------------------------------------------------------------


def test_the_yaml_gives_every_option_a_default() -> None:
    assert set(defaults()) == set(SlurmOptions.model_fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", "many"),
        ("runs_per_gpu", 0),
        ("timeout_min", -1),
        ("signal_delay_s", 0),
        ("mem_gb", 0),
        ("gpus_per_node", -1),
        ("cpus_per_task", 1.5),
        ("setup", "module load cuda"),
        ("additional", ["nice"]),
        ("nosuch", 1),
    ],
)
def test_a_wrong_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"hydra.launcher.{name}"):
        options(**{name: value})


def test_options_become_submitits_parameters() -> None:
    found = options(
        partition="gpu", account="lab", qos="low", constraint="a100", mem_gb=7.5, cpus_per_task=3, setup=["true"]
    ).parameters()
    assert found["slurm_partition"] == "gpu"
    assert found["slurm_account"] == "lab"
    assert found["slurm_qos"] == "low"
    assert found["slurm_constraint"] == "a100"
    assert (found["mem_gb"], found["cpus_per_task"], found["timeout_min"]) == (7.5, 3, 240)
    assert found["slurm_setup"] == ["true"]
    assert "--cpus-per-task=3" in found["slurm_srun_args"]


def test_what_is_null_is_left_to_the_site() -> None:
    found = options(gpus_per_node=None).parameters()
    assert not {"slurm_partition", "slurm_account", "mem_gb", "cpus_per_task", "gpus_per_node"} & set(found)


@pytest.mark.parametrize(("gpus", "runs_per_gpu", "tasks"), [(0, 1, 1), (0, 3, 3), (None, 2, 2), (1, 2, 2), (4, 2, 8)])
def test_a_task_has_workers_for_each_of_its_gpus(gpus: int | None, runs_per_gpu: int, tasks: int) -> None:
    made = options(workers=3, gpus_per_node=gpus, runs_per_gpu=runs_per_gpu)
    assert made.parameters()["tasks_per_node"] == tasks
    assert Slurm(made).workers("auto") == 3 * tasks


def test_further_sbatch_options_and_flags(store: Store, manifest: Manifest, fake: FakeCommand) -> None:
    fake("srun")
    made = options(additional={"nice": 100, "exclusive": True, "overcommit": False, "time": "5"})
    executor = Slurm(made)._executor(manifest, store)
    text = executor._executor._make_submission_file_text("work", "0")
    assert "#SBATCH --nice=100\n" in text
    assert "#SBATCH --exclusive\n" in text
    assert "overcommit" not in text
    assert "#SBATCH --time=5\n" in text
    assert "#SBATCH --signal=USR2@90\n" in text
    assert "--kill-on-bad-exit=0" in text
    assert sys.executable in executor._executor.python


@pytest.mark.parametrize(
    "name",
    [
        *("job_name", "job-name", "job", "array", "output", "error", "open_mode", "open-mode", "parsable"),
        *("quiet", "clusters", "cluster", "test-only"),
    ],
)
def test_what_this_package_finds_its_jobs_by_is_not_for_others(name: str) -> None:
    with pytest.raises(UserError, match=f"hydra.launcher.additional=.*: {name} is the launcher's own: "):
        options(additional={"nice": 100, name: "mine"})


@pytest.mark.parametrize(("device", "gpus"), [("cuda:1", 1), ("cuda", 0)])
def test_a_device_that_slurm_cannot_give_is_refused(store: Store, manifest: Manifest, device: str, gpus: int) -> None:
    changed = replace(manifest, settings=manifest.settings.model_copy(update={"device": device}))
    with pytest.raises(UserError, match=f"device={device}"):
        Slurm(options(gpus_per_node=gpus)).run(store, changed, None)  # type: ignore[arg-type]


# -- the record of jobs ------------------------------------------------------------------------------


def test_living_jobs_are_those_of_the_record_that_slurm_has(record: JobRecord, fake: FakeCommand) -> None:
    calls = fake("squeue", "12_1|PENDING|Resources\n12_7|RUNNING|None\n15|RUNNING|None\n")
    assert record.living() == {"12_1": ("PENDING", "Resources"), "15": ("RUNNING", "None")}
    assert calls.read_text().split()[-1] == "12,15"
    assert in_words(record.living()) == "1 RUNNING, 1 PENDING (Resources)"


def test_jobs_that_slurm_has_forgotten_are_not_living(record: JobRecord, fake: FakeCommand) -> None:
    fake("squeue", stderr="slurm_load_jobs error: Invalid job id specified\n", code=1)
    assert record.living() == {}


def test_silence_is_not_taken_for_the_jobs_end(record: JobRecord, fake: FakeCommand) -> None:
    with pytest.raises(SlurmError, match="no squeue on this machine"):
        record.living()
    fake("squeue", stderr="slurm_load_jobs error: Unable to contact slurm controller\n", code=1)
    with pytest.raises(SlurmError, match="Unable to contact slurm controller"):
        record.cancel()


def test_without_jobs_slurm_is_not_asked(store: Store, manifest: Manifest, fake: FakeCommand) -> None:
    calls = fake("squeue")
    assert JobRecord(store, manifest).living() == {}
    assert JobRecord(store, manifest).cancel() == []
    assert not calls.exists()


def test_cancel_names_the_living_only(record: JobRecord, fake: FakeCommand) -> None:
    fake("squeue", "12_1|PENDING|Resources\n15|RUNNING|None\n")
    cancelled = fake("scancel")
    assert record.cancel() == ["12_1", "15"]
    assert cancelled.read_text() == "12_1 15\n"


def test_a_submission_cut_short_is_found_by_its_script(
    record: JobRecord, store: Store, manifest: Manifest, fake: FakeCommand
) -> None:
    assert not record.cut_short()
    record.about_to_submit()
    assert record.cut_short()
    scripts = manifest.folder(store) / "jobs"
    fake("squeue", f"12_0|{scripts}/a.sh\n20_0|{scripts}/b.sh\n21|/elsewhere/jobs/c.sh\n")
    assert record.find_lost() == ["20_0"]
    assert record.ids() == ["12_0", "12_1", "15", "20_0"]
    assert not record.cut_short()


def test_a_damaged_record_is_no_record(record: JobRecord) -> None:
    record.path.write_text(json.dumps({"jobs": 3}))
    assert record.ids() == []
    record.path.write_text("{")
    assert record.ids() == []


@pytest.mark.parametrize(
    ("answer", "size"), [("MaxArraySize            = 50\n", 50), ("nothing of the kind", 1001), (None, 1001)]
)
def test_the_sites_array_size(fake: FakeCommand, answer: str | None, size: int) -> None:
    if answer is not None:
        fake("scontrol", answer)
    assert max_array_size() == size


# -- what a worker is given --------------------------------------------------------------------------


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
    assert entry._own_gpu_of_slurm() == own


def test_without_gpus_or_slurm_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert entry._own_gpu_of_slurm() is None
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert entry._own_gpu_of_slurm() is None


@pytest.mark.parametrize("inherited", ["0", "-1", "NoDevFiles"])
def test_a_job_without_gpus_has_none_of_the_submitting_shell(monkeypatch: pytest.MonkeyPatch, inherited: str) -> None:
    """sbatch exports the shell's environment: `0` of a login node is no GPU of this job."""
    for name in entry._GPUS_OF_SLURM:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", inherited)
    assert entry._own_gpu_of_slurm() is None


FIRST_TASK = """
import sys
from irm_sweeps.launchers import entry
from irm_sweeps.worker import registry
living = [["the second"], ["the second"], []]
registry.siblings = lambda store, manifest: living.pop(0)
entry.WorkerTask._work_on = lambda *arguments: int(sys.argv[3])
try:
    entry.WorkerTask(sys.argv[1], sys.argv[2])()
except SystemExit as end:
    assert end.code == int(sys.argv[3])
assert living == []
"""


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_task_that_requeues_its_job_waits_for_the_others_however_it_ends(
    store: Store, manifest: Manifest, code: int
) -> None:
    """All is done, its GPU is lost, its device does not start."""
    environment = {**os.environ, "SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "9"}
    store.prepare()
    written = write_manifest(store, "sweep", {}, [], manifest.settings)
    arguments = [str(store.root), written.name, str(code)]
    subprocess.run([sys.executable, "-c", FIRST_TASK, *arguments], env=environment, check=True, timeout=60)


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
    assert entry._threads_of_slurm() == threads


def test_a_worker_imports_from_where_its_launcher_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    assert str(tmp_path) in WorkerTask("results", "sweep").folders


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
    assert not entry._slurm_preempts_us()
    fake("scontrol", answer)
    assert entry._slurm_preempts_us() == preempted


# -- a worker elsewhere ------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Process:
    return Process("node7", "another machine", 1234, 1, "12_3", 0)


def heartbeat(tmp_path: Path, age: float) -> Path:
    path = tmp_path / "claim.1.json"
    path.touch()
    touched = path.stat().st_mtime - age
    os.utime(path, (touched, touched))
    return path


MISSED = 4 * HEARTBEAT_SECONDS


@pytest.mark.parametrize(
    ("age", "answer", "error", "alive"),
    [
        (1, "", "slurm_load_jobs error: Invalid job id specified", True),  # it beats: SLURM is wrong
        (MISSED, "RUNNING", "", True),
        (MISSED, "PENDING", "", True),
        (MISSED, "CANCELLED", "", False),
        (MISSED, "NODE_FAIL", "", False),
        (MISSED, "", "slurm_load_jobs error: Invalid job id specified", False),
        (MISSED, "", "slurm_load_jobs error: Unable to contact slurm controller", True),
        (STALE_SECONDS + 1, "RUNNING", "", False),
    ],
)
def test_slurm_and_the_heartbeat_tell_who_lives(
    tmp_path: Path, fake: FakeCommand, elsewhere: Process, age: float, answer: str, error: str, alive: bool
) -> None:
    fake("squeue", answer, error, code=1 if error else 0)
    assert elsewhere.is_alive(heartbeat(tmp_path, age)) == alive


def test_an_earlier_run_of_ones_own_job_is_dead_once_silent(
    tmp_path: Path, fake: FakeCommand, elsewhere: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("squeue", "RUNNING")
    for name, value in {"JOB_ID": "15", "ARRAY_JOB_ID": "12", "ARRAY_TASK_ID": "3", "RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert (this_process().job, this_process().restarts) == ("12_3", 1)
    assert elsewhere.is_alive(heartbeat(tmp_path, 1))
    assert elsewhere.may_be_dead(heartbeat(tmp_path, 1))
    assert not elsewhere.is_alive(heartbeat(tmp_path, MISSED))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert elsewhere.is_alive(heartbeat(tmp_path, MISSED))
    assert not elsewhere.may_be_dead(heartbeat(tmp_path, 1))


def test_slurm_is_not_asked_about_a_beating_heart(tmp_path: Path, fake: FakeCommand, elsewhere: Process) -> None:
    calls = fake("squeue", "RUNNING")
    assert elsewhere.is_alive(heartbeat(tmp_path, 1))
    assert not calls.exists()
    assert not liveness.slurm_says_dead("12_3")
    assert calls.exists()
