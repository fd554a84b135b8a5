"""The page of commands: what each of them says of itself under `--help`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ["launch.py", "analysis/tables.py", "analysis/figures.py", "analysis/report.py"]
ENVIRONMENT = {"COLUMNS": "96", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}

_INTRODUCTION = """\
# Commands

What each command says under `--help`. A mistake of yours is one line on stderr, beginning with `error:`, and exit
code 2; it loses nothing.
"""


def page() -> str:
    """Return the page."""
    from irm_sweeps.cli import COMMANDS

    with ThreadPoolExecutor(2) as pool:
        scripts = dict(zip(SCRIPTS, pool.map(_help_of_script, SCRIPTS), strict=True))
    texts = {
        "python launch.py": scripts.pop("launch.py"),
        **{f"irm-sweeps {name}": _help_of_command(name) for name in COMMANDS},
        **{f"python {name}": text for name, text in scripts.items()},
    }
    return "\n".join([_INTRODUCTION, *(f"## `{title}`\n\n```text\n{text}\n```\n" for title, text in texts.items())])


def _help_of_command(name: str) -> str:
    from irm_sweeps.cli import parser

    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit), patch.dict(os.environ, ENVIRONMENT):
        parser().parse_args([name, "--help"])
    return said.getvalue().strip()


def _help_of_script(name: str) -> str:
    environment = {**os.environ, **ENVIRONMENT}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), environment.get("PYTHONPATH", "")])
    environment.pop("IRM_SWEEPS_CONF", None)
    command = [sys.executable, name, "--help"]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    if answer.returncode:
        raise RuntimeError(f"{name} --help: {answer.stderr}")
    return answer.stdout.strip()
