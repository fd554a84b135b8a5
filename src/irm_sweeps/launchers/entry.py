"""The former place of `WorkerTask`: jobs that were submitted before version 0.2 name it. To be removed in 0.3."""

from irm_sweeps.launchers.worker_task import WorkerTask

__all__ = ["WorkerTask"]
