"""The encoder passes that moves on the same images share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from irm_sweeps.methods.method import Move
from irm_sweeps.training.parameters import StackedParameters


class SharedPasses:
    """The encoder passes of a training, by batch number, each a `Point.passes`.

    Moves of a step on the same images share a pass until a player moves the encoder. Where every step has the same
    images, the steps of a stage that freezes the encoder share one, too: its numbers are those of a pass of their own.
    Tensors under vmap cannot be kept from one move to the next, so only a solo trial shares.

    Parameters
    ----------
    solo
        Whether the stack has one trial.
    repeats
        Whether all steps have the same images and a pass has no effect but its result (batch norm's averages are one).
    """

    def __init__(self, parameters: StackedParameters, *, solo: bool, repeats: bool) -> None:
        self._parameters = parameters
        self._solo = solo
        self._repeats = repeats
        self._frozen = False
        self._shared: Collection[int] = ()
        self._kept: dict[int, dict[str, Tensor]] = {}

    def begin(self, moves: Sequence[Move], numbers: Sequence[int]) -> None:
        """Begin a step of moves on batches of these numbers."""
        self._frozen = self._repeats and not any(self._moves_encoder(move.players) for move in moves)
        if not self._frozen:
            self._kept.clear()
        shared = {number for number in numbers if self._frozen or numbers.count(number) > 1}
        self._shared = shared if self._solo else ()

    def of(self, number: int) -> dict[str, Tensor] | None:
        """Return the passes over a batch; None if nothing shares them."""
        return self._kept.setdefault(number, {}) if number in self._shared else None

    def moved(self, players: Sequence[str]) -> None:
        """Forget what a move of these players has changed."""
        if self._moves_encoder(players):
            self._kept.clear()
        elif self._frozen:
            self._kept = {number: _alone(own) for number, own in self._kept.items()}

    def clear(self) -> None:
        """Forget all passes: the parameters have other values."""
        self._kept.clear()

    def _moves_encoder(self, players: Sequence[str]) -> bool:
        return any(self._parameters.moves_encoder(player) for player in players)


def _alone(passes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the passes without their graphs, which would hold every layer's output."""
    return {name: own.detach() if own.requires_grad else own for name, own in passes.items()}
