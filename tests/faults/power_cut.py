"""Simulate a process that dies at its n-th file operation, by itself or by a power cut.

`dying_at` runs a function in a fork of this process, `forked`. Bytes that were fsynced, and names in a folder that was
fsynced, are kept. The rest is lost as `Cut` says, and the fork is killed.
"""

from __future__ import annotations

import os
import signal
import stat
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

OPERATIONS = ("replace", "link", "unlink", "mkdir", "fsync")
EVERY = 1 if os.environ.get("IRM_SWEEPS_FAULTS") == "full" else 4
"""Each kind of fault takes its turn at every fourth operation, or with IRM_SWEEPS_FAULTS=full at every one."""


class Cut(Enum):
    """What dies."""

    PROCESS = "the process alone"
    DATA = "the power: names are kept, bytes that were not fsynced are zeros"
    EMPTY = "the power: names are kept, files that were not fsynced are empty"
    NAMES = "the power: what was renamed, linked or removed since the folder's last fsync is undone"


@dataclass
class Disk:
    """The file operations of this process: counted, and undone as far as no fsync has made them last."""

    at: int
    cut: Cut
    count: int = 0
    undo: dict[str, list[Callable[[], None]]] = field(default_factory=dict)
    synced: set[tuple[int, int]] = field(default_factory=set)
    written: dict[tuple[int, int], set[str]] = field(default_factory=dict)
    real: dict[str, Callable[..., Any]] = field(
        default_factory=lambda: {name: getattr(os, name) for name in OPERATIONS}
    )

    def install(self) -> None:
        for name in OPERATIONS:
            setattr(os, name, self._counted(name))

    def _counted(self, name: str) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.die()
            before = getattr(self, f"_before_{name}")(*arguments)
            answer = self.real[name](*arguments, **options)
            if before is not None:
                before()
            return answer

        return operation

    def die(self) -> None:
        if self.cut is Cut.NAMES:
            for steps in self.undo.values():
                for step in reversed(steps):
                    step()
        elif self.cut in (Cut.DATA, Cut.EMPTY):
            for inode, paths in self.written.items():
                if inode not in self.synced:
                    self._lose(inode, paths)
        os.kill(os.getpid(), signal.SIGKILL)

    def _lose(self, inode: tuple[int, int], paths: set[str]) -> None:
        for path in paths:
            if os.path.exists(path) and inode == _inode(os.stat(path)):
                size = os.path.getsize(path) if self.cut is Cut.DATA else 0
                with open(path, "r+b") as file:
                    file.truncate(0)
                    file.write(bytes(size))

    def _note(self, source: Any, target: Any) -> None:
        self.written.setdefault(_inode(os.stat(target)), set()).update({os.fspath(source), os.fspath(target)})

    def _undo(self, path: Any, step: Callable[[], None]) -> None:
        self.undo.setdefault(os.path.dirname(os.fspath(path)), []).append(step)

    def _restoring(self, path: Any) -> Callable[[], None]:
        old = Path(path).read_bytes() if os.path.exists(path) else None

        def restore() -> None:
            if old is not None:
                Path(path).write_bytes(old)
            elif os.path.exists(path):
                self.real["unlink"](path)

        return restore

    def _before_replace(self, source: Any, target: Any) -> Callable[[], None]:
        restore, link = self._restoring(source), self._before_link(source, target)

        def done() -> None:
            self._undo(source, restore)
            link()

        return done

    def _before_link(self, source: Any, target: Any) -> Callable[[], None]:
        restore = self._restoring(target)

        def done() -> None:
            self._undo(target, restore)
            self._note(source, target)

        return done

    def _before_unlink(self, path: Any, *_: Any) -> Callable[[], None]:
        restore = self._restoring(path)
        return lambda: self._undo(path, restore)

    def _before_mkdir(self, path: Any, *_: Any) -> None:
        return None

    def _before_fsync(self, descriptor: int) -> Callable[[], None]:
        found = os.fstat(descriptor)

        def done() -> None:
            if stat.S_ISDIR(found.st_mode):
                self.undo.pop(os.readlink(f"/proc/self/fd/{descriptor}"), None)
            else:
                self.synced.add(_inode(found))

        return done


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def forked(work: Callable[[Callable[[str], None]], object]) -> tuple[int, list[str]]:
    """Do `work` in a fork of this process; return its exit code, negative for a signal, and the lines it has told."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        try:
            work(lambda line: os.write(tell, f"{line}\n".encode()) and None)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(tell)
    with os.fdopen(told) as pipe:
        lines = pipe.read().splitlines()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), lines


def dying_at(operation: int, cut: Cut, work: Callable[[Callable[[str], None]], object]) -> tuple[bool, list[str]]:
    """Do `work` in a fork until its n-th file operation; return whether it died there, and what it had told by then."""

    def until_then(tell: Callable[[str], None]) -> None:
        Disk(operation, cut).install()
        work(tell)

    code, lines = forked(until_then)
    assert code in (0, -signal.SIGKILL), f"at operation {operation} ({cut.value}): it raised"
    return code != 0, lines
