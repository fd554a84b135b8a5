"""Parse the documentation: its pages, their blocks of code, and the commands in these."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *sorted(DOCS.rglob("*.md"))]

FENCED = re.compile(r"^```(\w*)(?: file=(\S+))?\n(.*?)^```$", re.M | re.S)
INDENTED = re.compile(r"(?:^    (?:python|irm-sweeps|make|\.) .*\n(?:^     .*\n)*)+", re.M)
ENVIRONMENT = re.compile(r"[A-Z_]+=\S+$")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text, and the file name that the page gives it."""

    language: str
    file: str | None
    text: str


@dataclass(frozen=True)
class Page:
    """A page of the documentation."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        fenced = [Block(language, file or None, text) for language, file, text in FENCED.findall(self.text)]
        return fenced + [Block("console", None, text) for text in INDENTED.findall(FENCED.sub("", self.text))]

    @property
    def commands(self) -> Iterator[list[str]]:
        """Yield the words of every command, without comments and leading variables; `&&` separates commands."""
        for block in self.blocks:
            if block.language == "console":
                for line in block.text.replace("\\\n", " ").splitlines():
                    for command in line.split(" && "):
                        words = shlex.split(command, comments=True)
                        while words and ENVIRONMENT.match(words[0]):
                            words.pop(0)
                        if words:
                            yield words

    def write(self, folder: Path) -> None:
        """Write the files of the page into `folder`, as a reader would."""
        for block in self.blocks:
            if block.file:
                path = folder / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text)


def pages() -> list[Page]:
    return [Page(path) for path in PAGES]
