"""Check that the methods of a stack's trials agree on what the loop asks of the first one only.

The training loop calls `players`, `pace`, `resets_at`, `phase` and `moves` of one trial's method and uses the answer
for the whole stack. That is wrong if a user's method derives the answer from a per-trial field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import methodcaller
from typing import Any

from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method
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
        """Compare `players`, `pace` and `resets_at`, given the names of the parameters.

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
        self._compare("resets_at", "", lambda method: set(method.resets_at()))

    def check_step(self, step: int, environments: int) -> None:
        """Compare `phase` and `moves` at a step; raises as `check_start` does."""
        if not self._methods:
            return
        self._compare("phase", f" at step {step}", lambda method: method.phase(step))
        self._compare(
            "moves",
            f" at step {step}",
            lambda method: [(list(move.players), move.batch) for move in method.moves(step, environments)],
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
