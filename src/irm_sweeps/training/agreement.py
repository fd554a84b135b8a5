"""Check that the methods of a stack's trials agree on what the loop asks of the first one only.

The training loop calls `players`, `pace`, `stages` and `moves` of one trial's method and uses the answer
for the whole stack. That is wrong if a user's method derives the answer from a per-trial field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method, Move
from irm_sweeps.methods.stages import Stage
from irm_sweeps.user_code.modules import is_package_module


class Agreement:
    """Compares the answers of the methods of a stack's trials.

    The methods differ at most in their per-trial fields. Only classes from outside this package are compared, since
    this package's own use no such field in these answers. Of methods with equal fields one is compared, and if
    all have equal fields there is nothing to compare.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        kind = type(methods[0])
        fields = kind.per_trial_fields()
        different = {tuple(getattr(method, name) for name in fields): method for method in methods}
        self._fields = fields
        agree = is_package_module(kind.__module__) or len(different) == 1
        self._methods = [] if agree else list(different.values())

    def check_start(self, names: Sequence[str]) -> None:
        """Compare `players`, `pace` and `stages`, given the names of the parameters.

        Raises
        ------
        UserError
            Two trials differ; the message names the function, the two answers and the fields that differ.
        """
        if not self._methods:
            return
        self._compare("players", "", lambda method: method.players(names))
        for player in self._methods[0].players(names):
            self._compare("pace", f" of {player!r}", methodcaller("pace", player))
        self._compare("stages", "", lambda method: [_shared(stage) for stage in method.stages()])

    def check_step(self, step: int, environments: int) -> None:
        """Compare `moves` at a step; raises as `check_start` does."""
        if not self._methods:
            return
        self._compare(
            "moves",
            f" at step {step}",
            lambda method: _plain(method.moves(step, environments)),
        )

    def _compare(self, what: str, where: str, ask: Callable[[Any], Any]) -> None:
        """Raise unless `ask` returns the same for all methods; `what` and `where` name the question."""
        first, *others = self._methods
        expected = ask(first)
        for other in others:
            if (answer := ask(other)) != expected:
                differing = [name for name in self._fields if getattr(first, name) != getattr(other, name)]
                first_fields, other_fields = (
                    ", ".join(f"{name}={getattr(m, name)}" for name in differing) for m in (first, other)
                )
                raise UserError(
                    f"{type(first).__name__}.{what}{where} is {expected!r:.80} with {first_fields} and {answer!r:.80} "
                    f"with {other_fields}, but a stack's trials need one answer: annotate the field float or int, not "
                    "Number or Count, or set `stacks = False`"
                )


def _plain(moves: Sequence[Move]) -> list[tuple[list[str], int]]:
    return [(list(move.players), move.batch) for move in moves]


def _shared(stage: Stage) -> tuple[object, ...]:
    """Return what the trials of a stack must share of a stage."""
    begins = () if stage.numbers_only else (stage.begins,)
    return (stage.name, *begins, stage.restarts, stage.paces, None if stage.moves is None else _plain(stage.moves))
