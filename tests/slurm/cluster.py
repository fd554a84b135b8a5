"""A real SLURM cluster on one Debian machine, for integration tests.

Two `slurmd` nodes (`n1`, `n2`) with two fake GPUs each, a controller, and accounting, all private to this lab
except `/etc/slurm`, where SLURM's own clients look for their configuration. Every duration is in seconds.

    python tests/slurm/cluster.py start|stop|status
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NODES = ("n1", "n2")
PORTS = {"n1": 17001, "n2": 17002}
GPUS_PER_NODE = 2
PACKAGES = ("slurm-wlm", "munge", "slurmdbd", "mariadb-server")

ETC = Path("/etc/slurm")
RUN = Path("/run/irm-slurm-lab")
LIB = Path("/var/lib/irm-slurm-lab")
LOG = Path("/var/log/irm-slurm-lab")
CLIENT_LOG = LOG / "clients.log"
MUNGE = RUN / "munge"
MUNGE_SOCKET = MUNGE / "socket"
DB_SOCKET = RUN / "mysql" / "socket"

MARK = "# Written by tests/slurm/cluster.py (irm-slurm-lab).\n"
DAEMON_ENV = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "MYSQL_UNIX_PORT": str(DB_SOCKET),
}

SLURM_CONF = f"""{MARK}\
ClusterName=lab
SlurmctldHost=localhost
SlurmctldPort=17000
AuthType=auth/munge
# cred_expire is also how long a requeued job is held back: default 120, least 5.
AuthInfo=socket={MUNGE_SOCKET},cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={LIB}/slurmctld
SlurmctldPidFile={RUN}/slurmctld.pid
SlurmctldLogFile={LOG}/slurmctld.log
SlurmdSpoolDir={LIB}/slurmd.%n
SlurmdPidFile={RUN}/slurmd.%n.pid
SlurmdLogFile={LOG}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
MaxArraySize=50
MinJobAge=900
KillWait=5
UnkillableStepTimeout=50
SlurmctldTimeout=15
SlurmdTimeout=15
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=17003
AccountingStoragePass={MUNGE_SOCKET}
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=10
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[17001-17002] CPUs=4 RealMemory=16000 \
Gres=gpu:{GPUS_PER_NODE} State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""

SLURMDBD_CONF = f"""{MARK}\
AuthType=auth/munge
AuthInfo=socket={MUNGE_SOCKET}
DbdHost=localhost
DbdPort=17003
SlurmUser=root
PidFile={RUN}/slurmdbd.pid
LogFile={LOG}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""

GRES_CONF = f"{MARK}AutoDetect=off\nNodeName=n[1-2] Name=gpu File=/dev/fakegpu[0-{GPUS_PER_NODE - 1}]\n"

CONFIGS = {"slurm.conf": SLURM_CONF, "gres.conf": GRES_CONF, "slurmdbd.conf": SLURMDBD_CONF}


class LabError(RuntimeError):
    """The cluster could not be brought to the wanted state; the message is one line with the reason."""


@dataclass(frozen=True)
class Daemon:
    """One foreground daemon that the lab starts and ends."""

    name: str
    command: tuple[str, ...]

    @property
    def record(self) -> Path:
        """File that holds the pid and start time of the process which the lab started."""
        return RUN / "pids" / self.name

    @property
    def output(self) -> Path:
        """File that receives stdout and stderr."""
        return LOG / f"{self.name}.out"


MUNGED = Daemon(
    "munged",
    (
        *("setpriv", "--reuid=munge", "--regid=munge", "--init-groups"),
        *("munged", "--foreground", f"--socket={MUNGE_SOCKET}", f"--key-file={LIB}/munge.key"),
        *(f"--pid-file={MUNGE}/pid", f"--seed-file={MUNGE}/seed"),
    ),
)
MARIADBD = Daemon(
    "mariadbd",
    (
        *("mariadbd", "--no-defaults", "--user=mysql", f"--datadir={LIB}/mysql", f"--socket={DB_SOCKET}"),
        *(f"--pid-file={DB_SOCKET.parent}/pid", "--skip-networking", "--skip-log-bin"),
        *("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"),
    ),
)
SLURMDBD = Daemon("slurmdbd", ("slurmdbd", "-D"))
SLURMCTLD = Daemon("slurmctld", ("slurmctld", "-D"))
SLURMDS = {node: Daemon(f"slurmd.{node}", ("slurmd", "-D", "-N", node)) for node in NODES}
DAEMONS = (MUNGED, MARIADBD, SLURMDBD, SLURMCTLD, *SLURMDS.values())


# --- processes ---


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the process state on; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _start_time(pid: int) -> str | None:
    """Kernel start time of a live process, None where it is gone or a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    fields = _stat_fields(pid)
    return None if not fields or fields[0] in "ZX" else fields[19]


def _pid(daemon: Daemon) -> int | None:
    """Pid of the daemon if the very process that the lab started is alive."""
    try:
        pid, started = daemon.record.read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if _start_time(int(pid)) == started else None


def _spawn(daemon: Daemon) -> None:
    """Start the daemon in a session of its own and record its pid; a live one is left alone."""
    if _pid(daemon) is not None:
        return
    program = shutil.which(daemon.command[0], path=DAEMON_ENV["PATH"])
    if program is None:
        raise LabError(f"{daemon.command[0]} is not installed")
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    redirects = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(daemon.output), append, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    pid = os.posix_spawn(program, daemon.command, DAEMON_ENV, file_actions=redirects, setsid=True)
    daemon.record.write_text(f"{pid} {_start_time(pid)}\n")


def _end(daemon: Daemon, sig: signal.Signals = signal.SIGTERM, patience: float = 20.0) -> None:
    """Signal the daemon and wait for its end; SIGKILL after `patience`."""
    pid = _pid(daemon)
    if pid is not None:
        for attempt in (sig, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, attempt)
            if _holds(lambda: _pid(daemon) is None, patience):
                break
        else:
            raise LabError(f"{daemon.name} (pid {pid}) does not end, log {daemon.output}")
    daemon.record.unlink(missing_ok=True)


def _step_processes(node: str) -> list[int]:
    """Pids of the node's job step daemons and of all that runs under them."""
    log = str(LOG / f"slurmd.{node}.log")
    children: dict[int, list[int]] = {}
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        fields = _stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == "slurmstepd" and any(
                os.readlink(link) == log for link in (entry / "fd").iterdir()
            ):
                found.append(pid)
    for pid in found:
        found.extend(child for child in children.get(pid, ()) if child not in found)
    return found


def _kill_steps(node: str) -> None:
    """SIGKILL all that the node's jobs run."""
    for pid in _step_processes(node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# --- conditions ---


def _holds(condition: Callable[[], bool], patience: float, interval: float = 0.1) -> bool:
    """Whether the condition comes true within `patience`."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True


def _await(daemon: Daemon, ready: Callable[[], bool], patience: float = 60.0) -> None:
    """Wait until the daemon is ready; fail at once when its process ends."""
    if _holds(lambda: _pid(daemon) is None or ready(), patience) and _pid(daemon) is not None:
        return
    verdict = f"not ready after {patience:.0f} s" if _pid(daemon) is not None else "ended at once"
    logs = f"{daemon.output}, {CLIENT_LOG}"
    raise LabError(f"{daemon.name} {verdict}: {_last_line(daemon.output)} (logs {logs})")


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n") if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def _output(command: Sequence[str], patience: float = 10.0) -> str | None:
    """Stdout of a client command; None where it failed or hung. Its complaints go to a log."""
    LOG.mkdir(parents=True, exist_ok=True)
    with CLIENT_LOG.open("a") as complaints:
        try:
            done = subprocess.run(
                command,
                env=DAEMON_ENV,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                timeout=patience,
                check=False,
            )
        except (subprocess.TimeoutExpired, FileNotFoundError):
            return None
    return done.stdout if done.returncode == 0 else None


def _succeeds(*command: str) -> bool:
    return _output(command) is not None


def node_states() -> dict[str, str]:
    """State of each node as `sinfo` names it, such as idle, mixed or down*; empty without a controller."""
    lines = (_output(("sinfo", "-h", "-N", "-p", "debug", "-o", "%N %T")) or "").splitlines()
    return {node: state for node, _, state in (line.partition(" ") for line in lines)}


def _listens(port: int) -> bool:
    """Whether a process listens on the TCP port."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in sockets)


def _up(nodes: Sequence[str] = NODES) -> bool:
    """Whether the nodes answer and take jobs: idle, or busy with jobs."""
    states = node_states()
    return all(states.get(node) in ("idle", "mixed", "allocated", "completing") for node in nodes)


# --- setup ---


def _run_setup(command: Sequence[str], log: Path, patience: float) -> None:
    """Run one setup command with its output in a log; LabError where it fails."""
    with log.open("a") as sink:
        try:
            subprocess.run(
                command,
                env={**DAEMON_ENV, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=patience,
                check=True,
            )
        except (subprocess.SubprocessError, FileNotFoundError) as error:
            raise LabError(f"{' '.join(command[:3])} failed: {_last_line(log)} (log {log})") from error


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep packages from starting their services, unless the machine already has a policy of its own."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def _install() -> None:
    """Install the Debian packages whose programs are missing."""
    programs = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch")
    if all(shutil.which(program, path=DAEMON_ENV["PATH"]) for program in programs):
        return
    log = LOG / "apt.log"
    with _no_service_starts():
        _run_setup(("apt-get", "update"), log, 300)
        _run_setup(("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES), log, 900)


def _make_directories() -> None:
    for path in (ETC, RUN / "pids", LIB / "slurmctld", *(LIB / f"slurmd.{node}" for node in NODES), LOG):
        path.mkdir(parents=True, exist_ok=True)
    for path, owner in ((MUNGE, "munge"), (DB_SOCKET.parent, "mysql"), (LIB / "mysql", "mysql")):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
        shutil.chown(path, owner, owner)


def _make_fake_gpus() -> None:
    """Device nodes that stand for GPUs: `/dev/null` by other names, so SLURM has files to hand out."""
    for index in range(GPUS_PER_NODE):
        path = Path(f"/dev/fakegpu{index}")
        if not path.exists():
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def _make_munge_key() -> None:
    key = LIB / "munge.key"
    if not key.exists():
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(1024))
    shutil.chown(key, "munge", "munge")


def _make_database() -> None:
    """Data directory in which root logs in over the socket, without a password."""
    if not (LIB / "mysql" / "mysql").exists():
        command = ("mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={LIB}/mysql")
        _run_setup((*command, "--skip-test-db"), LOG / "mariadb-install-db.log", 120)


def _write_configs() -> None:
    """Write the SLURM configuration; a running lab with an older one is stopped first."""
    current = {name: (ETC / name).read_text() if (ETC / name).exists() else "" for name in CONFIGS}
    if current == CONFIGS:
        return
    if any(current.values()):
        _stop_daemons()
    for name, text in CONFIGS.items():
        (ETC / name).touch(mode=0o600 if name == "slurmdbd.conf" else 0o644)
        (ETC / name).write_text(text)


# --- the cluster ---


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    """One start or stop at a time on this machine."""
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def available() -> str | None:
    """None where this machine can run the cluster, else the reason why not."""
    if os.geteuid() != 0:
        return "not root"
    if not Path("/etc/debian_version").exists():
        return "not Debian"
    if shutil.which("apt-get") is None:
        return "no apt-get"
    for name in CONFIGS:
        path = ETC / name
        if path.exists() and not path.read_text(errors="replace").startswith(MARK):
            return f"{path} belongs to another SLURM installation"
    return None


def healthy() -> bool:
    """Whether every daemon that the lab started is alive and both nodes take jobs."""
    return all(_pid(daemon) is not None for daemon in DAEMONS) and _up()


def start() -> None:
    """Install, configure and start what is missing; return when both nodes take jobs."""
    reason = available()
    if reason is not None:
        raise LabError(f"cannot run a SLURM cluster here: {reason}")
    with _lock():
        LOG.mkdir(parents=True, exist_ok=True)
        _install()
        _make_directories()
        _write_configs()
        if healthy():
            return
        _make_fake_gpus()
        _make_munge_key()
        _make_database()
        _spawn(MUNGED)
        _await(MUNGED, lambda: _succeeds("munge", f"--socket={MUNGE_SOCKET}", "--no-input"))
        _spawn(MARIADBD)
        _await(MARIADBD, lambda: _succeeds("mariadb-admin", "--no-defaults", f"--socket={DB_SOCKET}", "ping"))
        _spawn(SLURMDBD)
        _await(SLURMDBD, lambda: _succeeds("sacctmgr", "-n", "list", "cluster"))
        clusters = _output(("sacctmgr", "-n", "-P", "list", "cluster", "format=cluster")) or ""
        if "lab" not in clusters.split():
            _run_setup(("sacctmgr", "-i", "add", "cluster", "lab"), LOG / "sacctmgr.log", 30)
        start_controller()
        for daemon in SLURMDS.values():
            _spawn(daemon)
        for node in NODES:
            start_slurmd(node)


def stop() -> None:
    """Cancel all jobs, then end the processes that the lab started, and no others."""
    with _lock():
        if _pid(SLURMCTLD) is not None and _succeeds("scancel", "--user=root"):
            _holds(lambda: not _output(("squeue", "-h", "-t", "running,completing")), 20, interval=0.5)
        _stop_daemons()


def _stop_daemons() -> None:
    for daemon in reversed(DAEMONS):
        _end(daemon)
    for node in NODES:
        _kill_steps(node)


def _await_nodes(nodes: Sequence[str], patience: float = 60.0) -> None:
    """Wait until the nodes take jobs, returning to service those which went down or drained."""

    def up() -> bool:
        for node, state in node_states().items():
            if node in nodes and state.startswith(("down", "drain")) and not state.endswith("*"):
                _succeeds("scontrol", "update", f"nodename={node}", "state=resume")
        return _up(nodes)

    if not _holds(up, patience, interval=0.3):
        states = " ".join(f"{node}={state}" for node, state in node_states().items()) or "no answer"
        raise LabError(f"nodes not idle after {patience:.0f} s: {states} (log {SLURMCTLD.output})")


# --- faults ---


def kill_slurmd(node: str, with_jobs: bool = True) -> None:
    """SIGKILL a node's daemon, and by default its job processes too, as when the machine dies.

    Without `with_jobs` the job goes on as an orphan while the controller requeues it.
    """
    _end(SLURMDS[node], signal.SIGKILL)
    if with_jobs:
        _kill_steps(node)


def fail_node(node: str) -> None:
    """As `kill_slurmd`, and tell the controller at once, which else takes its time to notice."""
    kill_slurmd(node)
    if not _succeeds("scontrol", "update", f"nodename={node}", "state=down", "reason=test"):
        raise LabError(f"cannot mark {node} down (log {CLIENT_LOG})")


def start_slurmd(node: str) -> None:
    """Start a node's daemon if it is not alive, and wait until the node takes jobs."""
    _spawn(SLURMDS[node])
    _await(SLURMDS[node], lambda: _listens(PORTS[node]))
    _await_nodes([node])


def stop_controller(sig: signal.Signals = signal.SIGTERM) -> None:
    """End the controller; running jobs go on.

    SIGTERM lets it save its state; after SIGKILL it has forgotten the jobs of the last few seconds.
    """
    _end(SLURMCTLD, sig)


def start_controller() -> None:
    """Start the controller if it is not alive, and wait until it answers and knows its live nodes."""
    _spawn(SLURMCTLD)
    _await(SLURMCTLD, lambda: " is UP" in (_output(("scontrol", "ping")) or ""))
    _await_nodes([node for node, daemon in SLURMDS.items() if _pid(daemon) is not None])


def status() -> str:
    """One line for each daemon and node."""
    lines = []
    for daemon in DAEMONS:
        pid = _pid(daemon)
        lines.append(f"{daemon.name:<10} {'not running' if pid is None else f'pid {pid}'}")
    lines += [f"node {node}    {state}" for node, state in node_states().items()]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Command line: 0 where the wanted state is reached (for status: the cluster is healthy)."""
    actions: dict[str, Callable[[], None]] = {"start": start, "stop": stop, "status": lambda: None}
    if len(arguments) != 1 or arguments[0] not in actions:
        print(f"usage: cluster.py {'|'.join(actions)}", file=sys.stderr)
        return 2
    try:
        actions[arguments[0]]()
        print(status())
        return 0 if arguments[0] == "stop" or healthy() else 1
    except (LabError, OSError) as error:
        print(f"{arguments[0]} failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
