"""Launcher, worker or both killed at random moments: one minute of the soak test `tests/faults/soak.py`."""

from __future__ import annotations

import os

import pytest

from faults import soak

MOMENTS = 50 if os.environ.get("IRM_SWEEPS_FAULTS") == "full" else 12


def test_sweeps_under_constant_killing_end_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    code = soak.main([f"--moments={MOMENTS}", "--minutes=30", "--seed=1"])
    report = capsys.readouterr().out
    assert code == 0, report
    assert report.endswith("every result equals that of an undisturbed sweep\n")
    with capsys.disabled():
        print(f"\n{report}")
