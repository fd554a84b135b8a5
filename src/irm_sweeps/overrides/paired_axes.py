"""Paired axes, `NAME=zip(KEY=[a,b],KEY=[c,d])`: overrides whose values go together, first with first.

The spelling is that of Hydra's design page on zipped sweeps (its issues 1258 and 1918). Hydra's parser does not know it
yet, so `hidden` makes a text of it, and `as_typed` the override again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from irm_sweeps.errors import UserError

_ZIP = re.compile(r"([+~]*[\w./@:-]+)=\s*(\w+\(\s*)?zip\((.*)\)\s*\)?\s*", re.DOTALL)
_BEGUN = re.compile(r"[+~]*[\w./@:-]+=\s*(?:\w+\(\s*)?zip\(")
_MEMBER = re.compile(r"\s*([+~]*[\w./@:-]+)\s*=\s*(.*?)\s*", re.DOTALL)
_HIDDEN = "++zipped."
_LISTS = ("choice", "range", "sort", "glob", "tag")
"""Hydra's functions whose values have an order."""


def is_zip(override: str) -> bool:
    """Return whether an override pairs axes."""
    return _BEGUN.match(override) is not None


def keys(override: str) -> list[str]:
    """Return the keys that an override sets: its own one, or those of its paired axes."""
    return [member.partition("=")[0].lstrip("+~") for member in members(override)]


def members(override: str) -> list[str]:
    """Return paired axes as an override for each, `KEY=choice(...)`; any other override alone.

    Raises
    ------
    UserError
        It is no `NAME=zip(KEY=[...],KEY=[...])`.
    """
    if not is_zip(override):
        return [override]
    match = _ZIP.fullmatch(override)
    if match is None:
        raise _wrong(override, "its brackets do not match")
    name, function, inside = match.groups()
    if function:
        raise _wrong(override, f"{function.strip()}...) goes with single axes, not around zip(...)")
    if not name.isidentifier():
        raise _wrong(override, f"{name} is no name: give the pair one word that is no key")
    axes = [_axis(override, part) for part in _split(override, inside)]
    found = [axis.partition("=")[0].lstrip("+~") for axis in axes]
    if twice := [key for i, key in enumerate(found) if key in found[:i]]:
        raise _wrong(override, f"{twice[0]} stands in it twice")
    if len(axes) < 2:
        raise _wrong(override, "it pairs at least two keys")
    return axes


def hidden(override: str) -> str:
    """Return paired axes as a text that Hydra's parser accepts; any other override as it is."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if not is_zip(override):
        return override
    members(override)
    name, _, value = override.partition("=")
    return f"{_HIDDEN}{name}={QuotedString(value, Quote.single).with_quotes()}"


def as_typed(overrides: Sequence[str]) -> list[str]:
    """Return overrides as they were before `hidden`."""
    return [_shown(override) if override.startswith(_HIDDEN) else override for override in overrides]


def _shown(override: str) -> str:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    name = override.removeprefix(_HIDDEN).partition("=")[0]
    return f"{name}={OverridesParser.create().parse_override(override).value()}"


def refuse_hidden(overrides: Sequence[str]) -> None:
    """Check that a command that takes one value for each key has no paired axes.

    Raises
    ------
    UserError
        It has.
    """
    if paired := [override for override in overrides if override.startswith(_HIDDEN)]:
        raise UserError(
            f"{_shown(paired[0])}: a searching sweeper takes no paired axes: leave hydra/sweeper out, or the pair"
        )


def _axis(override: str, part: str) -> str:
    """Return one of the paired axes as an override of its own."""
    match = _MEMBER.fullmatch(part)
    if match is None:
        raise _wrong(override, f"{part.strip()!r} is no KEY=[...]: lists stand in brackets")
    key, value = match.groups()
    function = re.match(r"(\w+)\s*\(", value)
    if value.startswith("[") and value.endswith("]"):
        if not value[1:-1].strip():
            raise _wrong(override, f"{key}=[] is empty")
        return f"{key}=choice({value[1:-1]})"
    if function and function[1] in _LISTS:
        return f"{key}={value}"
    if function and function[1] == "zip":
        raise _wrong(override, f"{key}=zip(...) is a pair in a pair: name all keys in one")
    if function and function[1] in ("shuffle", "interval"):
        raise _wrong(override, f"{key}={value} has no order, so its values have no partners")
    raise _wrong(override, f"{key}={value} is one value: write {key}=[...], or give it outside the pair")


def _split(override: str, text: str) -> Iterator[str]:
    """Yield the parts between the commas that are in no brackets and no quotes."""
    start, depth, quote, escaped = 0, 0, "", False
    for i, character in enumerate(text):
        if escaped or character == "\\":
            escaped = not escaped
        elif quote or character in "'\"":
            quote = character if not quote else "" if character == quote else quote
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            if depth < 0:
                raise _wrong(override, "its brackets do not match")
        elif character == "," and depth == 0:
            yield text[start:i]
            start = i + 1
    if depth or quote:
        raise _wrong(override, "its brackets or quotes do not match")
    yield text[start:]


def _wrong(override: str, reason: str) -> UserError:
    return UserError(f"{override}: {reason}; paired axes are e.g. 'x=zip(method=[irmv1,vrex],lam=[1e4,1e3])'")
