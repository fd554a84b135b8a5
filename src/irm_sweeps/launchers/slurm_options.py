"""The options of the SLURM launcher: `hydra/launcher=slurm`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from irm_sweeps.config import Config, validated
from irm_sweeps.errors import UserError

PositiveInt = Annotated[int, Field(ge=1)]

_RESERVED = {
    "job_name": "status, cancel and the next launch find the jobs by it",
    "array": "workers and array_parallelism say how many there are",
    "output": "the logs lie in the sweep's folder",
    "error": "the logs lie in the sweep's folder",
    "open_mode": "a requeued worker goes on in its log",
    "parsable": "the jobs' ids are read from the sentence that sbatch prints without it",
    "quiet": "the jobs' ids are read from the sentence that sbatch prints without it",
    "test_only": "nothing would be submitted; plan=true says what would run",
    "clusters": "status and cancel ask the cluster of this machine",
}
"""Options of sbatch that the launcher sets itself, and why nobody else may."""

SIGNAL_DELAY_S = 90
"""Seconds before the time limit at which a task is asked to save, where the limit is not short."""
SBATCH_SIGNAL_DELAY_S = 60
"""What sbatch takes for a signal that is given without a time."""
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
"""A time limit as sbatch takes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]."""


class SlurmOptions(Config):
    """What the launcher asks SLURM for. A null field is left to the site's default."""

    workers: PositiveInt
    """Array tasks; never more than there are stacks."""
    runs_per_gpu: PositiveInt
    """Worker processes of an array task: so many for each of its GPUs, or in all where it asks for none."""
    timeout_min: PositiveInt
    """Time limit of a task in minutes; a task that reaches it saves, is requeued and goes on. SLURM counts in half
    minutes: give more than a few."""
    max_requeues: Annotated[int, Field(ge=0)]
    """How often a task may reach its time limit before it stays ended."""
    signal_delay_s: PositiveInt | None
    """Seconds before the time limit at which SLURM asks for a checkpoint, at most half of it; null: 90, or a third of
    a limit below 4.5 minutes."""
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    mem_gb: Annotated[float, Field(gt=0)] | None
    cpus_per_task: PositiveInt | None
    gpus_per_node: Annotated[int, Field(ge=0)] | None
    array_parallelism: PositiveInt
    """Array tasks that run at the same time, at most."""
    setup: list[str]
    """Shell lines before the worker starts, e.g. `module load cuda`."""
    additional: dict[str, bool | int | str] | None
    """Any further sbatch option, e.g. `{nice: 100, exclusive: true}`; true means a flag without a value."""
    wait: bool
    """Follow the sweep instead of returning after submission."""

    @field_validator("partition", "account", "qos", "constraint", "additional")
    @classmethod
    def _stays_on_one_line(cls, value: Any) -> Any:
        """Refuse what would end its line of a batch script, which is a comment: the next line is a command."""
        words = [*value.keys(), *map(str, value.values())] if isinstance(value, dict) else [value or ""]
        if not all(word.isprintable() for word in words):
            raise ValueError("a control character, such as the end of a line, is no part of an sbatch option")
        if isinstance(value, dict) and (odd := [key for key in value if not re.fullmatch(r"[A-Za-z][\w-]*", key)]):
            raise ValueError(f"{odd[0]!r} is no name of an sbatch option")
        return value

    @field_validator("additional")
    @classmethod
    def _has_nothing_reserved(cls, value: dict[str, bool | int | str] | None) -> dict[str, bool | int | str] | None:
        """Refuse what would hide the jobs from this package; sbatch also takes the beginning of an option's name."""
        for key in value or {}:
            for reserved, why in _RESERVED.items():
                if reserved.startswith(key.replace("-", "_")):
                    raise ValueError(f"{key} is the launcher's own: {why}")
        return value

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> SlurmOptions:
        """Validate `hydra.launcher`.

        Raises
        ------
        UserError
            An option is wrong, or tasks would be asked to stop soon after their start.
        """
        options = validated(cls, values, prefix="hydra.launcher.")
        options._check_signal_delay()
        return options

    def _check_signal_delay(self) -> None:
        (delay, of_delay), (limit, of_limit) = self._signal_delay(), self._time_limit()
        if limit is None or 2 * delay <= limit:
            return
        raise UserError(
            f"hydra.launcher.{of_delay}: SLURM would ask a task to stop {delay} s before its time limit of {limit} s "
            f"(hydra.launcher.{of_limit}), so soon after its start that it trains little: give at most {limit // 2} s, "
            f"or a time limit of at least {2 * delay} s"
        )

    @property
    def seconds_to_stop(self) -> int:
        """Seconds from SLURM's signal to the time limit."""
        return self._signal_delay()[0]

    def _signal_delay(self) -> tuple[int, str]:
        """Return the seconds from SLURM's signal to the time limit, and the option that says so."""
        for key, value in (self.additional or {}).items():
            if value is not False and len(key) > 1 and "signal".startswith(key):
                _, _, seconds = str(value).partition("@")
                return int(seconds) if seconds.isdecimal() else SBATCH_SIGNAL_DELAY_S, f"additional={{{key}:{value}}}"
        if self.signal_delay_s is not None:
            return self.signal_delay_s, f"signal_delay_s={self.signal_delay_s}"
        limit, _ = self._time_limit()
        default = SIGNAL_DELAY_S if limit is None else min(SIGNAL_DELAY_S, max(1, limit // 3))
        return default, "signal_delay_s=null"

    def _time_limit(self) -> tuple[int | None, str]:
        """Return a task's time limit in seconds (None: no limit, or a form unknown here) and the option for it."""
        value = (self.additional or {}).get("time")
        if value is None or isinstance(value, bool):
            return 60 * self.timeout_min, f"timeout_min={self.timeout_min}"
        return _seconds(str(value)), f"additional={{time:{value}}}"

    @property
    def tasks_per_node(self) -> int:
        """Worker processes of one array task."""
        return self.runs_per_gpu * max(1, self.gpus_per_node or 1)

    def parameters(self) -> dict[str, Any]:
        """Return submitit's names for what is set."""
        # A worker that ends must not take the others of its task along, whatever the site's default is.
        srun = ["--kill-on-bad-exit=0", "--wait=0"]
        if self.cpus_per_task is not None:
            srun.append(f"--cpus-per-task={self.cpus_per_task}")  # since SLURM 22.05 srun does not inherit it
        parameters = {
            "timeout_min": self.timeout_min,
            "mem_gb": self.mem_gb,
            "cpus_per_task": self.cpus_per_task,
            "gpus_per_node": self.gpus_per_node,
            "tasks_per_node": self.tasks_per_node,
            "slurm_partition": self.partition,
            "slurm_account": self.account,
            "slurm_qos": self.qos,
            "slurm_constraint": self.constraint,
            "slurm_array_parallelism": self.array_parallelism,
            "slurm_signal_delay_s": self.seconds_to_stop,
            "slurm_setup": self.setup or None,
            "slurm_additional_parameters": {k: v for k, v in (self.additional or {}).items() if v is not False},
            "slurm_srun_args": srun,
        }
        return {name: value for name, value in parameters.items() if value is not None}


def _seconds(limit: str) -> int | None:
    """Return the seconds of one of sbatch's time limits; None for one without an end, or of another form."""
    found = _TIME.fullmatch(limit.strip())
    if found is None:
        return None
    days, *numbers = (None if group is None else int(group) for group in found.groups())
    given = [number for number in numbers if number is not None]
    if days is not None:
        hours, minutes, seconds = (*given, 0, 0)[:3]
        return 86_400 * days + 3600 * hours + 60 * minutes + seconds
    hours, minutes, seconds = given if len(given) == 3 else (0, *given, 0)[:3]
    return (3600 * hours + 60 * minutes + seconds) or None  # 0: no limit
