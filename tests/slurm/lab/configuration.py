"""Where the lab lies on this machine, and SLURM's configuration files for it."""

from __future__ import annotations

from pathlib import Path

NODES = ("n1", "n2")
PORTS = {"n1": 17001, "n2": 17002}
GPUS_PER_NODE = 2

ETC = Path("/etc/slurm")
RUN = Path("/run/irm-slurm-lab")
LIB = Path("/var/lib/irm-slurm-lab")
LOG = Path("/var/log/irm-slurm-lab")
MUNGE = RUN / "munge"
MUNGE_SOCKET = MUNGE / "socket"
DB_SOCKET = RUN / "mysql" / "socket"

MARK = "# Written by tests/slurm/cluster.py (irm-slurm-lab).\n"

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


def foreign() -> Path | None:
    """A configuration file that another SLURM installation has written, if there is one."""
    paths = (ETC / name for name in CONFIGS)
    return next((p for p in paths if p.exists() and not p.read_text(errors="replace").startswith(MARK)), None)


def written() -> dict[str, str]:
    """The files that are there, by name."""
    return {name: (ETC / name).read_text() for name in CONFIGS if (ETC / name).exists()}


def write() -> None:
    """Write the files; daemons read them when they start."""
    for name, text in CONFIGS.items():
        (ETC / name).touch(mode=0o600 if name == "slurmdbd.conf" else 0o644)
        (ETC / name).write_text(text)
