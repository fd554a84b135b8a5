"""`irm-sweeps watch`: a page that can only be read, escapes what the store says, and changes while a sweep runs."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import synthetic_store as synthetic
from browser import CHROMIUM, chromium
from commands import ROGUE, SMALL, Desk, eventually
from irm_sweeps import cli
from irm_sweeps.analysis.readings import Results
from irm_sweeps.analysis.report.curve_svg import charts
from irm_sweeps.commands import live_page, watch
from irm_sweeps.commands.live_page import LivePage
from irm_sweeps.commands.live_server import LiveServer
from irm_sweeps.commands.live_tables import LiveTables
from irm_sweeps.files.reading import DamagedFile
from irm_sweeps.store import claims
from irm_sweeps.store.growing_history import GrowingHistory
from irm_sweeps.store.history import HistoryRow
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.watched_store import WatchedStore
from irm_sweeps.sweep.collect import collect
from irm_sweeps.sweep.grid import expand
from irm_sweeps.sweep.paper import load_paper
from irm_sweeps.trial import Trial

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"

pytestmark = pytest.mark.usefixtures("composed_once")

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@dataclass
class Watched:
    """A store with one sweep, and the page of it."""

    store: Store
    trials: dict[str, Trial]
    manifest: Manifest
    server: LiveServer

    def ask(self, path: str = "/", method: str = "GET", host: str = "") -> tuple[int, str, dict[str, str]]:
        """Return status, body and headers of an answer."""
        headers = {"Host": host} if host else {}
        url = f"http://127.0.0.1:{self.server.port}{path}"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, None, headers, method=method), timeout=60) as got:
                return got.status, got.read().decode(), dict(got.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def words(self) -> str:
        """Return the page without tags."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", self.ask()[1].partition("<body>")[2])))


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(live_page, "SECONDS", 0)
    monkeypatch.setattr(live_page, "SHARE", 0)
    store = Store(tmp_path / "results")
    store.prepare()
    trials, _, _ = collect([f"results={store.root}", *SMALL, "seed=0,1,2"])
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    labels = dict.fromkeys(trials, f"erm {HOSTILE}")
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    manifest = write_manifest(store, "sweep", configs, [list(trials)], run, labels)
    with LiveServer(0, LivePage(WatchedStore(store.root), None, "irm-sweeps watch")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Watched(store, trials, manifest, server)
        server.shutdown()
        thread.join()


def accuracy(trial: Trial, environment: str) -> float:
    return 0.5 + 0.1 * trial.seed


def files(root: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file and folder: a file made in a folder and removed changes the folder's time."""
    found = [root, *root.rglob("*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


# -- the server -----------------------------------------------------------------------------------------


def test_there_is_one_page_and_it_can_only_be_read(watched: Watched) -> None:
    status, page, headers = watched.ask()
    assert (status, page[:15]) == (200, "<!DOCTYPE html>")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert (watched.ask(method="HEAD")[:2], headers["Cache-Control"]) == ((200, ""), "no-store")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        status, text, headers = watched.ask(method=method)
        assert (status, headers["Allow"], text) == (405, "GET, HEAD", "this page can only be read\n")
    trial_id = next(iter(watched.trials))
    for path in ("/../../etc/passwd", "/%2e%2e/etc/passwd", f"/{trial_id}/result.json", "//evil.example/", "/live.js"):
        assert watched.ask(path)[0] == 404, path


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:1234", 200),  # the other end of a port forward
        ("localhost", 200),
        ("[::1]:8765", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example:8765", 403),
        ("localhost@evil.example", 403),
    ],
)
def test_another_name_that_leads_here_is_refused(watched: Watched, host: str, status: int) -> None:
    assert watched.ask(host=host)[0] == status


def test_only_the_loopback_is_listened_on(watched: Watched) -> None:
    assert watched.server.server_address[0] == "127.0.0.1"


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


# -- what it says ---------------------------------------------------------------------------------------


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


# -- the tables of a paper ------------------------------------------------------------------------------


def launched(store: Store, *words: str, name: str = "") -> dict[str, Trial]:
    """Write the manifest that `launch.py -m` with these words would, and return its trials."""
    trials, _, label = collect([f"results={store.root}", *words])
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    write_manifest(store, name or label, configs, [[trial_id] for trial_id in trials], run, overrides=words)
    return trials


TWO_ROWS = ("paper=bae2021_table1", "paper.only=[erm,vrex]", "seed=0,1,2")


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


# -- the command ----------------------------------------------------------------------------------------


def test_a_port_that_is_taken(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    def refused(port: str) -> str:
        with pytest.raises(SystemExit) as end:
            cli.main(["watch", "--results", str(watched.store.root), "--port", port])
        assert end.value.code == 2
        return capsys.readouterr().err

    taken = watched.server.port
    assert refused(str(taken)) == f"error: --port {taken} is taken: leave --port out to take the next free one\n"
    assert "--port 70000: a port is a number from 1 to 65535, or 0 for any free one" in refused("70000")
    assert "--port -1: a port is a number from 1 to 65535" in refused("-1")
    monkeypatch.setattr(watch, "PORT", taken)
    monkeypatch.setattr(watch, "TRIED", 1)
    monkeypatch.setattr(LiveServer, "serve_forever", lambda _: None)
    with pytest.raises(SystemExit):
        cli.main(["watch", "--results", str(watched.store.root)])
    assert "are all taken: --port 0 takes any free one" in capsys.readouterr().err
    monkeypatch.setattr(watch, "TRIED", 20)
    cli.main(["watch", "--results", str(watched.store.root)])
    found = re.search(r"http://127\.0\.0\.1:(\d+)/", capsys.readouterr().out)
    assert found
    assert taken < int(found[1]) < taken + 20


def serving(desk: Desk) -> tuple[int, str]:
    """Start the command on the desk's store; return its number among the desk's commands, and the page's address."""
    desk.results.mkdir(exist_ok=True)
    n = len(desk.started)
    desk.start("watch", "--results", str(desk.results), "--port", "0", command=("-m", "irm_sweeps"))
    out = desk.folder / f"{n}.out"
    found = eventually(lambda: re.search(r"http://127\.0\.0\.1:\d+/", out.read_text()), "the address", 60)
    return n, found[0]


def test_it_says_where_it_is_and_ends_with_ctrl_c(desk: Desk) -> None:
    n, url = serving(desk)
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert "No sweep has been launched here yet." in answer.read().decode()
    os.kill(desk.started[n].pid, signal.SIGINT)
    answer = desk.answer(desk.started[n], 30)
    port = url.split(":")[2].strip("/")
    assert (answer.code, answer.err) == (0, "")
    assert re.search(rf"ssh -N -L {port}:127\.0\.0\.1:{port} \S+@{socket.gethostname()}\n", answer.out)
    assert f"ended; the sweep goes on, and this shows it again: irm-sweeps watch --results {desk.results}" in answer.out


def test_of_this_folder_the_page_waits_for_the_first_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def ask(server: LiveServer) -> None:
        assert "No sweep has been launched here yet." in server.page.html()

    monkeypatch.setattr(LiveServer, "serve_forever", ask)
    cli.main(["watch", "--port", "0"])
    assert f"{tmp_path / 'results'} is not there yet: the page waits" in capsys.readouterr().out
    assert not (tmp_path / "results").exists(), "looking writes nothing"
    for words in (["--results", "mistyped"], ["--sweep", "sweep-0123abcd"]):
        with pytest.raises(SystemExit):
            cli.main(["watch", "--port", "0", *words])
        assert ": no such directory; --results DIR names the store" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["my results", "a,b"])
def test_the_first_command_of_a_waiting_page_can_be_pasted(tmp_path: Path, name: str) -> None:
    html_of_page = LivePage(WatchedStore(tmp_path / name), None, "again").html()
    command = html.unescape(re.findall(r'<code class="command">([^<]*)', html_of_page)[0])
    (config,) = expand(shlex.split(command)[-1:])
    assert config["results"] == str(tmp_path / name), "one directory, and not a sweep over two"


@needs_chromium
def test_the_page_changes_by_itself_and_says_why_a_trial_failed(desk: Desk) -> None:
    n, url = serving(desk)
    with chromium(desk.folder / "profile") as page:
        page.open(url, 390)
        said = "document.body.innerText"
        assert "No sweep has been launched here yet." in page.run(said)
        page.run("window.mark = 1")
        slow = [*ROGUE, "method.deed=none,raise", "training.steps=400"]
        desk.start("-m", f"results={desk.results}", "hydra/launcher=inprocess", *slow)
        eventually(lambda: "1 running" in page.run(said), "a running trial on the page", 90)
        assert "step" in page.run(said)
        desk.gate.touch()
        eventually(lambda: "RuntimeError: this method has a mistake" in page.run(said), "the reason on the page", 90)
        eventually(lambda: "All 2 trials are done: 1 completed, 1 failed." in page.run(said), "the end on the page", 90)
        page.run("document.querySelector('#lost details').open = true")
        assert 'raise RuntimeError("this method has a mistake")' in page.run(said)
        assert page.run("document.documentElement.scrollWidth") <= 390
        assert page.complaints(url) == []
        assert page.run("window.mark") == 1, "the page was never loaded anew"
        launched(Store(desk.results), *TWO_ROWS)
        eventually(lambda: "0 of 6 trials are done" in page.run(said), "the next sweep on the page", 60)
        synthetic.fill(desk.results, load_paper("bae2021_table1"), "vrex", accuracy, TWO_ROWS[2:])
        row = "Array.from(document.querySelectorAll('#table tr')).map(row => row.innerText).find(r => /^V-REx/.test(r))"
        eventually(lambda: "60.0 ± 10.0" in (page.run(row) or ""), "the paper's row on the page", 60)
        assert "71.5 ± 0.8" in page.run(row), "with the published cell"
        assert page.run("document.documentElement.scrollWidth") <= 390
        assert page.run("window.mark") == 1
        os.kill(desk.started[n].pid, signal.SIGINT)
        eventually(lambda: "The server does not answer" in page.run(said), "that the server is gone", 60)
