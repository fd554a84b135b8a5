"""Control a headless Chromium through a pipe, to render a page and collect its errors. Needs no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One tab, controlled by Chromium's DevTools protocol."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._n, self._left = write, read, 0, b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        self._n += 1
        message: dict[str, Any] = {"id": self._n, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._n:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self, seconds: float = 60) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            self._left += os.read(self._read, 1 << 20)
        head, _, self._left = self._left.partition(b"\0")
        return dict(json.loads(head))

    def open(self, where: Path | str, width: int, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Load a file, or the page at an address."""
        if self._session is None:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
        phone = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        url = where if isinstance(where, str) else where.resolve().as_uri()
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + 60
        while self.run("document.readyState + location.protocol") != f"complete{url.partition(':')[0]}:":
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self, allowed: str = "file:") -> list[dict[str, Any]]:
        """Return the events of exceptions, console errors and warnings, and of requests but for `allowed` addresses."""
        complaints = []
        for event in self.events:
            params = event.get("params", {})
            url = params.get("request", {}).get("url", "file:")
            if (
                event["method"] == "Runtime.exceptionThrown"
                or (event["method"] == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"))
                or (event["method"] == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"))
                or (event["method"] == "Network.requestWillBeSent" and not url.startswith(("file:", "data:", allowed)))
            ):
                complaints.append(event)
        return complaints

    def screenshot(self, path: Path, whole: bool = True) -> None:
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole, format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Start a Chromium with its profile in `folder`, and end it with its child processes."""
    assert CHROMIUM
    ours, theirs = os.pipe(), os.pipe()

    def on_3_and_4() -> None:
        low, high = os.dup(ours[0]), os.dup(theirs[1])
        os.dup2(low, 3)
        os.dup2(high, 4)

    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    process = subprocess.Popen(
        [CHROMIUM, *options, "--hide-scrollbars", f"--user-data-dir={folder}", "--remote-debugging-pipe"],
        preexec_fn=on_3_and_4,
        pass_fds=(3, 4, ours[0], theirs[1]),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    page = Page(ours[1], theirs[0])
    try:
        yield page
    finally:
        page._session = None
        page.call("Browser.close")
        process.wait(30)
        for end in (*ours, *theirs):
            os.close(end)
