"""The encoder passes that moves on the same images share."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from irm_sweeps.methods.encoder_pass import KeptFeatures
from irm_sweeps.methods.method import Move
from irm_sweeps.training.parameters import StackedParameters


class SharedPasses:
    """The features that the moves of a training share, by batch number.

    Moves of a step on the same images share a pass until a player moves the encoder. Where every step has the same
    images, the steps of a stage that freezes the encoder share one, too, unless it draws random numbers: its numbers
    are those of a pass of their own. Tensors under vmap cannot be kept from one move to the next, so only a solo trial
    shares.

    Parameters
    ----------
    solo
        Whether the stack has one trial.
    repeats
        Whether all steps have the same images and a pass changes no buffer (batch norm's averages).
    """

    def __init__(self, parameters: StackedParameters, *, solo: bool, repeats: bool) -> None:
        self._parameters = parameters
        self._solo = solo
        self._repeats = repeats
        self._frozen = False
        self._shared: Collection[int] = ()
        self._kept: dict[int, KeptFeatures] = {}

    def begin(self, moves: Sequence[Move], numbers: Sequence[int]) -> None:
        """Begin a step of moves on batches of these numbers."""
        frozen = self._repeats and not any(self._moves_encoder(move.players) for move in moves)
        goes_on = frozen and self._frozen
        self._kept = {number: own for number, own in self._kept.items() if goes_on and not own.random}
        self._frozen = frozen
        shared = {number for number in numbers if frozen or numbers.count(number) > 1}
        self._shared = shared if self._solo else ()

    def of(self, number: int) -> KeptFeatures | None:
        """Return the features of a batch; None if nothing shares them."""
        return self._kept.setdefault(number, KeptFeatures(self._frozen)) if number in self._shared else None

    def moved(self, players: Sequence[str]) -> None:
        """Forget what a move of these players has changed."""
        if self._moves_encoder(players):
            self._kept.clear()

    def clear(self) -> None:
        """Forget all features: the parameters have other values."""
        self._kept.clear()

    def _moves_encoder(self, players: Sequence[str]) -> bool:
        return any(self._parameters.moves_encoder(player) for player in players)
