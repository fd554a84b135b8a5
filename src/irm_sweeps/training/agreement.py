"""What is asked of one method for all the trials of a stack: the others would have to say the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method
from irm_sweeps.user_modules import is_package_module


class Agreement:
    """Asks the methods of a stack's trials, which differ in their per-trial fields at most, and compares.

    Only a class of the user's own is asked: this package's read no such field where one answers for all. Methods with
    equal fields are asked once, and where all are equal none is.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        kind = type(methods[0])
        fields = kind.per_trial_fields()
        different = {tuple(getattr(method, name) for name in fields): method for method in methods}
        self._fields = fields
        agree = is_package_module(kind.__module__) or len(different) == 1
        self._methods = [] if agree else list(different.values())

    def check_start(self, names: Sequence[str]) -> None:
        """Compare who plays, how each player steps, and when tensors are reset.

        Raises
        ------
        UserError
            Two trials differ; the message names what was asked, the answers and the fields.
        """
        if not self._methods:
            return
        self._compare("players", "", lambda method: method.players(names))
        for player in self._methods[0].players(names):
            self._compare("pace", f" of {player!r}", methodcaller("pace", player))
        self._compare("resets_at", "", lambda method: set(method.resets_at()))

    def check_step(self, step: int, environments: int) -> None:
        """Compare the phase and the moves of a step; raises as `check_start` does."""
        if not self._methods:
            return
        self._compare("phase", f" at step {step}", lambda method: method.phase(step))
        self._compare(
            "moves",
            f" at step {step}",
            lambda method: [(list(move.players), move.batch) for move in method.moves(step, environments)],
        )

    def _compare(self, what: str, where: str, ask: Callable[[Any], Any]) -> None:
        first, *others = self._methods
        said = ask(first)
        for other in others:
            if (answer := ask(other)) != said:
                differing = [name for name in self._fields if getattr(first, name) != getattr(other, name)]
                here, there = (", ".join(f"{name}={getattr(m, name)}" for name in differing) for m in (first, other))
                raise UserError(
                    f"{type(first).__name__}.{what}{where} is {said!r:.80} with {here} and {answer!r:.80} with "
                    f"{there}, but a stack's trials need one answer: annotate the field float or int, not Number or "
                    "Count, or set `stacks = False`"
                )
