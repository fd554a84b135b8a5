"""The exceptions that a user can fix, and how they are printed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

from irm_sweeps.redaction import redacted

LONGEST_MESSAGE = 20_000
"""Most characters that are kept of an error's message, or of a line of a log."""


class UserError(Exception):
    """A mistake whose message names the value, the place and the fix; shown as one line, exit code 2."""


class StoreError(UserError):
    """The results directory cannot be written: no trial can go on, and every finished result stays readable."""


class UnknownChoice(UserError):
    """A config group has no such choice, e.g. a method that this version does not have."""


_MOST_MEANT = 4
"""Most words that are named of those which begin with what was typed."""


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return `` (did you mean `x`?)`` for the nearest known word, or an empty string if none is near (1: equal).

    Of a few words that begin with the typed one, all are named.
    """
    words = {each.lower(): each for each in known}
    typed = str(word)[:80].lower()
    matches = sorted(each for each in words if len(typed) > 2 and each.startswith(typed))
    if not 2 <= len(matches) <= _MOST_MEANT:
        matches = get_close_matches(typed, words, n=1, cutoff=cutoff)
    named = [f"`{words[match]}`" for match in matches]
    others = f"{', '.join(named[:-1])} or " if named[1:] else ""
    return f" (did you mean {others}{named[-1]}?)" if named else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python, numpy or torch could not allocate memory, on the CPU or a GPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)) is not None


_OUT_OF_MEMORY = re.compile(
    "can't allocate memory|not enough memory|out of memory|ALLOC_FAILED|Storage size calculation overflowed"
)
_LESS_MEMORY = (
    "a smaller training.batch_size takes less (null is all images at once), and so do stack=1, "
    "training.precision=bf16, fewer dataset.n_train, and fewer workers at once"
)


def raised(error: BaseException, setting: str = "") -> str:
    """Return the message for an error in a trial, printable and of bounded length, whatever the error's methods do.

    That of memory that ran out has `setting`, the one that decides how much is needed.
    A user's `sys.exit`, or a `KeyboardInterrupt` that nobody asked for, is an error too: it must not end the worker.
    """
    if isinstance(error, UserError):
        return bounded(text_of(error))
    if is_out_of_memory(error):
        asked = re.search(r"[Tt]ried to allocate [\d.]+ \w+|Unable to allocate [\d.]+ \w+", text_of(error))
        size = f" ({asked[0][0].lower()}{asked[0][1:]})" if asked else ""
        return f"out of memory{size}{f' at {setting}' if setting else ''}: {_LESS_MEMORY}"
    if isinstance(error, SystemExit):
        code = "" if error.code is None else text_of(error.code, repr)
        return bounded(f"the trial's own code called sys.exit({code})")
    text = text_of(error)
    return bounded(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def text_of(value: object, convert: Callable[[object], str] = str) -> str:
    """Return `convert(value)`, or what that raises in words: the class may be a user's."""
    try:
        return convert(value)
    except BaseException as error:
        return f"(no message: {type(value).__name__}.__{convert.__name__}__ raised {type(error).__name__})"


def bounded(text: str, at_most: int = LONGEST_MESSAGE) -> str:
    """Return text that a result and a log can hold: short, printable and without secrets."""
    return printable(redacted(shortened(text, at_most)))


def one_line(text: str, at_most: int = 300) -> str:
    """Return text as one printable line, its middle left out where it is longer than that."""
    return shortened(printable(" ".join(text[: 100 * at_most].split())), at_most, between=" ... ")


def shortened(text: str, at_most: int, between: str = "\n[... {:,} characters are left out here ...]\n") -> str:
    """Return text of at most about `at_most` characters: where it is longer, its head and its tail.

    The tail begins with a whole word, so that `redacted` finds every secret in what this returns.

    Parameters
    ----------
    between
        What stands for the middle, whose number of characters it may name.
    """
    if len(text) <= at_most:
        return text
    head, tail = text[: at_most // 2], text[-(at_most - at_most // 2) :]
    if boundary := re.search(r"\s", tail[:1000]):
        tail = tail[boundary.start() :].lstrip()
    return head + between.format(len(text) - len(head) - len(tail)) + tail


def printable(text: str) -> str:
    """Return text in which control characters (which could move a terminal's cursor, say) are spelled out.

    Tabs and ends of lines stay; half a surrogate pair, which no file can hold, becomes a question mark.
    """
    if text.isprintable():
        return text
    return "".join(_spelled(c) for c in text)


def _spelled(character: str) -> str:
    if character in "\n\t" or character.isprintable() or character.isspace():
        return character if character not in "\r\v\f\x1c\x1d\x1e\x1f\x85" else " "
    return "?" if "\ud800" <= character <= "\udfff" else repr(character)[1:-1]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a `UserError` raised inside into one line on stderr and exit code 2; Ctrl-C into exit code 130.

    A working directory that was removed, which any path is made of, is a user's mistake too.
    """
    try:
        yield
    except UserError as error:
        print(f"error: {redacted(printable(' '.join(str(error).split())))}", file=sys.stderr)
        raise SystemExit(2) from None
    except FileNotFoundError:
        if not _working_directory_is_gone():
            raise
        print("error: the folder that you are in was removed: cd to one that is there", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(141) from None


def _working_directory_is_gone() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False
