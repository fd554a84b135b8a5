"""The report in a browser: it fits each screen, can be used and printed, and runs no stored text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import CHROMIUM, Page, chromium

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


OPEN_ALL = "for (const part of document.querySelectorAll('details')) part.open = true"


@needs_chromium
@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_page_is_wider_than_its_screen(page: Page, written: Path, width: int) -> None:
    page.open(written, width)
    page.run(OPEN_ALL)
    assert page.run("innerWidth") == width
    assert page.run("document.documentElement.scrollWidth") <= width
    scrolls = "[...document.querySelectorAll('.wide')].some((box) => box.scrollWidth > box.clientWidth)"
    assert page.run(scrolls) or width > 390
    assert page.complaints() == []


@needs_chromium
def test_a_hostile_message_does_nothing(page: Page, written: Path) -> None:
    page.open(written, 1280)
    page.run(OPEN_ALL)
    assert page.run("typeof window.hacked") == "undefined"
    assert page.complaints() == []


@needs_chromium
def test_published_values_can_be_hidden(page: Page, written: Path) -> None:
    page.open(written, 1280)
    cell = "document.querySelector('section[aria-labelledby=bae2021_table1] tbody td').innerText.split('\\n').length"
    before = page.run(cell)
    page.run("document.getElementById('published').click()")
    assert (before, page.run(cell)) == (2, 1)
    page.run("document.getElementById('published').click()")
    assert page.run(cell) == 2


@needs_chromium
def test_the_list_of_trials_filters_and_sorts(page: Page, written: Path) -> None:
    page.open(written, 1280)
    page.run(OPEN_ALL)
    shown = "[...document.querySelectorAll('#trials tbody tr')].filter((row) => !row.hidden)"
    everything = page.run(f"{shown}.length")
    page.run(
        "const f = document.getElementById('filter'); f.value = 'irmv1 seed=3'; f.dispatchEvent(new Event('input'))"
    )
    assert page.run(f"{shown}.length") == 1
    assert page.run("document.getElementById('count').textContent") == f"1 of {everything}"
    page.run("document.getElementById('filter').value = ''")
    page.run("const s = document.getElementById('status'); s.value = 'failed'; s.dispatchEvent(new Event('change'))")
    assert page.run(f"{shown}.length") == 1
    page.run("document.getElementById('status').value = ''")
    page.run("document.getElementById('status').dispatchEvent(new Event('change'))")
    head = "document.querySelectorAll('#trials thead button')[2]"
    values = f"{shown}.map((row) => row.cells[2].dataset.value).filter((v) => v !== '').map(Number)"
    page.run(f"{head}.click()")
    assert page.run(values) == sorted(page.run(values))
    assert page.run(f"{head}.parentElement.getAttribute('aria-sort')") == "ascending"
    page.run(f"{head}.click()")
    assert page.run(values) == sorted(page.run(values), reverse=True)
    assert page.run(f"{shown}.length") == everything
    assert page.complaints() == []


@needs_chromium
def test_commands_can_be_copied(page: Page, written: Path) -> None:
    page.open(written, 1280)
    page.run(OPEN_ALL)
    copies = "document.querySelectorAll('button.copy').length"
    assert page.run(f"new Promise((done) => setTimeout(() => done({copies}), 200))") == page.run(
        "document.querySelectorAll('code.command').length"
    )


CONTRAST = """
(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map((v) => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let worst = [99, ""];
  const texts = "h1, h2, p, a, caption, th, td, li, code, summary, label, button, figcaption";
  for (const node of document.querySelectorAll(texts)) {
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < worst[0]) worst = [ratio, node.tagName + "." + node.className];
  }
  return worst;
})()
"""


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out(page: Page, written: Path, dark: bool) -> None:
    """WCAG's 4.5 to 1, of every text against what is behind it."""
    page.open(written, 1280, dark=dark)
    page.run(OPEN_ALL)
    ratio, where = page.run(CONTRAST)
    assert ratio >= 4.5, where
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") != dark


@needs_chromium
def test_it_prints(page: Page, written: Path) -> None:
    page.open(written, 1280, media="print", dark=True)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.pdf().startswith(b"%PDF")
