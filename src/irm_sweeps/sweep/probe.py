"""A probe: what a step and an evaluation of a stack take, measured in another process that is ended when it is slow."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from irm_sweeps.errors import UserError, one_line, raised

SECONDS = 20.0
"""Longest time of a probe of one kind, once its data are drawn."""
SET_UP_SECONDS = 60.0
"""Longest time of drawing the data and building the networks."""
ALL_SECONDS = 600.0
"""After so long no further kind is measured."""
START_SECONDS = 120.0
"""Longest time that the process of probes may take to start."""
STEPS = 12
"""Most steps that are measured."""
STEP_SECONDS = 3.0
"""When so much time has been spent on steps, three of them are enough."""
FEWEST = 3
STAGE_STEPS = 2
"""Steps that are measured of each later stage, after its first."""

_COMMAND = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from irm_sweeps.sweep.probe import main; main()"


class ProbeError(Exception):
    """A trial cannot be trained; the text says why."""


class ContractError(ProbeError):
    """A trial cannot be trained since a class of it breaks its contract; the text says how."""


class NotMeasuredError(Exception):
    """There was no time to measure a trial; the text says for what."""


@dataclass
class Measured:
    """What a probe has measured, in seconds, until it ended or its time was up.

    Attributes
    ----------
    steps
        Number of steps of a whole training; None until the data were drawn.
    evaluations
        Number of evaluations of a whole training.
    set_up
        Drawing the data and building the networks.
    first_step
        The first step, which also warms up; no part of `step`.
    step
        Each step after the first.
    evaluation
        Each estimate of an evaluation, after the first.
    stages
        Steps of each later stage by the step at which it begins, after the first of each.
    waited
        How long what had begun last has gone on: that step, where there is no time of a step.
    """

    steps: int | None = None
    evaluations: int = 1
    set_up: float | None = None
    first_step: float | None = None
    step: list[float] = field(default_factory=list)
    evaluation: list[float] = field(default_factory=list)
    stages: dict[int, list[float]] = field(default_factory=dict)
    waited: float = 0.0

    def note(self, event: Mapping[str, Any]) -> None:
        """Note what the process of the probe says."""
        for name, value in event.items():
            if name in ("step", "evaluation"):
                getattr(self, name).append(value)
            elif name == "stage":
                self.stages.setdefault(value[0], []).append(value[1])
            else:
                setattr(self, name, value)


class Prober:
    """Measures stacks in a process of its own, which is started when it is first needed and killed at the block's end.

    Parameters
    ----------
    data_dir, device
        As the settings of the sweep.
    threads
        CPU threads of each worker; None: torch's own choice.
    seconds
        Longest time of a probe, once its data are drawn.
    """

    def __init__(self, data_dir: Path, device: str, threads: int | None, seconds: float = SECONDS) -> None:
        self._settings = {"data_dir": str(data_dir), "device": device, "threads": threads}
        self.seconds = seconds
        self._last_start = time.monotonic() + ALL_SECONDS
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._found: dict[bytes, Measured | ProbeError | NotMeasuredError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def measure(self, configs: Sequence[Mapping[str, Any]]) -> Measured:
        """Measure a few steps of a stack of trials with these configs; what was measured before is known.

        Raises
        ------
        ProbeError
            The trials' code raised, or the process died.
        NotMeasuredError
            The data were not drawn in time, or the time for all probes is up.
        """
        stack = json.dumps(list(configs)).encode()
        if stack not in self._found:
            try:
                self._found[stack] = self._measure(stack)
            except (ProbeError, NotMeasuredError) as error:
                self._found[stack] = error
        if isinstance(found := self._found[stack], Exception):
            raise found
        return found

    def _measure(self, stack: bytes) -> Measured:
        if time.monotonic() > self._last_start:
            raise NotMeasuredError(f"not measured: {ALL_SECONDS / 60:.0f} min for all were up")
        measured = Measured()
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(stack + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            self._died()
        began, deadline = time.monotonic(), time.monotonic() + SET_UP_SECONDS
        while (event := self._event(deadline)) is not None:
            if "error" in event:
                raise (ContractError if event["contract"] else ProbeError)(event["error"])
            if "done" in event:
                return measured
            measured.note(event)
            began = time.monotonic()
            deadline = began + self.seconds if "set_up" in event else deadline
        measured.waited = time.monotonic() - began
        self._end()
        if measured.steps is None:
            raise NotMeasuredError(f"not measured: its data were not drawn within {SET_UP_SECONDS:.0f} s")
        return measured

    def _started(self) -> subprocess.Popen[bytes]:
        """Return the process, which is ready."""
        if self._process is None:
            command = [sys.executable, "-c", _COMMAND, json.dumps([path or os.getcwd() for path in sys.path])]
            self._process = subprocess.Popen(
                [*command, json.dumps({**self._settings, "seconds": self.seconds})],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._unread = b""
            if self._event(time.monotonic() + START_SECONDS) is None:
                self._end()
                raise ProbeError(f"the process that measures did not start within {START_SECONDS:.0f} s")
        return self._process

    def _event(self, deadline: float) -> dict[str, Any] | None:
        """Return the next thing that the process says; None if it says nothing before the deadline."""
        assert self._process is not None
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            with selectors.DefaultSelector() as selector:
                selector.register(self._process.stdout, selectors.EVENT_READ)
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
            if not (piece := os.read(self._process.stdout.fileno(), 65536)):
                self._died()
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def _died(self) -> NoReturn:
        assert self._process is not None
        code = self._process.wait()
        self._end()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise ProbeError(f"the process that measured it {how}")

    def _end(self) -> None:
        if self._process is None:
            return
        with suppress(OSError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self._process = None


def main() -> None:
    """Measure stack after stack: a line of configs in, lines of measurements out, `done` or `error` last."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the trials' code prints is not for the reader of the measurements

    def say(**event: Any) -> None:
        out.write(json.dumps(event) + "\n")
        out.flush()

    from irm_sweeps.device import choose_device, open_device, tame_allocator
    from irm_sweeps.process_state import fresh_state

    settings = json.loads(sys.argv[2])
    tame_allocator()
    import torch

    if settings["threads"] is not None:
        torch.set_num_threads(settings["threads"])
    device = choose_device(settings["device"])
    open_device(device)
    say(ready=True)
    for line in sys.stdin:
        try:
            with fresh_state():
                _measure(json.loads(line), settings, device, say)
        except (Exception, SystemExit) as error:
            say(error=one_line(raised(error), at_most=1000), contract=isinstance(error, UserError))
        else:
            say(done=True)


def _measure(
    configs: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], device: Any, say: Callable[..., None]
) -> None:
    """Say what set-up, steps and evaluations take: after a warm-up, few of them where they are slow."""
    from irm_sweeps.training.loop import StackTraining
    from irm_sweeps.trial import Trial

    began = time.monotonic()
    trials = [Trial.from_config(config) for config in configs]
    training = StackTraining(trials, Path(settings["data_dir"]), device)
    every = trials[0].training.evaluate_every
    evaluations = 1 + (training.steps // every if every else 0)
    say(steps=training.steps, evaluations=evaluations, set_up=time.monotonic() - began)
    began = time.monotonic()
    say(first_step=training.time_step())
    training.time_evaluation()
    say(evaluation=training.time_evaluation())
    steps_began = time.monotonic()
    later = training.timeline.later()
    for n in range(STEPS):
        now = time.monotonic()
        if n and training.step in later:
            break
        if (n >= FEWEST and now - steps_began > STEP_SECONDS) or (n and now - began > 0.8 * settings["seconds"]):
            break
        say(step=training.time_step())
    # What raises here only for want of the steps before it is no fault of the trial: its stage is priced as the first.
    with suppress(Exception):
        for first in later:
            training.step = first
            for n in range(1 + STAGE_STEPS):
                if time.monotonic() - began > 0.8 * settings["seconds"]:
                    break
                seconds = training.time_step()
                if n:
                    say(stage=[first, seconds])
    for _ in range(2):
        if time.monotonic() - began < 0.8 * settings["seconds"]:
            say(evaluation=training.time_evaluation())
