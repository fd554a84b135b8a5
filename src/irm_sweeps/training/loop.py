"""The training loop of a stack of trials. A solo trial is a stack of one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from irm_sweeps.backbones.backbone import BUFFER
from irm_sweeps.device import numeric_state, numerics
from irm_sweeps.draws import Draws
from irm_sweeps.methods.encoder_pass import KeptFeatures
from irm_sweeps.methods.method import Method, Move
from irm_sweeps.methods.risks import LOSSES
from irm_sweeps.training.agreement import Agreement
from irm_sweeps.training.checkpoint import check_evaluations
from irm_sweeps.training.evaluation import Scores, evaluate, stacked_logits
from irm_sweeps.training.footprint import is_tiny
from irm_sweeps.training.game import Game, Scene, check_players, check_side
from irm_sweeps.training.moves import Compiled, CompiledMoves, Moves
from irm_sweeps.training.networks import Networks
from irm_sweeps.training.parameters import StackedParameters
from irm_sweeps.training.passes import SharedPasses
from irm_sweeps.training.progress import Progress, digest, json_number
from irm_sweeps.training.selection import RULES, Evaluation, check
from irm_sweeps.training.similarity import Similarity
from irm_sweeps.training.stacked_data import StackedBatch, StackedData
from irm_sweeps.training.timeline import Timeline, enter
from irm_sweeps.trial import Trial


@dataclass
class Outcome:
    """The result of one trial's training.

    Attributes
    ----------
    diverged_at
        Number of updates done when an objective was first not finite; None for a completed trial.
    metrics
        selection rule -> {step, scores}; empty for a diverged trial.
    history
        Rows of `history.jsonl`: one per logged step, and one per evaluation.
    seconds
        Wall time of the steps and evaluations of the whole stack, not divided by its trials.
    parameters_sha256
        sha256 of the final parameters' bytes: equal for two runs with identical results.
    numerics
        The numeric state at the end: see `irm_sweeps.device.numeric_state`.
    """

    steps: int
    diverged_at: int | None
    metrics: dict[str, dict[str, Any]]
    history: list[dict[str, Any]]
    seconds: float
    stack_size: int
    parameters_sha256: str
    numerics: Mapping[str, Any]


class Control(Protocol):
    """Hook that the loop calls between steps; a worker uses it for heartbeats, checkpoints and signals."""

    def after_step(self, training: StackTraining) -> None:
        """Called after each step; may raise to interrupt the training."""


class NoControl:
    """A control that does nothing."""

    def after_step(self, training: StackTraining) -> None:
        """Do nothing."""


class StackTraining:
    """The training of a stack: trials that differ in numbers and seed only.

    Parameters
    ----------
    trials
        Trials of one `stack_key`.
    data_dir
        Folder of the dataset's files.
    device
        Device to train on.
    compiled
        Whether each move runs as one compiled program; see `irm_sweeps.training.moves`.

    Attributes
    ----------
    step
        Number of updates done so far, the same for all trials.
    compiled
        Whether each move does run as one compiled program.
    timeline
        The stages of the method.
    networks
        What draws the trials' networks.
    """

    def __init__(
        self, trials: Sequence[Trial], data_dir: Path, device: torch.device, *, compiled: Compiled = False
    ) -> None:
        if len({trial.stack_key for trial in trials}) != 1:
            raise ValueError("these trials differ in more than numbers and seed: they cannot form one stack")
        self._order = sorted(range(len(trials)), key=lambda i: trials[i].optimizer.lr)
        self.trials = [trials[i] for i in self._order]
        self.device = device
        self.step = 0
        self._seconds = 0.0
        self._first = first = self.trials[0]
        self._dtype = torch.float64 if first.training.precision == "float64" else torch.float32
        self._progress = [Progress() for _ in trials]
        self._pending: list[tuple[int, Mapping[str, Tensor]]] = []

        self._draws = [Draws(trial.seed) for trial in self.trials]
        self.data = StackedData(self.trials, data_dir, device, self._dtype)
        check_side(first.method, type(first.dataset).__name__, given=self.data.has_side)
        epochs = first.training.epochs
        self.steps = first.training.steps or 0 if epochs is None else epochs * self.data.epoch
        self.timeline = Timeline([trial.method for trial in self.trials], self.steps, device)
        self.networks = Networks(self.trials, self._draws, device, self._dtype)
        self.model = self.networks.model
        initial = self.networks.initial(self.data.environments, sum(self.data.sizes))
        owned = [name for name in initial[0] if not name.startswith(BUFFER)]
        self._agreement = Agreement([trial.method for trial in self.trials])
        self._agreement.check_start(owned)
        players = first.method.players(owned)
        check_players(first.method, players, self.data.environments)
        self.parameters = StackedParameters(
            initial,
            players,
            [trial.optimizer for trial in self.trials],
            {player: first.method.pace(player) for player in players},
        )
        self._noise_shapes = first.method.noise({name: initial[0][name] for name in owned}, self.data.environments)
        self._predict = partial(first.method.predict, self.model)
        self._numbers = self._stack_numbers()
        self._loss = LOSSES[first.dataset.loss]
        self.game = Game(first.method, self.model, self._loss, self.data.environments, len(trials))
        self.compiled = bool(compiled) and (compiled is True or is_tiny(initial[0], self.data.per_step))
        self._moves = (CompiledMoves if self.compiled else Moves)(self.game, self.parameters)
        repeats = self.data.repeats and len(owned) == len(initial[0])
        self._passes = SharedPasses(self.parameters, solo=len(trials) == 1, repeats=repeats)
        self._similarity = Similarity(first.training.similarity, first.method, self.model, self.data.paired, self._loss)
        self._diverged_at = torch.full((len(trials),), -1, dtype=torch.int64, device=device)

    def _stack_numbers(self) -> dict[str, Tensor]:
        per_trial = [trial.numbers for trial in self.trials]
        numbers = {
            name: torch.tensor([own[name] for own in per_trial], dtype=self._dtype, device=self.device)
            for name in per_trial[0]
        }
        if not any(own["l2"] for own in per_trial):
            del numbers["l2"]
        return numbers

    def history(self, trial: int) -> Sequence[Mapping[str, Any]]:
        """Return the rows of `history.jsonl` that one trial has logged so far. The device is waited for."""
        self._collect()
        return self._progress[trial].history

    def state(self, trial: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the state of one trial, from which `restore` resumes it: tensors, and JSON values."""
        self._collect()
        progress = self._progress[trial]
        tensors = {**self.parameters.state_of(trial), "diverged_at": self._diverged_at[trial].clone()}
        return tensors, {
            "step": self.step,
            "seconds": self._seconds,
            "history": progress.history,
            "evaluations": [{"step": e.step, "scores": e.scores} for e in progress.evaluations],
        }

    def restore(self, states: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Any]]]) -> None:
        """Resume from states given by `state`, in the order of `self.trials` and all at the same step.

        Raises
        ------
        ValueError
            The states are at different steps or beyond the last step, or the tensors do not fit the trials. Nothing
            has changed then.
        """
        steps = {int(plain["step"]) for _, plain in states}
        if len(steps) != 1:
            raise ValueError(f"the trials of a stack must stand at one step, not at {sorted(steps)}")
        if max(steps) > self.steps:
            raise ValueError(f"at step {max(steps)} of {self.steps}")
        measures = ("risk",) if self._first.dataset.is_regression else ("risk", "accuracy")
        for trial, (tensors, plain) in enumerate(states):
            environments = {split: stacked.names[trial] for split, stacked in self.data.sets.items()}
            check_evaluations(plain, environments, measures)
            own = {name: tensor for name, tensor in tensors.items() if name != "diverged_at"}
            self.parameters.check(own, self.timeline.paces(max(steps) - 1))
            at = tensors.get("diverged_at")
            if at is None or at.shape != () or at.dtype != torch.int64 or not -1 <= int(at) <= max(steps):
                raise ValueError("diverged_at is no step")
        self.step = steps.pop()
        self._seconds = max(float(plain["seconds"]) for _, plain in states)
        self.parameters.restore([tensors for tensors, _ in states], self.timeline.paces(self.step - 1))
        self._passes.clear()
        self._diverged_at = torch.stack([tensors["diverged_at"] for tensors, _ in states]).to(self.device)
        self._progress = [
            Progress(list(plain["history"]), [Evaluation(e["step"], e["scores"]) for e in plain["evaluations"]])
            for _, plain in states
        ]

    def run(self, control: Control | None = None) -> list[Outcome]:
        """Train to the last step and return the outcomes, in the order of the trials given to the constructor."""
        with numerics(self.device, self.data.large):
            return self._run(control or NoControl())

    def _run(self, control: Control) -> list[Outcome]:
        training = self._first.training
        while self.step < self.steps:
            started, compiling = time.perf_counter(), self._moves.compiling
            self._advance()
            due = training.evaluate_every and self.step % training.evaluate_every == 0
            if due and self.step < self.steps:
                self._evaluate()
            # Reading from the device waits for it, so this belongs inside the timed part.
            lost = self.step % training.log_every == 0 and bool((self._diverged_at >= 0).all())
            self._seconds += time.perf_counter() - started - (self._moves.compiling - compiling)
            if lost:
                break
            control.after_step(self)
        return self._finish()

    def time_step(self) -> float:
        """Do one step, and return its seconds; the first also warms up the device and the allocator."""
        with numerics(self.device, self.data.large):
            return self._timed(self._advance)

    def time_evaluation(self) -> float:
        """Return the seconds of an evaluation, estimated from some test inputs; the first estimate is too large."""
        inputs, share = self.data.sample(self.step)
        self.model.train(False)
        with torch.no_grad(), numerics(self.device, self.data.large):
            predicting = self._timed(lambda: stacked_logits(self._predict, self.parameters.tensors(), [inputs]))
        self.model.train(True)
        return predicting / share

    def _timed(self, work: Callable[[], Any]) -> float:
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _advance(self) -> None:
        """Do one step of the game: its moves in order."""
        self.begin_stages()
        self._agreement.check_step(self.step, self.data.environments)
        moves = self.moves()
        numbers = [self.data.same_as(move.batch) for move in moves]
        batches = {number: self.data.batch(self.step, number, 1 + max(numbers)) for number in set(numbers)}
        self._passes.begin(moves, numbers)
        seen: dict[str, Tensor] = {}
        logs = self.step % self._first.training.log_every == 0
        noise = self.noise()
        for move, number in zip(moves, numbers, strict=True):
            scene = self.scene(batches[number], noise, self._passes.of(number))
            logged, self._diverged_at = self._moves.take(move.players, scene, self._diverged_at, log=logs)
            self._passes.moved(move.players)
            seen.update(logged)
        if logs:
            self._pending.append((self.step, seen))
        self.step += 1

    def begin_stages(self) -> None:
        """Make the changes with which the stages of this step begin, and set its learning rate."""
        beginning = self.timeline.beginning(self.step)
        if any(stage.restarts for stage in beginning):
            self.parameters.restart(self.timeline.paces(self.step))
        self.parameters.scale_lr(self._first.optimizer.factor(self.step / max(self.steps, 1)))
        for stage in beginning:
            if not stage.numbers_only and self._first.method.overrides(Method.enter):
                self.parameters.assign(self._entered(stage.name))
                self._passes.clear()

    def _entered(self, stage: str) -> dict[str, Tensor]:
        """Return the new values `[S, ...]` of the tensors that change where a stage begins."""
        tensors = self.parameters.tensors()
        new = []
        for i, trial in enumerate(self.trials):
            parameters = {name: tensor[i].detach() for name, tensor in tensors.items()}
            numbers = {name: value[i] for name, value in self._numbers.items()}
            fresh = partial(self.networks.fresh, i)
            own = enter(stage, trial.method, self.model, parameters, numbers, self.data, i, fresh, self.step)
            new.append({name: self.networks.put(value) for name, value in own.items()})
        return {name: torch.stack([own[name] for own in new]) for name in new[0]}

    def moves(self) -> Sequence[Move]:
        """Return the moves of the current step."""
        moves = self.timeline.stage(self.step).moves
        return self._first.method.moves(self.step, self.data.environments) if moves is None else moves

    def scene(self, batch: StackedBatch, noise: Mapping[str, Tensor], passes: KeptFeatures | None = None) -> Scene:
        """Return the scene of a move of the current step on a batch."""
        step = torch.full((), self.step, dtype=torch.int64, device=self.device)
        phase = self.timeline.stage(self.step).name
        return Scene(batch, self._numbers, noise, step, self.timeline.begins, phase, passes)

    def noise(self) -> dict[str, Tensor]:
        """Return this step's uniform numbers in [0, 1), `[S, *shape]` by name, drawn from each trial's seed."""
        return {
            name: self.data.send(
                np.stack([draws.uniform(f"noise/{name}/{self.step}", *shape) for draws in self._draws]), self._dtype
            ).clamp_(max=1 - torch.finfo(self._dtype).eps / 2)  # float32 rounds doubles next to 1 to 1
            for name, shape in self._noise_shapes.items()
        }

    def _evaluate(self) -> None:
        self._collect()
        self.model.train(False)
        prepared = self.data.prepared(self.step)
        tensors = self.parameters.tensors()
        scores: list[Scores] = evaluate(self._predict, tensors, self.data.sets, prepared, self._loss)
        extra = self._similarity.of(tensors, self._numbers, self.data, self.step, self.timeline)
        self.model.train(True)
        for progress, usual, more in zip(self._progress, scores, extra, strict=True):
            own = {**usual, **more}
            progress.evaluations.append(Evaluation(self.step, own))
            progress.history.append({"step": self.step, "scores": own})

    def _collect(self) -> None:
        """Append the logged tensors to the trials' histories; only here does the host wait for them."""
        for step, values in self._pending:
            columns = {name: value.tolist() for name, value in values.items()}
            for trial, progress in enumerate(self._progress):
                row = {name: json_number(column[trial]) for name, column in columns.items()}
                progress.history.append({"step": step, **row})
        self._pending.clear()

    def _finish(self) -> list[Outcome]:
        started = time.perf_counter()
        self._evaluate()
        self._seconds += time.perf_counter() - started
        diverged = [
            self.step if at < 0 and progress.evaluations[-1].unusable else at
            for at, progress in zip(self._diverged_at.tolist(), self._progress, strict=True)
        ]
        tensors = self.parameters.tensors()
        outcomes: list[Outcome | None] = [None] * len(self.trials)
        for i, (trial, progress) in enumerate(zip(self.trials, self._progress, strict=True)):
            chosen = {name: rule(progress.evaluations, trial.dataset.shifted) for name, rule in RULES.items()}
            stopped = trial.method.stop([check(evaluation, self.data.held_back) for evaluation in progress.evaluations])
            chosen["stop"] = None if stopped is None else progress.evaluations[stopped]
            lost = diverged[i] >= 0
            outcomes[self._order[i]] = Outcome(
                steps=diverged[i] if lost else self.step,
                diverged_at=diverged[i] if lost else None,
                metrics={}
                if lost
                else {name: {"step": e.step, "scores": e.scores} for name, e in chosen.items() if e is not None},
                history=progress.history,
                seconds=self._seconds,
                stack_size=len(self.trials),
                parameters_sha256=digest(tensors, i),
                numerics=numeric_state(self.device, self._dtype, trial.training.precision),
            )
        return [outcome for outcome in outcomes if outcome is not None]
