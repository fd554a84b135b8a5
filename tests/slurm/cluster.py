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
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab import configuration, machine
from lab.commands import CLIENT_LOG, LabError, holds, output, run, succeeds
from lab.configuration import DB_SOCKET, LOG, MUNGE_SOCKET, NODES, PORTS, RUN
from lab.daemons import DAEMONS, MARIADBD, MUNGED, SLURMCTLD, SLURMDBD, SLURMDS, kill_steps, stop_daemons


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
    if (path := configuration.foreign()) is not None:
        return f"{path} belongs to another SLURM installation"
    return None


def healthy() -> bool:
    """Whether every daemon that the lab started is alive and both nodes take jobs."""
    return all(daemon.pid is not None for daemon in DAEMONS) and _up()


def start() -> None:
    """Install, configure and start what is missing; return when both nodes take jobs."""
    reason = available()
    if reason is not None:
        raise LabError(f"cannot run a SLURM cluster here: {reason}")
    with _lock():
        LOG.mkdir(parents=True, exist_ok=True)
        machine.install()
        machine.make_directories()
        _configure()
        if healthy():
            return
        machine.make_fake_gpus()
        machine.make_munge_key()
        machine.make_database()
        MUNGED.spawn()
        MUNGED.await_ready(lambda: succeeds("munge", f"--socket={MUNGE_SOCKET}", "--no-input"))
        MARIADBD.spawn()
        MARIADBD.await_ready(lambda: succeeds("mariadb-admin", "--no-defaults", f"--socket={DB_SOCKET}", "ping"))
        SLURMDBD.spawn()
        SLURMDBD.await_ready(lambda: succeeds("sacctmgr", "-n", "list", "cluster"))
        clusters = output(("sacctmgr", "-n", "-P", "list", "cluster", "format=cluster")) or ""
        if "lab" not in clusters.split():
            run(("sacctmgr", "-i", "add", "cluster", "lab"), LOG / "sacctmgr.log", 30)
        start_controller()
        for daemon in SLURMDS.values():
            daemon.spawn()
        for node in NODES:
            start_slurmd(node)


def _configure() -> None:
    """Write the SLURM configuration; a running lab with an older one is stopped first."""
    written = configuration.written()
    if written == configuration.CONFIGS:
        return
    if written:
        stop_daemons()
    configuration.write()


def stop() -> None:
    """Cancel all jobs, then end the processes that the lab started, and no others."""
    with _lock():
        if SLURMCTLD.pid is not None and succeeds("scancel", "--user=root"):
            holds(lambda: not output(("squeue", "-h", "-t", "running,completing")), 20, interval=0.5)
        stop_daemons()


def _await_nodes(nodes: Sequence[str], patience: float = 60.0) -> None:
    """Wait until the nodes take jobs, returning to service those which went down or drained."""

    def up() -> bool:
        for node, state in node_states().items():
            if node in nodes and state.startswith(("down", "drain")) and not state.endswith("*"):
                succeeds("scontrol", "update", f"nodename={node}", "state=resume")
        return _up(nodes)

    if not holds(up, patience, interval=0.3):
        states = " ".join(f"{node}={state}" for node, state in node_states().items()) or "no answer"
        raise LabError(f"nodes not idle after {patience:.0f} s: {states} (log {SLURMCTLD.output})")


def node_states() -> dict[str, str]:
    """State of each node as `sinfo` names it, such as idle, mixed or down*; empty without a controller."""
    lines = (output(("sinfo", "-h", "-N", "-p", "debug", "-o", "%N %T")) or "").splitlines()
    return {node: state for node, _, state in (line.partition(" ") for line in lines)}


def _listens(port: int) -> bool:
    """Whether a process listens on the TCP port."""
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A" for fields in sockets)


def _up(nodes: Sequence[str] = NODES) -> bool:
    """Whether the nodes answer and take jobs: idle, or busy with jobs."""
    states = node_states()
    return all(states.get(node) in ("idle", "mixed", "allocated", "completing") for node in nodes)


def kill_slurmd(node: str, with_jobs: bool = True) -> None:
    """SIGKILL a node's daemon, and by default its job processes too, as when the machine dies.

    Without `with_jobs` the job goes on as an orphan while the controller requeues it.
    """
    SLURMDS[node].end(signal.SIGKILL)
    if with_jobs:
        kill_steps(node)


def fail_node(node: str) -> None:
    """As `kill_slurmd`, and tell the controller at once, which else takes its time to notice."""
    kill_slurmd(node)
    if not succeeds("scontrol", "update", f"nodename={node}", "state=down", "reason=test"):
        raise LabError(f"cannot mark {node} down (log {CLIENT_LOG})")


def start_slurmd(node: str) -> None:
    """Start a node's daemon if it is not alive, and wait until the node takes jobs."""
    SLURMDS[node].spawn()
    SLURMDS[node].await_ready(lambda: _listens(PORTS[node]))
    _await_nodes([node])


def stop_controller(sig: signal.Signals = signal.SIGTERM) -> None:
    """End the controller; running jobs go on.

    SIGTERM lets it save its state; after SIGKILL it has forgotten the jobs of the last few seconds.
    """
    SLURMCTLD.end(sig)


def start_controller() -> None:
    """Start the controller if it is not alive, and wait until it answers and knows its live nodes."""
    SLURMCTLD.spawn()
    SLURMCTLD.await_ready(lambda: " is UP" in (output(("scontrol", "ping")) or ""))
    _await_nodes([node for node, daemon in SLURMDS.items() if daemon.pid is not None])


def status() -> str:
    """One line for each daemon and node."""
    lines = []
    for daemon in DAEMONS:
        pid = daemon.pid
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
