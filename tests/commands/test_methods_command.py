"""`irm-sweeps methods`: its description of a method agrees with the method's behaviour in training."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from irm_sweeps.commands.method_catalogue import HEADER, USED, Conduct, _code_lines, methods, page
from irm_sweeps.commands.methods import run
from irm_sweeps.compose import compose
from irm_sweeps.trial import Trial
from irm_sweeps.wording import written

ROOT = Path(__file__).resolve().parents[2]
CONDUCTS = {entry.name: Conduct.of(entry) for entry in methods()}


def test_the_page_in_docs_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IRM_SWEEPS_CONF", raising=False)
    assert (ROOT / "docs" / "methods.md").read_text() == page() + "\n", "irm-sweeps methods --table > docs/methods.md"


def test_the_command_prints_it() -> None:
    command = [str(Path(sys.executable).parent / "irm-sweeps"), "methods", "--table"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    whole, used = printed.split("## What they use of the contract")
    for text, header in ((whole, HEADER), (used, USED)):
        lines = [line for line in text.splitlines() if line.startswith("| `")]
        assert [line.split("`")[1] for line in lines] == list(CONDUCTS)
        assert all(line.count("|") == len(header) + 1 for line in lines)


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("eiil", {"index": "yes", "enter": "yes", "combine": "no", "side": "no"}),
        ("and_mask", {"combine": "yes", "stages": "", "index": "no"}),
        ("zin", {"side": "yes", "stages": "inference, invariance"}),
        ("birm", {"noise": "yes", "stages": "(penalty)"}),
    ],
)
def test_it_says_what_a_method_uses(name: str, used: dict[str, str]) -> None:
    found = dict(zip(USED, CONDUCTS[name].used, strict=True))
    assert {key: found[key] for key in used} == used
    assert int(found["lines"]) > 5


def test_lines_of_code_are_counted_without_texts() -> None:
    assert _code_lines(Three) == 5


class Three:
    """Five lines of code; this and the blank ones do not count."""

    # Nor does this.
    def one(self) -> list[int]:
        """Return a list."""
        return [
            1,
        ]


@pytest.mark.parametrize("name", CONDUCTS)
def test_what_it_says_is_what_trains(name: str, make_trial, training) -> None:
    conduct = CONDUCTS[name]
    trial = make_trial(f"method={name}", "dataset.side=time")
    run = training(trial)
    tensors = list(run.parameters.tensors())
    players = trial.method.players(tensors)
    assert conduct.players == [player for player, owned in players.items() if owned]
    added = {tensor for tensor in tensors if not tensor.startswith(("representation.", "head."))}
    for group in conduct.own_parameters:
        assert any(tensor == group or tensor.startswith(group.removesuffix("*")) for tensor in added), group
    assert bool(added) == bool(conduct.own_parameters)
    by_default = Trial.from_config(compose([f"method={name}"])).lam
    assert conduct.cells[HEADER.index("lam")] == ("no" if by_default is None else written(by_default))


@pytest.mark.parametrize("name", CONDUCTS)
def test_every_method_names_its_paper(name: str) -> None:
    assert CONDUCTS[name].entry.target.reference


@pytest.mark.parametrize("name", CONDUCTS)
def test_protocols_change_the_trial(name: str, make_trial) -> None:
    """Those that are named do; where there is one, there is something to set apart."""
    from irm_sweeps.compose import compose
    from irm_sweeps.trial import Trial

    ids = {
        Trial.from_config(compose([f"method={name}", f"protocol={protocol}"])).id for protocol in ("paper", "released")
    }
    assert len(ids) == 1 + len(CONDUCTS[name].protocols)


BROKEN = {
    "no class": ("anneal: 3\n", "has no `_target_`"),
    "empty": ("", "has no `_target_`"),
    "no YAML": ("_target_: [\n", "not YAML"),
    "no text": (b"_target_: x.Y # gr\xf6\n", "not a text file"),
    "not there": ("_target_: no_such_module.Mine\n", "No module named 'no_such_module'"),
    "unknown field": (
        "_target_: irm_sweeps.methods.rex.VREx\nfoo: 3\n",
        "VREx has no field foo: remove it from mine.yaml",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("table", [False, True], ids=["list", "table"])
def test_a_yaml_of_ones_own_that_cannot_be_used_hides_no_other(
    kind: str, table: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written, reason = BROKEN[kind]
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "mine.yaml").write_bytes(written if isinstance(written, bytes) else written.encode())
    monkeypatch.setenv("IRM_SWEEPS_CONF", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        run(argparse.Namespace(table=table))
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert "vrex" in told.out
    assert "irm_games" in told.out
    assert told.err.startswith(f"left out: {tmp_path / 'method' / 'mine.yaml'}: ")
    assert reason in told.err
    assert told.err.count("\n") == 1
