"""Draw `docs/report.png`, the report's first screen, from the archive of results: needs Chromium.

.venv/bin/python docs/generate/report_picture.py
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests" / "support"), str(ROOT / "src")]

from browser import CHROMIUM, chromium  # noqa: E402

PICTURE = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1280, 900


def main() -> None:
    """Write the report of `docs/results/bae2021.zip` into a folder that is removed again, and take its picture."""
    from irm_sweeps.analysis import report_command as report

    if CHROMIUM is None:
        sys.exit("error: no Chromium here: apt-get install chromium")
    os.chdir(ROOT)
    with TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        report.main(["--results", "docs/results/bae2021.zip", "--output", str(page)])
        with chromium(Path(folder) / "profile") as browser:
            browser.open(page, WIDTH, HEIGHT)
            browser.screenshot(PICTURE, whole=False)
    print(PICTURE)


if __name__ == "__main__":
    main()
