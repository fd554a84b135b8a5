"""JSON that is written piece by piece is the JSON that is written at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from irm_sweeps.files.atomic import to_json, write_atomically, write_pieces
from irm_sweeps.files.json_pieces import json_pieces


@pytest.mark.parametrize("divided", [{}, {"a": {"x": [1, 2.5, None]}}, {"a": 1, 'quoted "é"': {"y": "\n"}, "c": {}}])
def test_the_bytes_are_the_same(divided: dict[str, Any]) -> None:
    for values in ({"trials": divided}, {"schema": 1, "trials": divided, "more": [True]}, {"more": divided}, {}):
        assert b"".join(json_pieces(values, "trials")) == to_json(values, indent=None)


def test_a_file_stays_as_it_was_if_a_piece_cannot_be_made(tmp_path) -> None:
    path = tmp_path / "manifest.json"
    write_atomically(path, b"{}\n")
    with pytest.raises(ValueError, match="JSON compliant"):
        write_pieces(path, json_pieces({"trials": {"a": 1, "b": float("nan")}}, "trials"))
    assert json.loads(path.read_text()) == {}
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.json"]
