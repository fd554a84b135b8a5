"""What mkdocs asks while it builds the site: the list of pages, and those that are written from the sources."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
sys.path += [str(Path(__file__).parent), str(ROOT / "src")]

import help_texts  # noqa: E402
import keys  # noqa: E402
import pairs  # noqa: E402

ROOT_PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site that lie beside the README in the repository."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages that exist in place of the names with a `*`."""
    config.nav = _expanded(config.nav or [])
    return config


def _expanded(entries: list[Any]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, dict):
            found += [{title: _expanded(v) if isinstance(v, list) else v} for title, v in entry.items()]
        elif "*" in entry:
            found += sorted(path.relative_to(DOCS).as_posix() for path in DOCS.glob(entry))
        else:
            found.append(entry)
    return found


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {**keys.pages(), "reference/commands.md": help_texts.page(), "reference/pairs.md": pairs.page()}
    pages |= {name: from_root((ROOT / source).read_text()) for name, source in ROOT_PAGES.items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def from_root(text: str) -> str:
    """Return a text of the repository's root with its links as they are within the site."""
    text = text.replace("](docs/", "](")
    for page, source in ROOT_PAGES.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text


def on_page_content(html: str, **_: object) -> str:
    """Return a page whose tables keep a value and what belongs to it in one line, however narrow the column."""
    return re.sub(r"<(td|th)\b[^>]*>[^<]*</\1>", lambda cell: _together(cell[0]), html)


def _together(cell: str) -> str:
    """Return `88.3 ± 0.5 (n=10) [1]` with a place to break before the bracket only, and `p_e = 0.1` with none."""
    cell = re.sub(r" ([=±\N{MINUS SIGN}]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", cell)
    return re.sub(r" (\[[\d,]+\]|[≈≠?])(?=<)", "\N{NO-BREAK SPACE}\\1", cell)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Return a page with the file names of its blocks of code as titles: of `file=` the theme makes no block."""
    return re.sub(r"^```(\w+) file=(\S+)$", r'```\1 title="\2"', markdown, flags=re.MULTILINE)
