"""Which stack of a sweep a worker tries next: workers times trials would be too many looks at a shared file system.

Whoever comes upon a stack that others are at tries one further on, twice as far after every such miss: many
workers that start at once part within a few looks, and one that is alone keeps the order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from irm_sweeps.files.reading import names_in
from irm_sweeps.store.store import Store

Stack = Sequence[str]

NAMES_PER_READ = 250
"""How many names a file server sends at a time, so that a listing is worth one look for each so many."""

PATIENCE = 64
"""How many stacks in a row a worker finds in others' hands before it stops looking for one that is free."""


def try_untouched(store: Store, stacks: Sequence[Stack], attempt: Callable[[Stack], bool]) -> None:
    """Attempt the stacks of which no trial has a folder yet: each falls to one of many workers, nearly always.

    One listing of the store tells them. What others begin meanwhile is seen by a look before each attempt; when
    misses have cost as much as a listing, there is a new one.

    Parameters
    ----------
    attempt
        Works on a stack; false if others were quicker.
    """
    left, worth = _without_folder(store, stacks)
    misses = in_vain = 0
    while left:
        stack = _take(left, misses)
        if not store.folder(stack[0]).exists() and attempt(stack):
            misses = 0
            continue
        misses, in_vain = misses + 1, in_vain + 1
        if in_vain >= worth:
            left, worth = _without_folder(store, left)
            in_vain = 0


def try_each(stacks: Sequence[Stack], attempt: Callable[[Stack], bool]) -> None:
    """Attempt each stack once, until `PATIENCE` attempts in a row fail.

    What is in hand has a living worker each: the more are left, the more workers come to look.
    """
    left, misses = list(stacks), 0
    while left and misses < PATIENCE:
        misses = 0 if attempt(_take(left, misses)) else misses + 1


def _take(left: list[Stack], misses: int) -> Stack:
    return left.pop(random.randrange(min(2**misses, len(left))))


def _without_folder(store: Store, stacks: Sequence[Stack]) -> tuple[list[Stack], int]:
    """Return the stacks without one, and how many looks the listing was worth."""
    names = set(names_in(store.root))
    return [stack for stack in stacks if names.isdisjoint(stack)], 1 + len(names) // NAMES_PER_READ
