"""`hydra/launcher=slurm` on a real cluster: what it submits, and what survives what a cluster does to jobs."""

from __future__ import annotations

import json
import re
import shutil
import time
from typing import Any

import cluster
import pytest
from bench import GATED, ROOT, SLURM, SMALL, Bench, accounted, await_states, eventually, slurm
from omegaconf import OmegaConf

from irm_sweeps.errors import UserError
from irm_sweeps.launchers.slurm import Slurm
from irm_sweeps.launchers.slurm_jobs import JobRecord
from irm_sweeps.launchers.slurm_options import SlurmOptions
from irm_sweeps.store.manifest import Manifest, RunSettings
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.progress import Progress

pytestmark = pytest.mark.slurm

Outcomes = dict[str, dict[str, Any]]


def pickles(bench: Bench) -> list[str]:
    """What submitit writes for a worker to read, and after it."""
    return sorted(path.name for path in bench.results.glob("sweeps/*/jobs/*.pkl"))


def test_array_of_workers_runs_every_trial_once(bench: Bench) -> None:
    jobs = bench.submit(*GATED, "seed=range(0,6)", "hydra.launcher.workers=2")
    assert len(jobs) == 2
    assert not list(bench.results.glob("*/result.json")), "the command waited"

    running = eventually(lambda: len(found := bench.status()["running"]) == 2 and found, "two trials run")
    assert sorted(entry["where"].rpartition(" ")[2] for entry in running) == sorted(jobs)
    bench.gate.touch()
    outcomes = bench.await_results(6)
    assert {outcome["status"] for outcome in outcomes.values()} == {"completed"}
    assert set(await_states(jobs).values()) == {("COMPLETED", "0:0")}
    assert bench.logs().count("stack of 1 on") == 6
    assert pickles(bench) == []

    again = bench.launch(*SLURM, *GATED, "seed=range(0,6)")
    assert "6 done, 0 to run" in again.stdout
    assert "submitted" not in again.stdout
    assert bench.job_ids() == jobs


def test_one_worker_trains_the_healthy_trial_among_those_that_end_it(bench: Bench) -> None:
    bad = ["+method.how=exit,kill,hang,none", "method._target_=gated.Ending", "training.steps=20"]
    jobs = bench.submit(*SMALL, *bad, "stall_seconds=10", "hydra.launcher.workers=1")
    bench.await_results(4, patience=300)
    results = [json.loads(path.read_text()) for path in bench.results.glob("*/result.json")]
    found = {result["config"]["method"]["how"]: result for result in results}
    assert found.pop("none")["status"] == "completed"
    assert {how: result["error"]["kind"] for how, result in found.items()} == dict.fromkeys(found, "crash")
    assert set(await_states(jobs).values()) == {("FAILED", "1:0")}
    assert pickles(bench) == []


def test_status_tells_pending_running_and_done(bench: Bench) -> None:
    (job,) = bench.submit(*GATED, "hydra.launcher.additional={hold:true}")
    text = bench.command("status")
    assert "0/1 done" in text
    assert "1 PENDING (JobHeldUser)" in text
    assert "nothing is running" not in text
    second = bench.launch(*SLURM, *GATED)
    assert second.returncode == 0
    assert f"1 workers of an earlier launch are queued or running: {job}" in second.stdout
    assert "submitted" not in second.stdout

    slurm("scontrol", "release", job)
    eventually(lambda: any(e["step"] > 0 for e in bench.status()["running"]), "the trial runs")
    text = bench.command("status")
    assert re.search(rf"running .* step \d+/1200  on .* job {job}", text)
    assert "1 RUNNING" in text
    bench.gate.touch()
    bench.await_results(1)
    await_states([job])
    text = bench.command("status", "--watch")
    assert "1/1 done (1 completed), 0 running, 0 to do" in text
    assert "SLURM" not in text


def test_more_workers_than_an_array_holds_are_chunked_and_cancelled(bench: Bench) -> None:
    jobs = bench.submit(
        *GATED, "seed=range(0,60)", "hydra.launcher.workers=60", "hydra.launcher.additional={hold:true}"
    )
    arrays = {job.partition("_")[0] for job in jobs}
    assert (len(jobs), len(arrays)) == (60, 2)
    assert bench.status()["jobs"] == "60 PENDING (JobHeldUser)"

    sweep = bench.status()["sweep"]
    assert f"{jobs[0]}, " in bench.command("cancel", sweep)
    eventually(lambda: bench.status()["jobs"] is None, "the arrays are gone")
    assert "nothing: no job is queued or running" in bench.command("cancel", sweep)
    assert "nothing is running" in bench.command("status")


def test_jobs_of_a_launcher_that_died_while_submitting_are_found(bench: Bench) -> None:
    (job,) = bench.submit(*GATED, "hydra.launcher.additional={hold:true}")
    (record,) = bench.results.glob("sweeps/*/jobs.json")
    record.unlink()
    (record.parent / "submitting.killed").touch()

    assert "cut short" in bench.command("status")
    second = bench.launch(*SLURM, *GATED)
    assert f"queued or running: {job}" in second.stdout
    assert bench.job_ids() == [job]
    assert "cut short" not in bench.command("status")


@pytest.mark.parametrize(("gpus", "runs_per_gpu", "workers"), [(1, 2, 2), (2, 1, 1)])
def test_each_worker_sees_the_gpu_that_slurm_gave(bench: Bench, gpus: int, runs_per_gpu: int, workers: int) -> None:
    n = workers * gpus * runs_per_gpu
    jobs = bench.submit(
        *GATED,
        f"seed=range(0,{n})",
        f"hydra.launcher.workers={workers}",
        f"hydra.launcher.gpus_per_node={gpus}",
        f"hydra.launcher.runs_per_gpu={runs_per_gpu}",
    )

    def entries() -> list[dict[str, Any]] | None:
        found = [json.loads(path.read_text()) for path in bench.results.glob("sweeps/*/workers/*.json")]
        return found if len(found) == n else None

    seen: dict[str, list[str]] = {}
    for entry in eventually(entries, f"{n} workers") or []:
        seen.setdefault(entry["process"]["job"], []).append(entry["gpu"])
    assert sorted(seen) == sorted(jobs)
    owners = set()
    for job, mine in seen.items():
        details = slurm("scontrol", "show", "job", "-d", job)
        found = re.search(r"Nodes=(n\d) .*GRES=gpu:\d\(IDX:([\d-]+)\)", details)
        assert found, details
        first, _, last = found[2].partition("-")
        given = [str(i) for i in range(int(first), int(last or first) + 1)]
        assert sorted(mine) == sorted(given * runs_per_gpu)
        owners |= {(found[1], gpu) for gpu in mine}
    assert len(owners) == workers * gpus, "two jobs share a GPU"


def _requeue(job: str) -> None:
    slurm("scontrol", "requeue", job)


def _usr2(job: str) -> None:
    slurm("scancel", "--signal=USR2", job)


def _preempt(job: str) -> None:
    script = ("--output=/dev/null", "--wrap=true")
    slurm("sbatch", "--partition=urgent", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=4", *script)


def _time_limit(job: str) -> None:
    slurm("scontrol", "update", f"jobid={job}", "EndTime=now+20")


def _node_failure(job: str) -> None:
    cluster.fail_node(slurm("squeue", "-h", "-o", "%N", "-j", job).strip())


DISTURBANCES = {
    "requeue": (_requeue, ""),
    "usr2": (_usr2, ""),
    "preemption": (_preempt, ""),
    "preemption_by_sigterm": (_preempt, "signal:TERM@90"),
    "time_limit": (_time_limit, "signal:USR2@15"),
    "node_failure": (_node_failure, ""),
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbed_job_goes_on_where_it_was(bench: Bench, undisturbed: Outcomes, name: str) -> None:
    disturb, additional = DISTURBANCES[name]
    (job,) = bench.submit(*GATED, f"hydra.launcher.additional={{{additional}}}")
    bench.await_checkpoints()
    disturb(job)
    eventually(lambda: "resumed at step" in bench.logs(), "the job resumes", patience=90)
    assert pickles(bench) == [f"{job}_submitted.pkl"], "it may start a third time"
    bench.gate.touch()
    outcomes = bench.await_results(1)
    assert outcomes == {trial_id: undisturbed[trial_id] for trial_id in outcomes}
    assert len(bench.traces()) == 2
    assert bench.never_two_at_once()
    assert await_states([job]) == {job: ("COMPLETED", "0:0")}
    assert "Restarts=1 " in slurm("scontrol", "show", "job", job)


def test_all_workers_of_a_requeued_task_go_on(bench: Bench, undisturbed: Outcomes) -> None:
    (job,) = bench.submit(*GATED, "seed=0,1", "hydra.launcher.runs_per_gpu=2")
    bench.await_checkpoints(2)
    _usr2(job)
    eventually(lambda: bench.logs().count("resumed at step") == 2, "both workers resume")
    bench.gate.touch()
    assert bench.await_results(2) == undisturbed
    assert await_states([job]) == {job: ("COMPLETED", "0:0")}


def test_another_worker_takes_over_what_a_dead_node_left(bench: Bench, undisturbed: Outcomes) -> None:
    jobs = bench.submit(
        *GATED,
        "seed=0,1",
        "hydra.launcher.workers=2",
        "hydra.launcher.additional={exclusive:true,no-requeue:true}",
        bench.nodes_as_machines(),
    )
    bench.await_checkpoints(2)
    try:
        cluster.fail_node("n1")
        eventually(lambda: max(bench.silences()) > 25, "the dead worker has missed two heartbeats")
        bench.gate.touch()
        # The other worker goes on with it as soon as the silence and SLURM agree.
        assert bench.await_results(2) == undisturbed
    finally:
        cluster.start_slurmd("n1")
    assert "resumed at step" in bench.logs()
    assert sorted(state for state, _ in await_states(jobs).values()) == ["COMPLETED", "NODE_FAIL"]


def test_a_worker_that_slurm_lost_is_left_its_trial(bench: Bench, undisturbed: Outcomes) -> None:
    (job,) = bench.submit(*GATED)
    bench.await_checkpoints()
    node = slurm("squeue", "-h", "-o", "%N", "-j", job).strip()
    try:
        cluster.kill_slurmd(node, with_jobs=False)
        slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        # Its job starts again on the other node, finds the trial in living hands and ends.
        eventually(lambda: accounted([job]).get(job) == ("COMPLETED", "0:0"), "the requeued job ends")
        assert len(bench.status()["running"]) == 1
        bench.gate.touch()
        outcomes = bench.await_results(1)
    finally:
        cluster.start_slurmd(node)
    assert outcomes == {trial_id: undisturbed[trial_id] for trial_id in outcomes}
    assert len(bench.traces()) == 1


def test_a_requeued_worker_waits_until_its_forerunner_elsewhere_is_surely_dead(
    bench: Bench, undisturbed: Outcomes
) -> None:
    (job,) = bench.submit(*GATED, bench.nodes_as_machines())
    bench.await_checkpoints()
    node = slurm("squeue", "-h", "-o", "%N", "-j", job).strip()
    try:
        cluster.fail_node(node)
        bench.gate.touch()
        outcomes = bench.await_results(1, patience=90)
    finally:
        cluster.start_slurmd(node)
    assert outcomes == {trial_id: undisturbed[trial_id] for trial_id in outcomes}
    assert "resumed at step" in bench.logs()
    first, second = bench.traces()
    assert second[0] - first[1] > 20, "it did not wait for the forerunner's silence"


def test_workers_go_on_without_the_controller(bench: Bench, undisturbed: Outcomes) -> None:
    jobs = bench.submit(*GATED, "seed=0,1", "hydra.launcher.workers=2")
    checkpoints = bench.await_checkpoints(2)
    cluster.stop_controller()
    try:
        stopped = time.time()
        eventually(lambda: all(path.stat().st_mtime > stopped + 3 for path in checkpoints), "training goes on")
        status = bench.status()
        assert len(status["running"]) == 2
        assert "which SLURM jobs are left is unknown: squeue: " in status["notes"][0]
    finally:
        cluster.start_controller()
    bench.gate.touch()
    assert bench.await_results(2) == undisturbed
    assert set(await_states(jobs).values()) == {("COMPLETED", "0:0")}
    assert bench.logs().count("stack of 1 on") == 2


def test_a_cancelled_job_frees_its_trial(bench: Bench, undisturbed: Outcomes) -> None:
    (job,) = bench.submit(*GATED, "seed=0,1")
    bench.await_checkpoints()
    slurm("scancel", job)
    eventually(lambda: not bench.status()["running"], "the claim is free", patience=20)
    assert await_states([job])[job][0].startswith("CANCELLED")
    bench.gate.touch()
    (second,) = bench.submit(*GATED, "seed=0,1")
    assert await_states([second])
    assert bench.await_results(2) == undisturbed
    assert "resumed at step" in bench.logs()
    assert pickles(bench) == [], "of the cancelled job the second launch removed it"


def test_a_failing_trial_fails_its_array_task_and_no_other_trial(bench: Bench) -> None:
    jobs = bench.submit(
        *SMALL,
        "training.steps=20",
        "method._target_=gated.Failing,irm_sweeps.methods.irmv1.IRMv1",
        "seed=range(0,3)",
        "hydra.launcher.workers=2",
    )
    outcomes = bench.await_results(6)
    states = await_states(jobs)
    assert sorted(outcome["status"] for outcome in outcomes.values()) == ["completed"] * 3 + ["failed"] * 3
    assert ("FAILED", "1:0") in states.values()
    assert set(states.values()) <= {("FAILED", "1:0"), ("COMPLETED", "0:0")}
    assert "3 x RuntimeError: this method fails at step 3" in bench.command("failures")


def test_wait_follows_to_the_end(bench: Bench) -> None:
    overrides = [*SLURM, *SMALL, "training.steps=20", "hydra.launcher.wait=true"]
    followed = bench.launch(*overrides, "seed=0,1")
    assert followed.returncode == 0, followed.stderr
    assert "[2/2]" in followed.stdout
    assert "2 completed in" in followed.stdout
    failing = bench.launch(*overrides, "method._target_=gated.Failing")
    assert failing.returncode == 1
    assert "1 failed" in failing.stdout


def test_why_all_workers_ended_is_told(bench: Bench) -> None:
    broken = [*GATED, "device=cuda", "hydra.launcher.gpus_per_node=1"]  # the lab's GPUs are no GPUs
    await_states(bench.submit(*broken))
    reason = "error: device=cuda: CUDA does not start"
    told = bench.command("status")
    assert f"ended    1 worker: {reason}" in told
    assert "nothing is running" in told
    assert f"1 worker ended early: {reason}" in bench.command("failures")

    followed = bench.launch(
        *SLURM, *GATED, "hydra.launcher.wait=true", "hydra.launcher.setup=['echo no such module >&2','exit 3']"
    )
    assert followed.returncode == 2
    assert "all jobs have ended and trials are left" in followed.stderr
    assert "last message: no such module" in followed.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gpus_per_node": 7}, "Requested node configuration is not available"),
        ({"additional": {"nosuch": 1}}, "unrecognized option '--nosuch=1'"),
    ],
)
def test_what_slurm_refuses_is_told_in_its_own_words(
    bench: Bench, options: dict[str, Any], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    defaults = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "hydra" / "launcher" / "slurm.yaml"))
    assert isinstance(defaults, dict)
    own = {key: value for key, value in defaults.items() if not key.startswith("_")}
    launcher = Slurm(SlurmOptions.from_config({**own, **options}))
    settings = RunSettings(device="cpu", data_dir="data", on_error="continue", checkpoint_seconds=30)
    manifest = Manifest("sweep-1", {}, [["0123456789abcdef"]], settings, "launch", "", "")
    with pytest.raises(UserError, match=f"^sbatch refused the workers: .*{words}"):
        launcher.run(Store(bench.results), manifest, Progress(1))
    assert not JobRecord(Store(bench.results), manifest).cut_short()
    assert capfd.readouterr().err == ""


def test_a_refused_launch_is_one_line(bench: Bench) -> None:
    refused = bench.launch(*SLURM, *GATED, "hydra.launcher.partition=nosuch")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: sbatch refused the workers: invalid partition specified: nosuch; "
        "Batch job submission failed: Invalid partition name specified\n"
    )
    assert not bench.job_ids()


def test_without_slurm_there_is_one_line(bench: Bench) -> None:
    tools = bench.folder / "tools"
    tools.mkdir()
    for name in ("git", "env"):
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    refused = bench.launch(*SLURM, *GATED, PATH=str(tools))
    assert refused.returncode == 2
    assert refused.stderr == "error: hydra/launcher=slurm: no srun on this machine; use hydra/launcher=local\n"


MINE = """
from gated import Gated


class Mine(Gated):
    def penalty(self, at, features, logits, risks):
        return {weight} * super().penalty(at, features, logits, risks)
"""


def test_jobs_run_the_code_that_was_submitted(bench: Bench) -> None:
    """Edited when the job is submitted, gone when it is requeued."""
    mine = [*(word for word in GATED if "_target_" not in word), "method._target_=mine.Mine", "seed=0,1"]
    before = Bench(bench.folder / "undisturbed")
    before.gate.touch()
    for place in (before, bench):
        (place.folder / "mine.py").write_text(MINE.format(weight=2))
    assert before.launch("hydra/launcher=inprocess", *mine).returncode == 0

    (job,) = bench.submit(*mine)
    (bench.folder / "mine.py").write_text(MINE.format(weight=1000))
    bench.await_checkpoints()
    (bench.folder / "mine.py").unlink()
    slurm("scontrol", "requeue", job)
    bench.gate.touch()
    assert bench.await_results(2, 240) == before.outcomes()
    assert "resumed at step" in bench.logs()
    await_states([job])
