"""What this machine needs before the daemons can start: packages, folders, devices, a key and a database."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from lab.commands import ENVIRONMENT, run
from lab.configuration import DB_SOCKET, ETC, GPUS_PER_NODE, LIB, LOG, MUNGE, NODES, RUN

PACKAGES = ("slurm-wlm", "munge", "slurmdbd", "mariadb-server")


def install() -> None:
    """Install the Debian packages whose programs are missing."""
    programs = ("munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sbatch")
    if all(shutil.which(program, path=ENVIRONMENT["PATH"]) for program in programs):
        return
    log = LOG / "apt.log"
    with _no_service_starts():
        run(("apt-get", "update"), log, 300)
        run(("apt-get", "install", "-y", "--no-install-recommends", *PACKAGES), log, 900)


def make_directories() -> None:
    for path in (ETC, RUN / "pids", LIB / "slurmctld", *(LIB / f"slurmd.{node}" for node in NODES), LOG):
        path.mkdir(parents=True, exist_ok=True)
    for path, owner in ((MUNGE, "munge"), (DB_SOCKET.parent, "mysql"), (LIB / "mysql", "mysql")):
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
        shutil.chown(path, owner, owner)


def make_fake_gpus() -> None:
    """Device nodes that stand for GPUs: `/dev/null` by other names, so SLURM has files to hand out."""
    for index in range(GPUS_PER_NODE):
        path = Path(f"/dev/fakegpu{index}")
        if not path.exists():
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def make_munge_key() -> None:
    key = LIB / "munge.key"
    if not key.exists():
        key.touch(mode=0o400)
        key.write_bytes(os.urandom(1024))
    shutil.chown(key, "munge", "munge")


def make_database() -> None:
    """Data directory in which root logs in over the socket, without a password."""
    if not (LIB / "mysql" / "mysql").exists():
        command = ("mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={LIB}/mysql")
        run((*command, "--skip-test-db"), LOG / "mariadb-install-db.log", 120)


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
