"""A malicious `result.json`: every reader skips it, names it in one line, and shows none of its numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import synthetic_store
from commands import irm_sweeps, launch
from hostile.conftest import SWEEP
from hostile.poison import FILES, Poison, text, values
from irm_sweeps import load_results
from irm_sweeps.analysis import figure_command, table_command
from irm_sweeps.analysis import report_command as report
from irm_sweeps.analysis.readings import Results
from irm_sweeps.store.store import Store

SCORES = ("metrics", "last", "scores", "test", "0.1")


def accuracy(literal: str) -> Poison:
    return text(lambda old: old.replace('"accuracy": ', f'"accuracy": {literal}, "was": ', 1))


RESULTS: dict[str, Poison] = {
    **FILES,
    "accuracy NaN": accuracy("NaN"),
    "accuracy Infinity": accuracy("-Infinity"),
    "accuracy 1e400": accuracy("1e400"),
    "accuracy of 500 digits": accuracy("1" * 500),
    "accuracy of 5000 digits": accuracy("1" * 5000),
    "accuracy 7": accuracy("7"),
    "accuracy true": accuracy("true"),
    "accuracy in words": accuracy('"0.9"'),
    "accuracy a list": accuracy("[0.9]"),
    "risk in words": values(*SCORES, "risk", to="low"),
    "another trial's": values("trial_id", to="f" * 16),
    "no id": values("trial_id", to="../../etc"),
    "schema 99": values("schema", to=99),
    "status": values("status", to="fine"),
    "failed without an error": values("status", to="failed"),
    "a list for metrics": values("metrics", to=[]),
    "words for scores": values("metrics", "last", "scores", to="high"),
    "a list for config": values("config", to=[]),
    "no method": values("config", "method", to=None),
    "a target that is none": values("config", "method", "_target_", to=["os.system"]),
    "seed in words": values("config", "seed", to="0"),
    "seed of 30 digits": values("config", "seed", to=10**30),
    "lam in words": values("config", "lam", to="x"),
    "steps in words": values("steps", to="many"),
    "timing": values("timing", to="quick"),
    "seconds": values("timing", "seconds", to="1"),
    "rows of a history": values("history_rows", to=-1),
    "stack of none": values("timing", "stack_size", to=0),
    "finished": values("timing", "finished", to="yesterday"),
    "provenance": values("provenance", to=[]),
    "threads": values("provenance", "hardware", "threads", to=-1),
    "stack": values("provenance", "stack", to=["../../../etc"]),
    "software": values("provenance", "software", to={"torch": {}}),
}


@pytest.mark.parametrize("poison", RESULTS)
def test_it_is_skipped_and_named(poison: str, results: Path, victim: Path) -> None:
    RESULTS[poison](victim)
    trial_id = victim.parent.name
    where = ["--results", str(results)]

    shown = irm_sweeps("show", trial_id, *where)
    assert str(victim) in shown.complaint
    status = irm_sweeps("status", *where)
    assert (status.code, status.err) == (0, "")
    assert "1/2 done" in status.out
    (line,) = (line for line in status.out.splitlines() if str(victim) in line)
    assert len(line) < 600
    assert str(victim) in irm_sweeps("reproduce", trial_id, *where).complaint

    found = Results([results])
    assert [result.trial_id for result in found.everything()] != [trial_id]
    (problem,) = found.problems
    assert str(victim) in problem
    with pytest.warns(UserWarning, match="left out: 1 damaged result"):
        frame = load_results(results)
    assert trial_id not in set(frame["trial_id"])
    assert frame["accuracy"].between(0, 1).all()


@pytest.mark.parametrize("poison", ["accuracy 1e400", "a pipe"])
def test_reports_tables_and_the_next_launch_go_on(poison: str, results: Path, victim: Path, capsys) -> None:
    whole = victim.read_bytes()
    RESULTS[poison](victim)
    with synthetic_store.composed_once():
        report.main(["--results", str(results), "--output", str(results / "page.html")])
    assert str(victim) in capsys.readouterr().err
    assert str(victim) in (results / "page.html").read_text()
    table_command.main(["--paper", "demo", "--results", str(results)])
    capsys.readouterr()

    plan = launch("-m", f"results={results}", *SWEEP, "plan=true")
    assert f"damaged, will be set aside and run again: {victim}" in plan.err
    again = launch("-m", f"results={results}", *SWEEP)
    assert (again.code, "1 completed" in again.out) == (0, True)
    assert json.loads(victim.read_text())["metrics"] == json.loads(whole)["metrics"]
    assert not victim.is_symlink()


def test_a_failure_may_say_anything(results: Path, victim: Path) -> None:
    """Ten megabytes, colours and cursors of a terminal, Rich's markup, half a character: one line, all spelled."""
    hostile = "\x1b]0;owned\x07\x1b[2J[/bold] \ud800 \u202e" + "A" * 10_000_000
    result = json.loads(victim.read_text())
    error = {"kind": "exception", "message": hostile, "details": hostile[:100]}
    victim.write_text(json.dumps({**result, "status": "failed", "error": error, "metrics": {}, "steps": None}))
    where = ["--results", str(results)]
    status = irm_sweeps("status", *where)
    failures = irm_sweeps("failures", *where)
    shown = irm_sweeps("show", victim.parent.name, *where)
    for answer in (status, failures, shown):
        assert (answer.code, answer.err) == (0, "")
        assert answer.out.replace("\n", "").isprintable()
        answer.out.encode()
        assert r"\x1b]0;owned\x07" in answer.out
    assert max(map(len, status.out.splitlines())) < 1000
    assert hostile[:40].encode(errors="replace").decode() in load_results(results)["error"].dropna().iloc[0]


@pytest.mark.parametrize("poison", FILES)
def test_a_poisoned_history_is_named_too(poison: str, results: Path, victim: Path) -> None:
    from irm_sweeps.analysis.histories import evaluations, history

    path = victim.with_name("history.jsonl")
    FILES[poison](path)
    problems: list[str] = []
    assert history([Store(results)], path.parent.name, "risks", problems) == ({}, [])
    assert evaluations([Store(results)], path.parent.name, problems) == {}
    (problem,) = problems
    assert str(path) in problem


def test_a_history_cut_at_the_end_of_a_line_is_named(results: Path, victim: Path) -> None:
    from irm_sweeps.analysis.histories import history

    path = victim.with_name("history.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    whole = history([Store(results)], path.parent.name, "risks", [])
    for left in range(len(lines)):
        path.write_text("".join(lines[:left]))
        problems: list[str] = []
        assert history([Store(results)], path.parent.name, "risks", problems) == ({}, [])
        assert problems == [f"{path}: the result counts {len(lines)} rows, and it has {left}"]
    path.write_text("".join(lines))
    assert history([Store(results)], path.parent.name, "risks", problems := []) == whole
    assert problems == []


def test_a_figure_is_drawn_of_the_other_histories(results: Path, victim: Path, capsys) -> None:
    path = victim.with_name("history.jsonl")
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    output = results / "risks.png"
    where = ["--results", str(results), "--output", str(output)]
    figure_command.main(["--curves", "training", "--quantity", "risks", *where])
    assert output.read_bytes().startswith(b"\x89PNG")
    assert f"skipped {path}: the result counts " in capsys.readouterr().err


@pytest.mark.parametrize("result", ["without the count", "damaged", "absent"])
def test_a_history_whose_rows_nobody_counted_is_read(result: str, results: Path, victim: Path) -> None:
    """As in a store of an earlier version."""
    values = json.loads(victim.read_text())
    path = victim.with_name("history.jsonl")
    assert values.pop("history_rows") == len(path.read_text().splitlines()) > 1
    victim.write_text(json.dumps(values) if result == "without the count" else "{")
    if result == "absent":
        victim.unlink()
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    rows = Store(results).history(path.parent.name)
    assert rows is not None
    assert len(rows) == 1


@pytest.mark.parametrize(
    "row", ['{"risks": [1]}', '{"step": "1"}', '{"step": 1, "scores": 3}', '{"step": 1, "x": NaN}']
)
def test_a_row_that_is_none_is_named_by_its_line(row: str, results: Path, victim: Path) -> None:
    from irm_sweeps.files.reading import DamagedFile

    path = victim.with_name("history.jsonl")
    path.write_text(f"{path.read_text()}{row}\n")
    with pytest.raises(DamagedFile, match=rf"{path}, line {len(path.read_text().splitlines())}: "):
        Store(results).history(path.parent.name)


def test_what_is_intact_is_read(results: Path, victim: Path) -> None:
    before = json.loads(victim.read_text())
    result = Store(results).result(victim.parent.name)
    assert result
    assert result.raw == before
