"""A store with one sweep that the server of `irm-sweeps watch` shows."""

from __future__ import annotations

import html
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands import SMALL
from irm_sweeps.commands import live_page
from irm_sweeps.commands.live_page import LivePage
from irm_sweeps.commands.live_server import LiveServer
from irm_sweeps.store.manifest import Manifest, RunSettings, write_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.store.watched_store import WatchedStore
from irm_sweeps.sweep.collect import collect
from irm_sweeps.trial import Trial

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


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


@contextmanager
def one_sweep(root: Path) -> Iterator[Watched]:
    """Make a store with a sweep that nobody works on, and serve its page, which is made anew for each request."""
    store = Store(root)
    store.prepare()
    trials, _, _ = collect([f"results={store.root}", *SMALL, "seed=0,1,2"])
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    labels = dict.fromkeys(trials, f"erm {HOSTILE}")
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    manifest = write_manifest(store, "sweep", configs, [list(trials)], run, labels)
    with (
        pytest.MonkeyPatch.context() as patched,
        LiveServer(0, LivePage(WatchedStore(store.root), None, "irm-sweeps watch")) as server,
    ):
        patched.setattr(live_page, "SECONDS", 0)
        patched.setattr(live_page, "SHARE", 0)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Watched(store, trials, manifest, server)
        server.shutdown()
        thread.join()


def accuracy(trial: Trial, environment: str) -> float:
    return 0.5 + 0.1 * trial.seed


def launched(store: Store, *words: str, name: str = "") -> dict[str, Trial]:
    """Write the manifest that `launch.py -m` with these words would, and return its trials."""
    trials, _, label = collect([f"results={store.root}", *words])
    configs = {trial_id: trial.canonical for trial_id, trial in trials.items()}
    run = RunSettings(data_dir="", device="cpu", on_error="continue", checkpoint_seconds=30)
    write_manifest(store, name or label, configs, [[trial_id] for trial_id in trials], run, overrides=words)
    return trials


TWO_ROWS = ("paper=bae2021_table1", "paper.only=[erm,vrex]", "seed=0,1,2")
