"""`launch --help`: the meaning of each key, from `conf/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from irm_sweeps.conf_folders import COMPONENTS
from irm_sweeps.overrides.key_meanings import comments, help_text

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
CONFIG = yaml.safe_load((CONF / "config.yaml").read_text())


def meaning(key: str, text: str) -> str:
    """What the help says of a key: the words beside it, or below it where there is no room."""
    lines = text.splitlines()
    (at,) = (i for i, line in enumerate(lines) if line.startswith((f"  {key}=", f"  {key} ")))
    beside = lines[at][26:] if len(lines[at]) > 26 and lines[at][25] == " " else ""
    return beside or lines[at + 1].strip()


def test_every_key_and_every_group_has_a_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = help_text("colored_mnist", "mlp", "erm", "adam")
    groups = {str(key).removeprefix("override ") for entry in CONFIG["defaults"] if entry != "_self_" for key in entry}
    of_users = {name for name in groups if not name.startswith("optional") and name not in PLUMBING}
    keys = [*CONFIG.keys() - {"defaults", "hydra"}, *(f"training.{key}" for key in CONFIG["training"]), *of_users]
    for key in keys:
        assert len(meaning(key, text).split()) > 1, key
    assert max(map(len, text.splitlines())) <= 80


PLUMBING = {"hydra/sweeper", "hydra/hydra_logging", "hydra/job_logging", "hydra/help"}
"""Groups of Hydra's that this package sets, and a user does not choose."""


@pytest.mark.parametrize("choice", ["colored_mnist", "mlp", "erm", "irmv1", "adam", "sgd"])
def test_every_key_of_the_choices_of_a_first_day_has_a_meaning(choice: str) -> None:
    (path,) = (path for group in COMPONENTS for path in CONF.glob(f"{group}/{choice}.yaml"))
    assert yaml.safe_load(path.read_text()).keys() - {"_target_", "defaults"} <= comments(path).keys()


def test_the_choice_that_is_typed_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = [sys.executable, "launch.py", "--help", "method=irmv1"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    before, choices, rest = shown.partition("CHOICES (override with group=choice)\n")
    assert max(map(len, (before + choices + rest.partition("\n\n")[2]).splitlines())) <= 80
    assert "method=irmv1: its keys are method.KEY" in shown
    assert "${oc.env:IRM_SWEEPS_DATA_DIR,data}" in shown, "as it is written"
