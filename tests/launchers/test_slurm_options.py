"""The SLURM launcher without a cluster: its options and its record of jobs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from commands import FakeCommand
from irm_sweeps.conf_folders import conf_dir
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.slurm import Slurm
from irm_sweeps.launchers.slurm_jobs import JobRecord, in_words
from irm_sweeps.launchers.slurm_options import SlurmOptions
from irm_sweeps.slurm import SlurmError
from irm_sweeps.store.manifest import Manifest, RunSettings
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
    ("changes", "delay"),
    [
        ({}, 90),
        ({"timeout_min": 1}, 20),
        ({"timeout_min": 3, "signal_delay_s": 90}, 90),
        ({"timeout_min": 1, "additional": {"time": "1-0"}}, 90),
        ({"timeout_min": 1, "additional": {"time": "UNLIMITED"}}, 90),
        ({"additional": {"time": "2:30"}}, 50),
        ({"additional": {"signal": "TERM@15"}, "timeout_min": 1}, 15),
        ({"additional": {"signal": "TERM"}}, 60),
    ],
)
def test_the_signal_comes_well_after_the_start(changes: dict[str, Any], delay: int) -> None:
    assert options(**changes).seconds_to_stop == delay


@pytest.mark.parametrize(
    ("changes", "named", "most"),
    [
        ({"timeout_min": 1, "signal_delay_s": 90}, "signal_delay_s=90", 30),
        ({"timeout_min": 2, "signal_delay_s": 61}, "signal_delay_s=61", 60),
        ({"timeout_min": 1, "additional": {"signal": "TERM@40"}}, "additional={signal:TERM@40}", 30),
        ({"timeout_min": 1, "additional": {"signal": "B:TERM"}}, "additional={signal:B:TERM}", 30),
        ({"signal_delay_s": 90, "additional": {"time": 1}}, "signal_delay_s=90", 30),
        ({"signal_delay_s": 90, "additional": {"time": "0:2:00"}}, "signal_delay_s=90", 60),
        ({"signal_delay_s": 1800, "additional": {"time": "0-0:59"}}, "signal_delay_s=1800", 1770),
    ],
)
def test_a_task_that_would_be_asked_to_stop_at_once_is_refused(changes: dict[str, Any], named: str, most: int) -> None:
    with pytest.raises(UserError) as refused:
        options(**changes)
    told = str(refused.value)
    assert told.startswith(f"hydra.launcher.{named}: ")
    assert f"give at most {most} s, or a time limit of at least" in told
    assert "\n" not in told


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


def test_lines_of_another_form_are_no_traceback(record: JobRecord, fake: FakeCommand) -> None:
    fake("squeue", "CLUSTER: big\n\n12_0|RUNNING|None\n")
    assert record.living() == {"12_0": ("RUNNING", "None")}
    for line in ("12_0 RUNNING None", "12_0|RUNNING", "|RUNNING|None", "slurm: warning"):
        fake("squeue", f"{line}\n12_0|RUNNING|None\n")
        with pytest.raises(SlurmError, match=r"squeue: a line of another form than was asked for: "):
            record.living()
        record.about_to_submit()
        fake("squeue", "no id and no script\n")
        with pytest.raises(SlurmError, match="another form"):
            record.find_lost()
        record.submitted([])


def test_what_the_user_filters_squeue_by_is_not_ours(
    record: JobRecord, fake: FakeCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake("squeue")
    monkeypatch.setenv("SQUEUE_USERS", "somebody")
    monkeypatch.setenv("SQUEUE_FORMAT2", "jobid")
    monkeypatch.setenv("SLURM_CONF", "/etc/slurm.conf")
    script = tmp_path / "bin" / "squeue"
    script.write_text(
        f"#!{sys.executable} -S\nimport os\n"
        "odd = [name for name in os.environ if name.startswith('SQUEUE_')]\n"
        "print('12_0|RUNNING|' + (' '.join(odd) or os.environ['SLURM_CONF']))\n"
    )
    assert record.living() == {"12_0": ("RUNNING", "/etc/slurm.conf")}


def test_jobs_that_have_ended_are_not_living(record: JobRecord, fake: FakeCommand) -> None:
    fake("squeue", "12_0|COMPLETED|None\n12_1|COMPLETING|None\n15|CANCELLED by 0|None\n")
    assert list(record.living()) == ["12_1"]


def test_jobs_of_another_cluster_are_neither_asked_for_nor_cancelled_here(
    store: Store, manifest: Manifest, fake: FakeCommand
) -> None:
    """The other cluster may have somebody's job of the same id."""
    record = JobRecord(store, manifest)
    record.about_to_submit()
    record.submitted(["12_0", "15"])  # as by an earlier version: SLURM does not tell its name
    fake("scontrol", "ClusterName = big\n")
    record.about_to_submit()
    record.submitted(["20_0"])
    assert json.loads(record.path.read_text())["clusters"] == {"20": "big"}
    calls = fake("squeue", "20_0|RUNNING|None\n12_0|RUNNING|None\n")
    assert list(record.living()) == ["12_0", "20_0"]
    fake("scontrol", "ClusterName = small\n")
    calls.unlink()
    assert list(record.living()) == ["12_0"]
    assert calls.read_text().split()[-1] == "12,15"
    fake("squeue")
    with pytest.raises(SlurmError, match="nothing was cancelled: 20_0 went to cluster big: ask there"):
        record.cancel()


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
