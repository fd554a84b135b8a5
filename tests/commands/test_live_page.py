"""The live page of `irm-sweeps watch`: it follows the files, escapes what the store says, and writes nothing."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import synthetic_store as synthetic
from commands import SMALL, eventually
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report.curve_svg import charts
from irm_sweeps.commands.live_page import LivePage
from irm_sweeps.commands.live_tables import LiveTables
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store import claims
from irm_sweeps.store.growing_history import GrowingHistory
from irm_sweeps.store.history import HistoryRow
from irm_sweeps.store.manifest import RunSettings, write_manifest
from irm_sweeps.store.watched_store import WatchedStore
from irm_sweeps.sweep.grid import expand
from irm_sweeps.sweep.paper import load_paper
from watched import HOSTILE, TWO_ROWS, Watched, accuracy, launched, one_sweep

pytestmark = pytest.mark.usefixtures("composed_once")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with one_sweep(tmp_path / "results") as own:
        yield own


def files(root: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file and folder: a file made in a folder and removed changes the folder's time."""
    found = [root, *root.rglob("*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def test_looking_writes_nothing(watched: Watched) -> None:
    """Neither beside the heartbeat of a worker elsewhere, whose age other commands measure with a file of their own."""
    first, second, third = watched.trials.values()
    synthetic.write(watched.store.root, synthetic.completed(first, accuracy))
    for trial, host in ((second, "far"), (third, "")):
        claim = claims.acquire(watched.store, trial.id, watched.manifest.launch, 20, 1)
        assert claim
        if host:
            far = replace(claim, holder=replace(claim.holder, host=host, machine=host), seconds_since_step=1.0)
            far.path.write_bytes(far.content())
    before = files(watched.store.root)
    assert "1 of 3 trials is done (1 completed), 2 running, 0 to do." in watched.words()
    assert "step 0 of 20 on far" in watched.words()
    assert files(watched.store.root) == before


def test_it_follows_the_files(watched: Watched) -> None:
    first, second, third = watched.trials.values()
    assert "0 of 3 trials are done, 0 running, 3 to do. Nothing is running." in watched.words()
    synthetic.write(watched.store.root, synthetic.completed(first, accuracy))
    assert "1 of 3 trials is done (1 completed)" in watched.words()
    synthetic.write(watched.store.root, synthetic.diverged(second, 7), synthetic.completed(third, accuracy))
    said = watched.words()
    assert "All 3 trials are done: 2 completed, 1 diverged." in said
    assert "1 trial diverged: the objective was not finite" in said
    assert "The table" in said
    assert "60.0 ± 14.1" in said, "the mean of 50 and 70 %"
    watched.store.retire(second.id, "diverged")
    assert "2 of 3 trials are done (2 completed), 0 running, 1 to do." in watched.words()


def test_nothing_from_the_store_becomes_html(watched: Watched) -> None:
    first, second, _ = watched.trials.values()
    failed = synthetic.failed(first, f"RuntimeError: {HOSTILE}")
    failed["error"]["details"] = f"Traceback {HOSTILE}"
    synthetic.write(watched.store.root, failed)
    assert claims.acquire(watched.store, second.id, watched.manifest.launch, 20, 1)
    (watched.store.folder(second.id) / "log.txt").write_text(f"2026 {HOSTILE}\n")
    row = {"step": 0, HOSTILE: 1.0}
    (watched.store.folder(second.id) / "history.jsonl").write_text(
        "".join(json.dumps({**row, "step": step}) + "\n" for step in (0, 10))
    )
    page = watched.ask()[1]
    assert page.count("<script>") == 1
    assert "<img" not in page
    assert page.count("&lt;script&gt;window.hacked") >= 6, "error, traceback, names, log, quantity"
    assert "1 trial failed: RuntimeError: &lt;/script&gt;" in page


def test_what_cannot_be_read_is_said_on_the_page(watched: Watched) -> None:
    first, second, _ = watched.trials.values()
    (watched.store.root / first.id).mkdir()
    (watched.store.root / first.id / "result.json").write_text("{")
    assert claims.acquire(watched.store, second.id, watched.manifest.launch, 20, 1)
    (watched.store.folder(second.id) / "history.jsonl").write_text("nonsense\n")
    said = watched.words()
    assert f"Damaged: {watched.store.root / first.id / 'result.json'}" in said
    assert f"{watched.store.root / second.id / 'history.jsonl'}: " in said
    manifest = watched.manifest.folder(watched.store) / "manifest.json"
    manifest.write_text("{")
    assert f"manifest {manifest} cannot be read" in watched.words()


def test_a_history_is_read_as_it_grows(watched: Watched) -> None:
    trial_id = next(iter(watched.trials))
    folder = watched.store.folder(trial_id)
    folder.mkdir()
    path, history = folder / "history.jsonl", GrowingHistory(watched.store, trial_id)
    assert history.rows() == []
    path.write_text('{"step": 0, "penalty": 1.0}\n{"step": 10, "pen')
    assert [row.step for row in history.rows()] == [0]
    with path.open("a") as file:
        file.write('alty": 0.5}\n')
    assert [row.step for row in history.rows()] == [0, 10]
    path.write_text('{"step": 5, "penalty": 2.0}\n')  # another worker began anew
    assert [row.step for row in history.rows()] == [5]
    with path.open("a") as file:
        file.write("no row\n")
    with pytest.raises(DamagedFile, match=r"history\.jsonl"):
        history.rows()


def test_curves_are_those_of_the_rows() -> None:
    rows = [
        HistoryRow.from_values(
            {
                "step": step,
                "risks": [0.5, 1.0 - step / 2000],
                "penalty": None,
                "grows": 10.0**300 * step,
                "scores": {"test": {"0.9": {"risk": 1.0, "accuracy": step / 1000}}},
            }
        )
        for step in range(1001)
    ]
    test, risks, grows = charts(rows)
    assert (test.title, test.low, test.high, test.last) == ("test accuracy, %", "0", "100", ["100"])
    assert [name for name, _ in risks.lines] == ["environment 1", "environment 2"]
    assert risks.words == "risks, steps 0 to 1000; last: environment 1 0.5, environment 2 0.5"
    points = [tuple(map(float, point.split(","))) for point in risks.lines[1][1].split()]
    assert (points[0], points[-1]) == ((0.0, 0.0), (320.0, 120.0)), "from the top left to the bottom right"
    assert len(points) <= 202
    assert all(0 <= y <= 120 for _, y in points)
    assert "nan" not in grows.lines[0][1]
    assert charts(rows[:1]) == []


def test_of_many_lines_the_first_are_drawn_and_the_last() -> None:
    """The last test environment is the shifted one; only the risks are known to be one an environment."""
    scores = {"test": {str(i): {"risk": 1.0, "accuracy": i / 10} for i in range(9)}}
    rows = [
        HistoryRow.from_values({"step": step, "scores": scores, "risks": [0.5] * 8, "weights": [0.5, 0.5]})
        for step in (0, 10)
    ]
    test, risks, weights = charts(rows)
    assert test.title == "test accuracy, % (6 of 9)"
    assert [name for name, _ in test.lines] == ["0", "1", "2", "3", "4", "8"]
    assert test.last[-1] == "80"
    assert risks.title == "risks (6 of 8)"
    assert [name for name, _ in risks.lines][-2:] == ["environment 5", "environment 8"]
    assert [name for name, _ in weights.lines] == ["1", "2"]


def test_a_page_that_cannot_be_made_is_not_made_at_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def failing(_: LivePage) -> str:
        made.append(1)
        raise RuntimeError("a mistake")

    monkeypatch.setattr(LivePage, "_made", failing)
    page = LivePage(WatchedStore(tmp_path), None, "irm-sweeps watch")
    for _ in range(3):
        with pytest.raises(RuntimeError, match="a mistake"):
            page.html()
    assert len(made) == 1


@pytest.mark.parametrize(
    ("total", "done", "words"),
    [
        (1, 1, "The trial is done: 1 completed."),
        (1, 0, "0 of 1 trial is done, 0 running, 1 to do."),
        (3, 1, "1 of 3 trials is done (1 completed), 0 running, 2 to do."),
        (3, 2, "2 of 3 trials are done (2 completed), 0 running, 1 to do."),
        (3, 3, "All 3 trials are done: 3 completed."),
    ],
)
def test_the_sentence_counts(watched: Watched, total: int, done: int, words: str) -> None:
    trials = list(watched.trials.values())[:total]
    configs = {trial.id: trial.canonical for trial in trials}
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    write_manifest(watched.store, "counted", configs, [list(configs)], run)
    synthetic.write(watched.store.root, *(synthetic.completed(trial, accuracy) for trial in trials[:done]))
    assert words in watched.words()


def test_a_papers_sweep_shows_the_papers_table(watched: Watched) -> None:
    """As far as it is measured, with the published cells beside it and rows and columns as the paper has them."""
    erm, vrex = (
        [trial for trial in launched(watched.store, *TWO_ROWS).values() if trial.method.target.endswith(name)]
        for name in ("ERM", "VREx")
    )
    assert "published" not in watched.words()
    synthetic.write(watched.store.root, *(synthetic.completed(trial, accuracy) for trial in erm[:2]))
    said = watched.words()
    assert "The paper's table so far bae2021 Table 1: test accuracy (%) on Colored MNIST p_e = 0.1" in said
    assert re.search(r"ERM [12 ]*55.0 ± 7.1 \(n=2\) .*?88.6 ± 0.3", said), said
    assert re.search(r"V-REx missing .*?71.5 ± 0.8", said), said
    assert "Every setting" in said
    synthetic.write(watched.store.root, *(synthetic.completed(trial, accuracy) for trial in (*erm, *vrex)))
    said = watched.words()
    assert "The paper's table bae2021 Table 1" in said
    assert re.search(r"V-REx [12 ]*60.0 ± 10.0 \(n=3\) .*?71.5 ± 0.8", said), said
    assert "missing" not in said


def test_of_a_union_each_file_with_results_is_shown_in_the_order_of_the_papers(watched: Watched) -> None:
    user = ("seed=0", "paper.only=[bae2021_table1,bae2021_figure3]")
    launched(watched.store, "paper=bae2021", *user)
    table, figure = load_paper("bae2021_table1"), load_paper("bae2021_figure3")
    synthetic.fill(watched.store.root, figure, "erm", accuracy, ["seed=0"])
    titles = rf"{re.escape(table.title)}.*{re.escape(figure.title)}"
    eventually(lambda: re.search(titles, watched.words()), "both tables: each look composes one file", 60)


def test_seeds_until_decided_are_followed(watched: Watched) -> None:
    words = ("paper=bae2021_table1", "paper.only=[erm]", "seeds=until_decided", "max_seeds=6")
    erm = list(launched(watched.store, *TWO_ROWS[:1], "paper.only=[erm]", "seed=range(0,6)").values())
    configs = {trial.id: trial.canonical for trial in erm[:3]}
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    write_manifest(watched.store, "bae2021_table1", configs, [list(configs)], run, overrides=words)
    synthetic.write(watched.store.root, *(synthetic.completed(trial, accuracy) for trial in erm[:3]))
    assert "(n=3)" in watched.words()
    synthetic.write(watched.store.root, *(synthetic.completed(trial, accuracy) for trial in erm))
    assert "(n=6)" in watched.words()


@pytest.mark.parametrize(
    "words",
    [
        ("paper=demo", "method._target_=stranger.Method"),
        ("paper=demo", "method={_target_:stranger.Method}"),
        ("paper=demo", "seed=${oc.env:HOME}"),
        ("paper=demo", "hydra.searchpath=[file:///stranger]"),
        ("paper=demo", "+hydra.searchpath=[file:///stranger]"),
    ],
)
def test_a_strangers_manifest_composes_nothing_that_names_code(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr("irm_sweeps.compose.compose", lambda *_: pytest.fail("composed"))
    named = replace(watched.manifest, name="demo-01234567", overrides=words)
    tables = LiveTables(named, Results([watched.store.root]))
    tables.compose_next()
    assert (tables.tables(), tables.problems) == ([], [])


def test_a_paper_file_that_is_gone_is_said(watched: Watched) -> None:
    trials = launched(watched.store, *SMALL, "seed=0,1", name="gone")
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    write_manifest(watched.store, "gone", configs, [list(configs)], watched.manifest.settings, overrides=["paper=gone"])
    synthetic.write(watched.store.root, *(synthetic.completed(trial, accuracy) for trial in trials.values()))
    said = watched.words()
    assert "the paper's table is not shown: paper=gone" in said
    assert "The table " in said


@pytest.mark.parametrize("name", ["my results", "a,b"])
def test_the_first_command_of_a_waiting_page_can_be_pasted(tmp_path: Path, name: str) -> None:
    html_of_page = LivePage(WatchedStore(tmp_path / name), None, "again").html()
    command = html.unescape(re.findall(r'<code class="command">([^<]*)', html_of_page)[0])
    (config,) = expand(shlex.split(command)[-1:])
    assert config["results"] == str(tmp_path / name), "one directory, and not a sweep over two"
