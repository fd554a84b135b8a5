"""The former module of `WorkerTask`, which jobs submitted before version 0.2 name. To be removed in 0.3."""

from irm_sweeps.launchers.worker_task import WorkerTask

__all__ = ["WorkerTask"]
