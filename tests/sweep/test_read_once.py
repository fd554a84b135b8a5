"""A sweep that is done and issued again reads each result once, to plan and to print its table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from irm_sweeps.launchers.inprocess import InProcess
from irm_sweeps.store.reader import Reader
from irm_sweeps.store.result import Result
from irm_sweeps.sweep.run import run_sweep

TINY = ["dataset.source=embedded", "dataset.n_train=50", "backbone.width=4", "training.steps=2"]


def test_a_done_sweep_reads_each_result_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = [*TINY, "method=erm,irmv1", "seed=range(0,2)", f"results={tmp_path}"]
    run_sweep(overrides, InProcess())
    first = capsys.readouterr().out
    reads: Counter[str] = Counter()
    read = Reader.result

    def counted(self: Reader, trial_id: str) -> Result | None:
        reads[trial_id] += 1
        return read(self, trial_id)

    monkeypatch.setattr(Reader, "result", counted)
    run_sweep(overrides, InProcess())
    again = capsys.readouterr().out
    assert "4 done, 0 to run" in again
    assert again.partition("table again")[2] == first.partition("table again")[2] != ""
    assert sorted(reads.values()) == [1] * 4
