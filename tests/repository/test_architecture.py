"""`docs/architecture.svg` shows the actual imports, and `docs/architecture.md` the enforced rules."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import picture

from arrows import ROOT, STRANGERS

LINE = "{http://www.w3.org/2000/svg}line"


def drawn() -> set[tuple[str, str]]:
    """The arrows of the committed picture."""
    lines = ElementTree.parse(picture.SVG).getroot().iter(LINE)
    return {(line.attrib["data-from"], line.attrib["data-to"]) for line in lines}


def test_every_import_is_drawn_or_follows_from_arrows_that_are() -> None:
    assert picture.imports_between_rooms() <= picture.closure(drawn())


def test_every_arrow_is_an_import() -> None:
    assert drawn() <= picture.imports_between_rooms()


def test_no_arrow_follows_from_others_and_none_goes_round() -> None:
    assert drawn() == picture.reduction(drawn())
    assert not any(one == other for one, other in picture.closure(drawn()))


def test_the_picture_is_what_the_script_draws() -> None:
    assert picture.SVG.read_text() == picture.svg(), "python docs/generate/picture.py"


def test_arrows_go_down_and_through_no_box() -> None:
    rooms = picture.ROOMS
    for line in ElementTree.parse(picture.SVG).getroot().iter(LINE):
        upper, lower, x = line.attrib["data-from"], line.attrib["data-to"], int(line.attrib["x1"])
        assert rooms[upper].row < rooms[lower].row
        for name, room in rooms.items():
            if rooms[upper].row < room.row < rooms[lower].row:
                left, right = picture._x(room)
                assert not left <= x <= right, f"{upper} -> {lower} runs through {name}"


def test_words_fit_into_their_boxes() -> None:
    """Also in a wide font, whose letters are 0.53 em on average."""
    for name, room in picture.ROOMS.items():
        width = (room.columns[1] - room.columns[0]) * picture.UNIT
        for size, words in ((17 * 1.1, name), *((13.5, line) for line in room.what)):
            assert 0.53 * size * len(words) <= width, (name, words)


def test_the_page_says_what_the_guards_forbid() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    said = {
        room: set(re.findall(r"\w+", strangers))
        for room, strangers in re.findall(r"^\| `(\w+)` \| (.*?) \|$", text, re.M)
    }
    assert said.keys() == {*STRANGERS, "analysis"}
    for room, strangers in STRANGERS.items():
        assert said[room] == set(strangers) - {"trial"}
