"""Downloads from a lying server: either the published bytes are stored, or no file."""

from __future__ import annotations

import gzip
import hashlib
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irm_sweeps.data import idx
from irm_sweeps.data.mnist import load_digits
from irm_sweeps.errors import UserError
from irm_sweeps.files import downloads
from irm_sweeps.files.downloads import PublishedFile

CONTENT = bytes(range(256)) * 1000


@dataclass
class Server:
    """Answers every path with what it was told to."""

    url: str = ""
    answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            told.answers[self.path](self)

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    yield told
    http.shutdown()
    http.server_close()
    thread.join()


def sends(content: bytes, length: int | None = None, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        with suppress(OSError):  # the other side has heard enough
            handler.wfile.write(content)

    return answer


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with suppress(OSError):
        while True:
            handler.wfile.write(bytes(2**20))


def to_itself(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", handler.path)
    handler.end_headers()


LIES: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
    "another file of the same size": sends(CONTENT[::-1]),
    "the beginning": sends(CONTENT[:1000]),
    "the beginning, cut off": sends(CONTENT[:1000], length=len(CONTENT)),
    "the file and more": sends(CONTENT + b"x"),
    "an endless file": endless,
    "nothing": sends(b""),
    "a web page": sends(b"<html>please log in</html>"),
    "not found": sends(CONTENT, status=404),
    "a ring of redirections": to_itself,
    "no HTTP": lambda handler: handler.wfile.write(b"220 mail server ready\r\n\r\n") and None,
    "a shut door": lambda handler: handler.connection.close(),
}


def published(*urls: str) -> PublishedFile:
    return PublishedFile("file.bin", urls, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_leaves_no_file(lie: str, server: Server, tmp_path: Path) -> None:
    server.answers["/file.bin"] = LIES[lie]
    with pytest.raises(UserError, match=rf"{server.url}/file\.bin: "):
        published(f"{server.url}/file.bin").fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    """But those that were there before, or have got another file meanwhile."""
    server.answers["/file.bin"] = LIES["not found"]
    (tmp_path / "mine").mkdir()
    for folder in ("MNIST/raw", "mine/MNIST/raw"):
        with pytest.raises(UserError):
            published(f"{server.url}/file.bin").fetch(tmp_path / folder)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["mine"]

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        (tmp_path / "MNIST" / "other").touch()
        LIES["not found"](handler)

    server.answers["/file.bin"] = elsewhere
    with pytest.raises(UserError):
        published(f"{server.url}/file.bin").fetch(tmp_path / "MNIST" / "raw")
    assert [path.name for path in (tmp_path / "MNIST").iterdir()] == ["other"]


def trickles(before: bytes, piece: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send a piece twenty times a second, until nobody listens."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):
            handler.wfile.write(before)
            while True:
                handler.wfile.write(piece)
                time.sleep(0.05)

    return answer


TRICKLES = {
    "of content": trickles(b"HTTP/1.0 200 OK\r\n\r\n", b"x"),
    "of a status": trickles(b"HTTP/1.0 200 ", b"x"),
    "of headers": trickles(b"HTTP/1.0 200 OK\r\n", b"X: y\r\n"),
    "of a header": trickles(b"HTTP/1.0 200 OK\r\nX: ", b"x"),
    "in chunks": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "of a chunk's size": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
}


@pytest.mark.parametrize("trickle", TRICKLES)
def test_a_trickle_has_a_deadline(
    trickle: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "SECONDS", 1.0)
    monkeypatch.setattr(downloads, "SLOWEST", len(CONTENT))
    server.answers |= {"/slow/file.bin": TRICKLES[trickle], "/file.bin": sends(CONTENT)}
    slow = f"{server.url}/slow/file.bin"
    started = time.monotonic()
    with pytest.raises(UserError, match=rf"{slow}: (too slow|got more than)"):
        published(slow).fetch(tmp_path)
    assert time.monotonic() - started < 30
    assert list(tmp_path.iterdir()) == []
    assert published(slow, f"{server.url}/file.bin").fetch(tmp_path).read_bytes() == CONTENT


def test_the_next_address_is_asked(server: Server, tmp_path: Path) -> None:
    server.answers |= {"/bad/file.bin": LIES["the beginning"], "/file.bin": sends(CONTENT)}
    path = published(f"{server.url}/bad/file.bin", f"{server.url}/file.bin").fetch(tmp_path)
    assert path.read_bytes() == CONTENT
    assert [own.name for own in tmp_path.iterdir()] == ["file.bin"]


def test_what_is_there_and_cannot_be_read_is_named() -> None:
    """A file of the kernel's stands for another user's: it is there, and reading it fails, whoever asks."""
    unreadable = PublishedFile("clear_refs", (), 0, hashlib.sha256().hexdigest())
    with pytest.raises(UserError, match=r"^/proc/self/clear_refs cannot be read: "):
        unreadable.fetch(Path("/proc/self"))


def test_what_is_there_is_checked_too(server: Server, tmp_path: Path) -> None:
    """A part that some other program has left is fetched again; offline, it is named."""
    server.answers["/file.bin"] = sends(CONTENT)
    (tmp_path / "file.bin").write_bytes(CONTENT[:500])
    wanted = published(f"{server.url}/file.bin")
    assert wanted.fetch(tmp_path).read_bytes() == CONTENT
    assert wanted.fetch(tmp_path).read_bytes() == CONTENT
    assert server.asked == ["/file.bin"], "once"
    (tmp_path / "file.bin").write_bytes(CONTENT[::-1])
    server.answers["/file.bin"] = LIES["not found"]
    with pytest.raises(UserError, match=r"file\.bin has other bytes than those published; .*404"):
        wanted.fetch(tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT[::-1], "what is there is not ours to remove"


@pytest.fixture
def mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """MNIST's files, of blank digits, as the server has them and as they count for published."""
    files = {}
    for split, letter, n in (("train", "train", 60_000), ("test", "t10k", 10_000)):
        images = struct.pack(">4I", 2051, n, 28, 28) + bytes(n * 28 * 28)
        labels = struct.pack(">2I", 2049, n) + np.arange(n, dtype=np.uint8).__mod__(10).tobytes()
        own = []
        for name, content in ((f"{letter}-images-idx3-ubyte.gz", images), (f"{letter}-labels-idx1-ubyte.gz", labels)):
            files[name] = gzip.compress(content, 1)
            digest = hashlib.sha256(files[name]).hexdigest()
            own.append(PublishedFile(name, [f"{server.url}/{name}"], len(files[name]), digest))
            server.answers[f"/{name}"] = sends(files[name])
        monkeypatch.setitem(idx.FILES, split, tuple(own))
    return files


def test_mnist_is_downloaded_once(server: Server, mirror: dict[str, bytes], tmp_path: Path) -> None:
    digits = load_digits("auto", tmp_path / "data")
    assert digits.train_images.shape == (50_000, 28, 28)
    assert digits.train_digits[:3].tolist() == [0, 1, 2]
    raw = tmp_path / "data" / "MNIST" / "raw"
    assert {path.name for path in raw.iterdir()} == {
        "train-images-idx3-ubyte",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte",
        "train-labels-idx1-ubyte.gz",
    }
    assert len(server.asked) == 2


def test_a_gzip_bomb_in_its_place_is_not_opened(
    server: Server, mirror: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "train-images-idx3-ubyte.gz"
    bomb = gzip.compress(bytes(2**27), 9)
    server.answers[f"/{name}"] = sends(bomb)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / name).write_bytes(bomb)
    with pytest.raises(UserError, match=r"no readable MNIST in data_dir=.*has other bytes than those published"):
        load_digits("auto", tmp_path)
    assert [path.name for path in (tmp_path / "MNIST" / "raw").iterdir()] == [name]

    true = idx.FILES["train"]
    size, sha256 = len(bomb), hashlib.sha256(bomb).hexdigest()
    monkeypatch.setitem(idx.FILES, "train", (replace(true[0], size=size, sha256=sha256), true[1]))
    with pytest.raises(UserError, match="larger than 64 MiB"):  # even if its bytes were those published
        load_digits("auto", tmp_path)
    assert [path.name for path in (tmp_path / "MNIST" / "raw").iterdir()] == [name]


def test_the_published_hashes_are_sha256() -> None:
    from irm_sweeps.backbones.resnet import IMAGENET
    from irm_sweeps.data.cifar_batches import ARCHIVE

    every = [ARCHIVE, *IMAGENET.values(), *(own for files in idx.FILES.values() for own in files)]
    assert len({own.sha256 for own in every}) == len(every) == 7
    for own in every:
        assert len(bytes.fromhex(own.sha256)) == 32
        assert all(url.endswith(own.name) for url in own.urls)
    for weights in IMAGENET.values():
        assert weights.sha256.startswith(weights.name.partition("-")[2].removesuffix(".pth")), "torch.hub's own check"


def test_poisoned_weights_in_torch_s_cache_are_not_unpickled(tmp_path: Path, monkeypatch) -> None:
    import os
    import urllib.request

    import torch

    from irm_sweeps.backbones import resnet

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "exploded"),)

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    (tmp_path / "checkpoints").mkdir()
    torch.save({"conv1.weight": Bomb()}, tmp_path / "checkpoints" / resnet.IMAGENET["resnet18"].name)
    resnet._imagenet.cache_clear()
    with pytest.raises(UserError, match="has other bytes than those published"):
        resnet._imagenet("resnet18")
    assert not (tmp_path / "exploded").exists()
