"""The quick parser of strict JSON gives the values and refusals of the slow one, on whatever is done to a text."""

from __future__ import annotations

import json
import math
import random
import struct

import pytest

from irm_sweeps.files.quick_json import DOUBT, quick_json
from irm_sweeps.files.untrusted import DEPTH, LARGEST, parse_json

RESULT = json.dumps(
    {
        "schema": 1,
        "trial_id": "0001fba44215c144",
        "config": {"dataset": {"p_e": [0.2, 0.1], "names": ["a", "é", "😀"]}, "lam": None, "seed": LARGEST - 1},
        "metrics": {"last": {"step": 3, "scores": {"train": {"0.2": {"risk": 0.6910618543624878, "accuracy": 1e-08}}}}},
        "compiled": False,
        "empty": [{}, [], ""],
    },
    indent=1,
    ensure_ascii=False,
).encode()
PIECES = [
    *(b'"', b"\\", b":", b",", b"{", b"}", b"[", b"]", b"1e400", b"-1e400", b"9" * 19, b"9" * 25, b"NaN", b"Infinity"),
    *(b"9223372036854775808", b"-9223372036854775807", b"\\ud800", b"\xff", "é".encode(), b'"a":1,', b'"a":1,"a":2'),
    *(b"\t", b"\x00", b"-0", b"-0.0", b"1.", b"01", b"true", b"null", b'"last"', b'"seed": 1,', b" ", b"\xef\xbb\xbf"),
]


def outcome(text: bytes | str) -> str:
    """Return a value with all its types and signs, or the refusal. Bytes are parsed quickly, where that may be."""
    try:
        return repr(parse_json(text))
    except ValueError as error:
        return f"refused: {error}"


def slow_outcome(text: bytes) -> str:
    try:
        return outcome(text.decode())
    except UnicodeDecodeError as error:
        return f"refused: {error}"


def test_a_damaged_text_is_refused_as_by_the_slow_parser_in_the_same_words() -> None:
    draw = random.Random(0)
    for _ in range(6_000):
        damaged = bytearray(draw.choice([RESULT, b'{"a": 1, "b": [1.5, "x", {"c": null}], "last": "q"}', b"[]"]))
        for _ in range(draw.randint(1, 3)):
            start = draw.randrange(len(damaged) + 1)
            damaged[start : start + draw.choice([0, 0, 1, 3])] = draw.choice(PIECES)
        assert outcome(bytes(damaged)) == slow_outcome(bytes(damaged)), bytes(damaged)


@pytest.mark.parametrize("leaf", ["1", "[]", "{}"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_the_same_depth_is_refused(opening: str, closing: str, leaf: str) -> None:
    for depth in range(DEPTH - 3, DEPTH + 4):
        text = (opening * depth + leaf + closing * depth).encode()
        assert outcome(text) == slow_outcome(text)


def test_floats_are_equal_bit_for_bit() -> None:
    draw = random.Random(0)
    numbers = [x for _ in range(10_000) if math.isfinite(x := struct.unpack("d", draw.randbytes(8))[0])]
    forms = (repr(x) if i % 2 else f"{x:.{draw.randint(0, 30)}e}" for i, x in enumerate(numbers))
    texts = [form for form in forms if math.isfinite(float(form))]
    assert list(map(repr, parse_json(f"[{','.join(texts)}]".encode()))) == [repr(float(text)) for text in texts]


def test_a_result_is_parsed_quickly() -> None:
    assert quick_json(RESULT, depth=DEPTH, largest=LARGEST) == json.loads(RESULT)
    assert quick_json(b'{"a": 1, "a": 2}', depth=DEPTH, largest=LARGEST) is DOUBT
