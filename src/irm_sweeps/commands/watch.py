"""`irm-sweeps watch`: a page on this machine's loopback that shows a sweep while it runs."""

from __future__ import annotations

import argparse
import errno
import getpass
import shlex
import socket
from typing import TYPE_CHECKING

from irm_sweeps.commands import completers
from irm_sweeps.commands.arguments import Commands, add_store_command, open_store
from irm_sweeps.errors import UserError
from irm_sweeps.typed_commands import is_default_store, looking, offers

if TYPE_CHECKING:
    from irm_sweeps.commands.live_page import LivePage
    from irm_sweeps.commands.live_server import LiveServer
    from irm_sweeps.store.store import Store

PORT = 8765
"""The port that is tried first."""
TRIED = 20
"""How many ports are tried, one after another, where none is given."""
LARGEST_PORT = 65535


def add_parser(commands: Commands) -> None:
    """Declare the options."""
    about = (
        "A page that shows a sweep while it runs, and updates itself: progress, curves, table, failures. It reads the "
        "store's files only, so it works on any node and for SLURM sweeps, and listens on 127.0.0.1 only."
    )
    parser = add_store_command(commands, "watch", about)
    sweep = parser.add_argument("--sweep", metavar="NAME", help="name or its beginning (default: always the latest)")
    offers(sweep, completers.sweeps)
    port = f"default: the first free one from {PORT} on; 0: any"
    parser.add_argument("--port", type=int, metavar="N", help=f"where to listen ({port})")


def run(options: argparse.Namespace) -> None:
    """Serve the page until Ctrl-C."""
    from irm_sweeps.commands.live_page import LivePage
    from irm_sweeps.store.manifest import read_manifest
    from irm_sweeps.store.watched_store import WatchedStore

    store = _store(options)
    name = None if options.sweep is None else read_manifest(store, options.sweep).name
    server = _listening(options.port, LivePage(WatchedStore(store.root), name, _again(options)))
    try:
        print("\n".join(_lines(store.root.name if name is None else name, server.port)), flush=True)
        server.serve_forever()
    except KeyboardInterrupt:
        print("\nended; the sweep goes on, and this shows it again: " + _again(options))
    finally:
        server.server_close()


def _store(options: argparse.Namespace) -> Store:
    """Return the store; that of this folder also before its first sweep, for which the page waits."""
    from irm_sweeps.files.reading import is_there
    from irm_sweeps.store.store import Store

    root = options.results.absolute()
    if options.sweep is None and is_default_store(root) and not is_there(root):
        print(f"{root} is not there yet: the page waits for the first sweep")
        return Store(root)
    return open_store(options)


def _lines(what: str, port: int) -> list[str]:
    """Return what is printed: where the page is, here and from another machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        user = "USER"
    forward = shlex.join(["ssh", "-N", "-L", f"{port}:127.0.0.1:{port}", f"{user}@{socket.gethostname()}"])
    return [
        f"{what}: http://127.0.0.1:{port}/  (Ctrl-C ends the page, not the sweep)",
        f"from another machine, before opening the same address there: {forward}",
    ]


def _again(options: argparse.Namespace) -> str:
    sweep = ["--sweep", options.sweep] if options.sweep else []
    return looking("watch", *sweep, results=options.results)


def _listening(port: int | None, page: LivePage) -> LiveServer:
    """Return a server that listens on a port, or without one on the first free port of `TRIED`.

    Raises
    ------
    UserError
        The port is none or is taken, or all that were tried are.
    """
    from irm_sweeps.commands.live_server import LiveServer

    if port is not None and not 0 <= port <= LARGEST_PORT:
        raise UserError(f"--port {port}: a port is a number from 1 to {LARGEST_PORT}, or 0 for any free one")
    for tried in range(PORT, PORT + TRIED) if port is None else [port]:
        try:
            return LiveServer(tried, page)
        except OSError as error:
            if port is not None:
                reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
                raise UserError(f"--port {port} {reason}: leave --port out to take the next free one") from None
    raise UserError(f"the ports {PORT} to {PORT + TRIED - 1} are all taken: --port 0 takes any free one")
