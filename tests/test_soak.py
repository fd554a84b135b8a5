"""The soak of `tests/soak.py`, for a minute."""

from __future__ import annotations

import pytest

import soak


def test_a_sweep_under_constant_killing_ends_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    code = soak.main(["--trials=8", "--steps=800", "--pause=3", "--kills=5", "--minutes=4", "--seed=1"])
    report = capsys.readouterr().out
    assert code == 0, report
    assert "all 8 results equal those of an undisturbed sweep" in report
    assert "killed 0 workers and 0 launchers" not in report
