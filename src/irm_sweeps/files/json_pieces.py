"""Writing a large JSON object piece by piece, so that its text is never in memory as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from irm_sweeps.files.atomic import to_json


def json_pieces(values: Mapping[str, Any], divided: str) -> Iterator[bytes]:
    """Yield what `to_json` gives without indent, the member `divided`, itself an object, one of its members at a time.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    for i, (name, value) in enumerate(values.items()):
        yield b"%s%s: " % (b", " if i else b"{", _text(name))
        if name == divided:
            for j, (key, member) in enumerate(value.items()):
                yield b"%s%s: %s" % (b", " if j else b"{", _text(key), _text(member))
            yield b"}" if value else b"{}"
        else:
            yield _text(value)
    yield b"}\n" if values else b"{}\n"


def _text(value: Any) -> bytes:
    return to_json(value, indent=None).removesuffix(b"\n")
