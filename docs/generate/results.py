"""`make results`: write the tables, figures and coverage page of `docs/results/` from the archives that lie there.

In a page, a comment names the command that makes what follows it. A table replaces what stands between the comment and
the next `<!-- end -->`; a figure is a file of its own. All else on a page is prose, and is left alone.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
sys.path += [str(Path(__file__).parent), str(ROOT / "src")]

import coverage_page  # noqa: E402
import figure3  # noqa: E402

TABLE = re.compile(r"^(<!-- make results: python analysis/tables\.py ([^\n]+) -->)\n.*?^<!-- end -->$", re.M | re.S)
FIGURE = re.compile(r"^<!-- make results: python analysis/figures\.py (.+) -->$", re.M)


def with_tables(text: str) -> str:
    """Return a page with each of its generated tables made anew; the working directory is the repository's root."""
    return TABLE.sub(lambda block: f"{block[1]}\n\n{_table(block[2])}\n<!-- end -->", text)


def _table(words: str) -> str:
    from irm_sweeps.analysis import table_command

    printed = StringIO()
    with redirect_stdout(printed):
        table_command.main(shlex.split(words))
    return printed.getvalue()


def draw_figures(text: str) -> None:
    """Draw each figure that a page names."""
    from irm_sweeps.analysis import figure_command

    for words in FIGURE.findall(text):
        figure_command.main(shlex.split(words))


def pages() -> Iterator[Path]:
    """Yield the pages that have anything generated in them."""
    for path in sorted(RESULTS.glob("*.md")):
        if "<!-- make results: " in path.read_text():
            yield path


def main() -> None:
    """Write every page and figure, and print their paths."""
    os.chdir(ROOT)
    os.environ.pop("IRM_SWEEPS_CONF", None)
    for path in pages():
        text = path.read_text()
        path.write_text(with_tables(text))
        print(path.relative_to(ROOT))
        draw_figures(text)
    figure3.main()
    coverage = RESULTS / "coverage.md"
    coverage.write_text(coverage_page.page())
    print(coverage.relative_to(ROOT))


if __name__ == "__main__":
    main()
