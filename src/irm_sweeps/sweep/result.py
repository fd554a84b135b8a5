"""What `result.json` says, made from a trial and what came of it."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from irm_sweeps import provenance
from irm_sweeps.errors import UserError
from irm_sweeps.sweep.schema import SCHEMA
from irm_sweeps.training.loop import Outcome
from irm_sweeps.trial import Trial


def seconds_each(result: Mapping[str, Any]) -> float | None:
    """Return what a trial took, its share of the stack's time; None where that is not known."""
    timing = result.get("timing", {})
    seconds = timing.get("seconds")
    return None if seconds is None else seconds / (timing.get("stack_size") or 1)


def finished(trial: Trial, outcome: Outcome, data_dir: Path, device: Any, stack: Sequence[str]) -> dict[str, Any]:
    """Return the result of a trial that trained to its end or diverged; `stack`: ids of those trained together."""
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
            "git": provenance.git_state(),
            "software": provenance.software(),
            "hardware": provenance.hardware(device),
            "seed": trial.seed,
            "stack": list(stack),
            "parameters_sha256": outcome.parameters_sha256,
            "data_sha256": trial.dataset.fingerprint(data_dir),
        },
    }


def failed(trial: Trial, error: BaseException) -> dict[str, Any]:
    """Return the result of a trial whose code raised."""
    if isinstance(error, UserError):
        return _failure(trial, "exception", str(error), "")
    return _failure(trial, "exception", f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error)))


def crashed(trial: Trial, attempts: int, log_tail: str) -> dict[str, Any]:
    """Return the result of a trial whose worker died `attempts` times while training it."""
    message = f"the worker died {attempts} times while training this trial (killed, out of memory, or a crash)"
    return _failure(trial, "crash", message, log_tail)


def _failure(trial: Trial, kind: str, message: str, details: str) -> dict[str, Any]:
    return {
        **_head(trial, "failed"),
        "error": {"kind": kind, "message": message, "details": details},
        "metrics": {},
        "steps": None,
        "timing": {"finished": datetime.now(UTC).isoformat(timespec="seconds")},
        "provenance": {"git": provenance.git_state(), "software": provenance.software()},
    }


def _head(trial: Trial, status: str) -> dict[str, Any]:
    return {"schema": SCHEMA, "trial_id": trial.id, "status": status, "config": trial.canonical}
