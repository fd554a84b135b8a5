"""`irm-sweeps watch`: one page that can only be read, from this machine, served until Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import synthetic_store as synthetic
from browser import CHROMIUM, chromium
from commands import ROGUE, Desk, eventually
from irm_sweeps import cli
from irm_sweeps.commands import watch
from irm_sweeps.commands.live_server import LiveServer
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.paper import load_paper
from watched import TWO_ROWS, Watched, accuracy, launched, one_sweep

pytestmark = pytest.mark.usefixtures("composed_once")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with one_sweep(tmp_path / "results") as own:
        yield own


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
