"""The order in which a worker tries the stacks of a sweep.

Many workers share one file system: if each looked at every trial, that would be workers times trials looks. So a
worker whose attempt fails (a miss: another worker was quicker) skips ahead. On a miss, pick randomly among the next
2^misses stacks. Workers that start at once spread out within a few looks, and a worker that is alone has no misses
and keeps the order of the manifest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from irm_sweeps.files.reading import is_there, names_in
from irm_sweeps.store.store import Store

_CHOICE = random.Random()  # not the global generator, which belongs to the trials' code

Stack = Sequence[str]
"""The ids of trials that train together."""

NAMES_PER_READ = 250
"""How many names a file server sends at a time: a listing of the store costs one look per this many names."""

PATIENCE = 64
"""After how many misses in a row a worker stops looking for a stack that is free."""


def try_untouched(store: Store, stacks: Sequence[Stack], attempt: Callable[[Stack], bool]) -> None:
    """Attempt each stack of which no trial has a folder yet. On a miss, pick randomly among the next 2^misses stacks.

    Which trials have a folder is known from one listing of the store. Stacks that others begin later are noticed by
    a look before each attempt; once the misses have cost as many looks as a listing, the store is listed again.

    Parameters
    ----------
    attempt
        Works on a stack; returns False if other workers were quicker.
    """
    remaining, listing_cost = _without_folder(store, stacks)
    misses = misses_since_listing = 0
    while remaining:
        stack = _pop_ahead(remaining, misses)
        if not is_there(store.folder(stack[0])) and attempt(stack):
            misses = 0
            continue
        misses, misses_since_listing = misses + 1, misses_since_listing + 1
        if misses_since_listing >= listing_cost:
            remaining, listing_cost = _without_folder(store, remaining)
            misses_since_listing = 0


def try_each(stacks: Sequence[Stack], attempt: Callable[[Stack], bool]) -> None:
    """Attempt each stack once. On a miss, pick randomly among the next 2^misses; stop after `PATIENCE` misses in a row.

    A stack that is held has a living worker, which will look for more stacks itself: those that this worker does not
    get to are found by the others.

    Parameters
    ----------
    attempt
        Works on a stack; returns False if nothing of it was free.
    """
    remaining, misses = list(stacks), 0
    while remaining and misses < PATIENCE:
        misses = 0 if attempt(_pop_ahead(remaining, misses)) else misses + 1


def _pop_ahead(remaining: list[Stack], misses: int) -> Stack:
    """Remove and return one of the next 2^misses stacks, at random; the next stack without misses."""
    return remaining.pop(_CHOICE.randrange(min(2**misses, len(remaining))))


def _without_folder(store: Store, stacks: Sequence[Stack]) -> tuple[list[Stack], int]:
    """Return the stacks of which no trial has a folder, and how many looks the listing of the store cost."""
    names = set(names_in(store.root))
    return [stack for stack in stacks if names.isdisjoint(stack)], 1 + len(names) // NAMES_PER_READ
