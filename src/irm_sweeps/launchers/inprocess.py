"""The launcher that starts nothing: this process is the worker."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, ClassVar

from irm_sweeps.device import choose_device, open_device, tame_allocator, visible_gpus
from irm_sweeps.store.manifest import Manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.launcher import Launcher
from irm_sweeps.sweep.progress import Progress
from irm_sweeps.typed_commands import looking


class InProcess(Launcher):
    """Runs stack after stack here: for one trial, for debugging, and where no process may be started."""

    trains_here: ClassVar[bool] = True

    def workers(self, device: str) -> int:
        """Return 1."""
        del device
        return 1

    def uses_gpu(self, device: str) -> bool:
        """Return whether the chosen device is a GPU."""
        return choose_device(device).type == "cuda"

    def gpus(self, device: str) -> Sequence[str]:
        """Return the chosen device, if it is a GPU."""
        return visible_gpus(device)[:1]

    def run(self, store: Store, manifest: Manifest, progress: Progress) -> bool:
        """Work on the manifest until nothing is left to claim; trials that other workers hold are left to them.

        Raises
        ------
        ProcessChanged
            What has run in this process would change the numbers of the trials that are left, and there is no other.
        """
        from irm_sweeps.worker.exceptions import Interrupted, ProcessChanged
        from irm_sweeps.worker.worker import Worker

        tame_allocator()
        device = choose_device(manifest.settings.device)
        open_device(device)
        stalled = partial(_print_stall, store)
        worker = Worker(store, manifest, device, report=progress.add, capture=False, stalled=stalled)
        with stop_on_signals(worker.stop_requested):
            try:
                worker.work()
            except Interrupted:
                raise KeyboardInterrupt from None
            except ProcessChanged as error:
                raise ProcessChanged(
                    f"{error}, so that the other trials would get other numbers here: what is finished stays; give "
                    "hydra/launcher=local, which starts another process after such a trial"
                ) from None
        return True


def _print_stall(store: Store, trial_ids: Sequence[str], reason: str) -> None:
    """Print why this process is about to end."""
    where = looking("logs", trial_ids[0], results=store.root)
    line = f"error: trial {', '.join(trial_ids)}: {reason}, so this process ends; where it hangs: {where}"
    print(line, file=sys.stderr, flush=True)


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` on SIGINT or SIGTERM while the block runs; a second SIGINT interrupts at once."""

    def request(signum: int, frame: Any) -> None:
        del frame
        if stop.is_set() and signum == signal.SIGINT:
            raise KeyboardInterrupt
        if not stop.is_set():
            with suppress(OSError):  # not `print`, which a signal must not enter twice
                os.write(2, b"stopping after this step; Ctrl-C again interrupts at once\n")
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {signum: signal.signal(signum, request) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
