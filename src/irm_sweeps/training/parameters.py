"""The parameters of a stack of trials, and the optimizers that update them.

Each named parameter of S trials is one tensor with a leading axis S. torch's optimizers take one learning
rate per tensor, so trials are ordered by learning rate and trials with the same one share a leaf tensor. The game gets
the leaves concatenated, and the gradient flows back to each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from irm_sweeps.methods.method import Pace
from irm_sweeps.training import torch_optimizers
from irm_sweeps.training.optimizers import Optimizer

Combine = Callable[[str, Tensor, Mapping[str, Tensor]], Mapping[str, Tensor]]
"""A function from a player, its objectives `[S, k]` and their gradients `[S, k, *shape]` to those it steps with."""


class StackedParameters:
    """The leaf tensors and the players' optimizers of a stack.

    Parameters
    ----------
    initial
        Per trial, its parameters by name; all trials have the same names and shapes.
    players
        Names of each player's parameters; tensors of no player (`buffer.*`) need no gradient.
    optimizers
        Per trial; they differ in `lr` at most, and trials with the same `lr` are adjacent.
    paces
        How each player steps.
    """

    def __init__(
        self,
        initial: Sequence[Mapping[str, Tensor]],
        players: Mapping[str, Sequence[str]],
        optimizers: Sequence[Optimizer],
        paces: Mapping[str, Pace],
    ) -> None:
        runs = groupby(range(len(initial)), key=lambda trial: optimizers[trial].lr)
        self._groups = [(lr, list(trials)) for lr, trials in runs]
        owned = {name for names in players.values() for name in names}
        self._leaves: list[dict[str, Tensor]] = [
            {
                name: torch.stack([initial[trial][name] for trial in trials]).requires_grad_(name in owned)
                for name in initial[0]
            }
            for _, trials in self._groups
        ]
        self._players = players
        self._optimizer = optimizers[0]
        self._initial_paces = paces
        self.restart({})

    def restart(self, paces: Mapping[str, Pace]) -> None:
        """Reset all optimizers; the named players step at these paces, the others at their initial ones."""
        self._paces = {**self._initial_paces, **paces}
        self._lr_factor = 1.0
        self._optimizers = {player: self._build(player, self._paces[player]) for player in self._players}

    def _build(self, player: str, pace: Pace) -> torch.optim.Optimizer:
        groups = zip(self._groups, self._leaves, strict=True)
        return self._made(pace, [(lr, [leaves[name] for name in self._players[player]]) for (lr, _), leaves in groups])

    def _made(self, pace: Pace, groups: Sequence[tuple[float, Sequence[Tensor]]]) -> torch.optim.Optimizer:
        """Return an optimizer for leaves that are grouped by their trials' learning rate."""
        if pace.optimizer == "descent":
            return torch_optimizers.SGD([leaf for _, leaves in groups for leaf in leaves], lr=pace.lr)
        if pace.optimizer == "adam":
            return torch_optimizers.Adam([leaf for _, leaves in groups for leaf in leaves], lr=pace.lr, fused=True)
        return self._optimizer.build([{"params": list(leaves), "lr": lr * pace.lr} for lr, leaves in groups])

    def scale_lr(self, factor: float) -> None:
        """Set the learning rate of every player whose pace decays to `factor` times its initial value."""
        if factor == self._lr_factor:
            return
        for player, optimizer in self._optimizers.items():
            pace = self._paces[player]
            if pace.optimizer == "trial" and pace.decays:
                for (lr, _), group in zip(self._groups, optimizer.param_groups, strict=True):
                    group["lr"] = lr * pace.lr * factor
        self._lr_factor = factor

    def moves_encoder(self, player: str) -> bool:
        """Return whether a player updates any part of the representation."""
        return any(name.startswith("representation.") for name in self._players[player])

    @torch.no_grad()
    def assign(self, values: Mapping[str, Tensor]) -> None:
        """Give named tensors `[trials, ...]` new values."""
        for name, value in values.items():
            for (_, trials), leaves in zip(self._groups, self._leaves, strict=True):
                leaves[name].copy_(value[trials[0] : trials[-1] + 1])

    def tensors(self) -> dict[str, Tensor]:
        """Return `[trials, ...]` tensors by name, differentiable with respect to the leaves."""
        if len(self._leaves) == 1:
            return dict(self._leaves[0])
        return {name: torch.cat([leaves[name] for leaves in self._leaves]) for name in self._leaves[0]}

    def move(self, objectives: Mapping[str, Tensor], combine: Combine | None = None) -> None:
        """Let each player of `objectives` take a step on its own objective (summed over trials).

        All gradients are taken before any player steps. A player without parameters (the representation of a linear
        predictor) does not step. A player with several objectives, `[S, k]`, steps with what `combine` returns.
        """
        several = {player: values for player, values in objectives.items() if values.ndim > 1}
        combined = [self._combined(player, objectives, combine) for player in self._with_parameters(several)]
        for _, own in self._gradients({p: v for p, v in objectives.items() if p not in several}, self._leaves):
            for _, leaf, gradient in own:
                self._point(leaf, gradient)
        for gradients in combined:
            self._point_all(gradients)
        self._step(self._with_parameters(objectives))

    def _combined(self, player: str, objectives: Mapping[str, Tensor], combine: Combine | None) -> Mapping[str, Tensor]:
        """Return the combined gradients of a player with several objectives, `[trials, ...]` by name."""
        assert combine is not None
        names, count = self._players[player], objectives[player].shape[1]
        leaves = [own[name] for own in self._leaves for name in names]
        each = [
            torch.autograd.grad(objectives[player][:, k].sum(), leaves, retain_graph=True, allow_unused=True)
            for k in range(count)
        ]
        of_leaves = [_stacked(gradients, leaf) for leaf, gradients in zip(leaves, zip(*each, strict=True), strict=True)]
        by_name = {name: [g for g in of_leaves[i :: len(names)] if g is not None] for i, name in enumerate(names)}
        return combine(player, objectives[player], {name: torch.cat(own) for name, own in by_name.items() if own})

    def follow(self, gradients: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Let each player take a step with given gradients, `[trials, ...]` by name; other parameters do not change."""
        for own in gradients.values():
            self._point_all(own)
        self._step(self._with_parameters(gradients))

    def _point_all(self, gradients: Mapping[str, Tensor]) -> None:
        for name, gradient in gradients.items():
            for (_, trials), leaves in zip(self._groups, self._leaves, strict=True):
                self._point(leaves[name], gradient[trials[0] : trials[-1] + 1])

    def reached(self, objectives: Mapping[str, Tensor]) -> dict[str, tuple[str, ...]]:
        """Return, by player, the names of its parameters that its objective depends on; nothing is updated."""
        return {
            player: tuple(name for name, _, gradient in own if gradient is not None)
            for player, own in self._gradients(objectives, self._leaves[:1])
        }

    def _gradients(
        self, objectives: Mapping[str, Tensor], groups: Sequence[Mapping[str, Tensor]]
    ) -> Iterator[tuple[str, list[tuple[str, Tensor, Tensor | None]]]]:
        """Yield each player with a list of (parameter name, leaf in `groups`, gradient of the leaf)."""
        moving = self._with_parameters(objectives)
        for player in moving:
            names, leaves = zip(*((name, own[name]) for own in groups for name in self._players[player]), strict=True)
            gradients = torch.autograd.grad(
                objectives[player].sum(), leaves, retain_graph=player != moving[-1], allow_unused=True
            )
            yield player, list(zip(names, leaves, gradients, strict=True))

    def _with_parameters(self, players: Collection[str]) -> list[str]:
        return [player for player in players if self._players[player]]

    @staticmethod
    def _point(leaf: Tensor, gradient: Tensor | None) -> None:
        # The fused kernels ignore strides, so the gradient must be contiguous like its leaf.
        leaf.grad = None if gradient is None else gradient.contiguous()

    def _step(self, players: Sequence[str]) -> None:
        for player in players:
            self._optimizers[player].step()
            self._optimizers[player].zero_grad(set_to_none=True)

    def state_of(self, trial: int) -> dict[str, Tensor]:
        """Return one trial's parameters (`parameters/NAME`) and optimizer state (`PLAYER/NAME/KEY`).

        Optimizer state of a parameter's shape keeps its axis of trials, which tells it from a step count.
        """
        group = next(g for g, (_, trials) in enumerate(self._groups) if trial in trials)
        row = self._groups[group][1].index(trial)
        leaves = self._leaves[group]
        state = {f"parameters/{name}": leaf.detach()[row].clone() for name, leaf in leaves.items()}
        for player, names in self._players.items():
            for name in names:
                for key, value in self._optimizers[player].state[leaves[name]].items():
                    if isinstance(value, Tensor):
                        stacked = value.shape == leaves[name].shape
                        state[f"{player}/{name}/{key}"] = (value[row : row + 1] if stacked else value).clone()
        return state

    def check(self, state: Mapping[str, Tensor], paces: Mapping[str, Pace]) -> None:
        """Check that `state` has the names, shapes and types that `state_of` gives for a trial of this stack.

        Parameters
        ----------
        paces
            Those of the players that no longer have their initial one.

        Raises
        ------
        ValueError
            A tensor is missing, unknown, or of another shape or type.
        """
        wanted = {f"parameters/{name}": leaf[0] for name, leaf in self._leaves[0].items()}
        for player, names in self._players.items():
            own = self._kept({**self._initial_paces, **paces}[player])
            for name in names:
                leaf = self._leaves[0][name]
                known = {f"{player}/{name}/{key}": leaf[:1] if moment else step for key, (moment, step) in own.items()}
                wanted |= known if any(key in state for key in known) else {}  # a player may not have moved yet
        if different := sorted(wanted.keys() ^ state.keys()):
            raise ValueError(f"{different[0]} is {'missing' if different[0] in wanted else 'unknown'}")
        for name, tensor in wanted.items():
            if (state[name].shape, state[name].dtype) != (tensor.shape, tensor.dtype):
                raise ValueError(f"{name} is {state[name].dtype}{list(state[name].shape)}")

    def _kept(self, pace: Pace) -> dict[str, tuple[bool, Tensor]]:
        """Return the optimizer's state per parameter by key: whether it has the parameter's shape, and an example."""
        leaf = torch.zeros(2, 3, dtype=next(iter(self._leaves[0].values())).dtype, requires_grad=True)
        leaf.grad = torch.zeros_like(leaf)
        optimizer = self._made(pace, [(1.0, [leaf])])
        optimizer.step()
        kept = optimizer.state[leaf].items()
        return {key: (value.shape == leaf.shape, value) for key, value in kept if isinstance(value, Tensor)}

    def restore(self, states: Sequence[Mapping[str, Tensor]], paces: Mapping[str, Pace]) -> None:
        """Restore every trial to a state given by `state_of`, from which it goes on at the paces that `check` got."""
        self.restart(paces)
        for (_, trials), leaves in zip(self._groups, self._leaves, strict=True):
            own = [states[trial] for trial in trials]
            with torch.no_grad():
                for name, leaf in leaves.items():
                    leaf.copy_(torch.stack([state[f"parameters/{name}"] for state in own]))
            for player, names in self._players.items():
                for name in names:
                    self._optimizers[player].state[leaves[name]] = self._optimizer_state(
                        own, f"{player}/{name}/", leaves[name]
                    )

    @staticmethod
    def _optimizer_state(own: Sequence[Mapping[str, Tensor]], prefix: str, leaf: Tensor) -> dict[str, Any]:
        keys = [key.removeprefix(prefix) for key in own[0] if key.startswith(prefix)]
        restored: dict[str, Any] = {}
        for key in keys:
            values = [state[prefix + key].to(leaf.device) for state in own]
            restored[key] = torch.cat(values) if values[0].ndim == leaf.ndim else values[0]
        return restored


def _stacked(gradients: Sequence[Tensor | None], leaf: Tensor) -> Tensor | None:
    """Return the gradients of several objectives for a leaf, `[trials, k, ...]`; None if none depends on it."""
    if all(gradient is None for gradient in gradients):
        return None
    return torch.stack([torch.zeros_like(leaf) if gradient is None else gradient for gradient in gradients], 1)
