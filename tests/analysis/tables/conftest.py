"""Fixtures that run the table command in an empty folder."""

from __future__ import annotations

import pytest

from irm_sweeps.analysis import table_command


@pytest.fixture(autouse=True)
def _quick(composed_once):
    """Compose each config once a module."""


@pytest.fixture
def show(tmp_path, capsys, monkeypatch):
    """Print a table in an empty folder; return what came out."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> str:
        table_command.main(list(argv))
        run.stderr = capsys.readouterr()
        text, run.stderr = run.stderr
        return text

    return run


@pytest.fixture
def refused(show, capsys):
    """Expect one line on stderr and exit code 2; return the line."""

    def run(*argv: str) -> str:
        with pytest.raises(SystemExit) as stop:
            show(*argv)
        text, line = capsys.readouterr()
        assert stop.value.code == 2
        assert text == ""
        assert line.startswith("error: ")
        assert line.count("\n") == 1
        return line

    return run
