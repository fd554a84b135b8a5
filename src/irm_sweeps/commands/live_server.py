"""The server of the live page: one page, to be read, for who sits at this machine."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Protocol

from irm_sweeps.errors import one_line, text_of

LOOPBACK = "127.0.0.1"
_OWN_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
"""What a browser on this machine, or at the other end of a port forward, sends as Host."""


class Page(Protocol):
    """What is served.

    Attributes
    ----------
    style, script
        The text of its inline style and script: nothing else may style it or run on it.
    """

    style: str
    script: str

    def html(self) -> str:
        """Return the page as it is now."""


class LiveServer(ThreadingMixIn, TCPServer):
    """Serves a page at `/` on the loopback address.

    Raises
    ------
    OSError
        The port is taken, or may not be used.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, page: Page) -> None:
        self.page = page
        self.policy = (
            f"default-src 'none'; style-src {_digest(page.style)}; script-src {_digest(page.script)}; "
            "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        super().__init__((LOOPBACK, port), _Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Ignore that a browser has gone away; say anything else in one line."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            print(one_line(f"a request was not answered: {text_of(error)}"), file=sys.stderr)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request.

    Attributes
    ----------
    timeout
        Seconds after which a client that says nothing is left.
    """

    server: LiveServer
    timeout = 10
    server_version = "irm-sweeps"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the page."""
        self._answer(self.wfile.write)

    def do_HEAD(self) -> None:
        """Answer with the headers of the page."""
        self._answer(lambda _: None)

    def _answer(self, write: Callable[[bytes], object]) -> None:
        if not _OWN_NAMES.fullmatch(self.headers.get("Host", "")):  # a name that leads here by DNS rebinding
            self.send_error(HTTPStatus.FORBIDDEN, f"open http://{LOOPBACK}:{self.server.port}/")
            return
        if self.path.partition("?")[0] != "/":
            self.send_error(HTTPStatus.NOT_FOUND, f"the only page is http://{LOOPBACK}:{self.server.port}/")
            return
        try:
            body = self.server.page.html().encode(errors="replace")
        except Exception as error:
            message = one_line(f"the page could not be made: {type(error).__name__}: {text_of(error)}")
            print(message, file=sys.stderr)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, message)
            return
        self._begin(HTTPStatus.OK, "text/html", len(body))
        write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer with a line of plain text; a method that is not known is one that is not allowed."""
        not_allowed = code == HTTPStatus.NOT_IMPLEMENTED
        status = HTTPStatus.METHOD_NOT_ALLOWED if not_allowed else HTTPStatus(code)
        text = "this page can only be read" if not_allowed else message or status.phrase
        body = f"{text}\n".encode(errors="replace")
        self._begin(status, "text/plain", len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: HTTPStatus, kind: str, length: int) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(length),
            "Content-Security-Policy": self.server.policy,
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
            "Allow": "GET, HEAD",
            "Connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing: a page that updates itself would fill the terminal."""


def _digest(text: str) -> str:
    """Return an inline style or script as a Content-Security-Policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
