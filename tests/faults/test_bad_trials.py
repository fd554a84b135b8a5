"""Healthy trials among bad ones of a user's project: one round of the soak test `tests/faults/soak_bad_trials.py`."""

from __future__ import annotations

import os

import pytest

from faults import soak_bad_trials

MINUTES = 10 if os.environ.get("IRM_SWEEPS_FAULTS") == "full" else 0


def test_healthy_trials_among_bad_ones_are_right_and_completed_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code = soak_bad_trials.main([f"--minutes={MINUTES}", "--seed=1"])
    report = capsys.readouterr().out
    assert code == 0, report
    with capsys.disabled():
        print(f"\n{report}")
