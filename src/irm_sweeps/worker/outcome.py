"""Build the content of `result.json`, from a trial and how its training ended."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irm_sweeps import provenance
from irm_sweeps.errors import UserError, bounded, is_out_of_memory, raised
from irm_sweeps.store.schema import SCHEMA

if TYPE_CHECKING:
    from irm_sweeps.training.loop import Outcome
    from irm_sweeps.trial import Trial

LONGEST_DETAILS = 100_000
"""Most characters of a traceback in a result."""


def finished(
    trial: Trial, outcome: Outcome, data_dir: Path, device: Any, stack: Sequence[str], compiled: bool
) -> dict[str, Any]:
    """Return the result of a trial that trained to its end or diverged.

    Parameters
    ----------
    stack
        Ids of the trials that trained together, this one included.
    compiled
        Whether each move ran as one compiled program.
    """
    diverged = outcome.diverged_at is not None
    return {
        **_head(trial, "diverged" if diverged else "completed"),
        **({"diverged_at": outcome.diverged_at} if diverged else {}),
        "metrics": outcome.metrics,
        "steps": outcome.steps,
        "history_rows": len(outcome.history),
        "timing": {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(outcome.seconds, 4),
            "stack_size": outcome.stack_size,
        },
        "provenance": {
            **_code(trial),
            "hardware": provenance.hardware(device),
            "numerics": dict(outcome.numerics),
            "seed": trial.seed,
            "stack": list(stack),
            "compiled": compiled,
            "parameters_sha256": outcome.parameters_sha256,
            "data_sha256": trial.dataset.fingerprint(data_dir),
        },
    }


def failed(trial: Trial, error: BaseException) -> dict[str, Any]:
    """Return the result of a trial whose code raised anything: also what is no `Exception`, as `SystemExit`."""
    explained = isinstance(error, UserError) or is_out_of_memory(error)
    details = "" if explained else _traceback(error)
    size = trial.training.batch_size
    message = raised(error, f"training.batch_size={'null' if size is None else size}")
    return _failure(_head(trial, "failed"), _code(trial), "exception", message, details)


def _traceback(error: BaseException) -> str:
    """Return the traceback of an error, whose class may be a user's: what its methods raise is not raised here."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:
        return "".join(traceback.format_tb(error.__traceback__))


def crashed(
    trial_id: str, config: Mapping[str, Any], attempts: int, log_tail: str, stall: str | None = None
) -> dict[str, Any]:
    """Return the result of a trial whose worker died `attempts` times while training it.

    The trial is not built for it: that may be what ends its workers. So its own classes' code is not recorded.

    Parameters
    ----------
    config
        As the manifest has it.
    stall
        Why the last worker ended itself, if the trial made no step; None if it died otherwise.
    """
    why = stall or "killed, out of memory, or a crash"
    message = f"the worker died {attempts} times while training this trial ({why})"
    head = {"schema": SCHEMA, "trial_id": trial_id, "status": "failed", "config": dict(config)}
    return _failure(head, _package(), "crash", message, log_tail)


def stalled(trial: Trial, reason: str) -> dict[str, Any]:
    """Return the result of a trial that made no step any more; its log has the stack traces.

    It is no crash, which the same command tries again.
    """
    message = f"{reason}; its log tells where it hangs"
    return _failure(_head(trial, "failed"), _code(trial), "exception", message, "")


def not_storable(trial: Trial, status: str, problem: Exception) -> dict[str, Any]:
    """Return the result of a trial that ended, as `status` says, with values that no result can hold."""
    message = f"the trial {status}, but {raised(problem)}"
    return _failure(_head(trial, "failed"), _code(trial), "exception", message, "")


def _failure(head: Mapping[str, Any], code: Mapping[str, Any], kind: str, message: str, details: str) -> dict[str, Any]:
    details = bounded(details, LONGEST_DETAILS)
    return {
        **head,
        "error": {"kind": kind, "message": message, "details": details},
        "metrics": {},
        "steps": None,
        "timing": {"finished": datetime.now(UTC).isoformat(timespec="seconds")},
        "provenance": code,
    }


def _code(trial: Trial) -> dict[str, Any]:
    """Return which code ran: this package, the libraries beneath it, and the user's own classes if there are some."""
    if not trial.code:
        return _package()
    return {
        **_package(),
        "config_id": trial.config_id,
        "code_sha256": trial.code,
        "own_code": {name: module.file_sha256 for name, module in trial.user_modules.items()},
        "own_git": provenance.own_git_state(trial.user_modules),
    }


def _package() -> dict[str, Any]:
    return {
        "git": provenance.git_state(),
        "package_sha256": provenance.package_sha256(),
        "software": provenance.software(),
    }


def _head(trial: Trial, status: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "trial_id": trial.id, "status": status, "config": trial.config}
