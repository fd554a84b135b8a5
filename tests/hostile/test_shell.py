"""Shell metacharacters: printed or submitted commands mean what the user typed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import synthetic_store
from commands import SMALL, irm_sweeps, launch
from hostile.conftest import SWEEP
from irm_sweeps.analysis import figure_command, table_command
from irm_sweeps.analysis import report_command as report
from irm_sweeps.analysis.fill_commands import overrides_into
from irm_sweeps.conf_folders import conf_dir
from irm_sweeps.errors import UserError
from irm_sweeps.launchers.slurm import Slurm
from irm_sweeps.launchers.slurm_jobs import JobRecord
from irm_sweeps.launchers.slurm_options import SlurmOptions
from irm_sweeps.overrides.results_key import into_store
from irm_sweeps.store.manifest import read_manifest
from irm_sweeps.store.store import Store
from irm_sweeps.sweep.grid import expand
from irm_sweeps.trial import Trial

META = [
    "; touch x",
    "$(touch x)",
    "`touch x`",
    "a b",
    "it's",
    'say "x"',
    "a|b&c>d<e",
    "*?[a-z]",
    "~/x",
    "#x",
    "a\\b",
    "!1",
]
BREAKS = ["a\nb", "a\ntouch x\n#", "a\rb", "\0", "\x1b[2J", "a\u2028b"]


def options(**changes: Any) -> SlurmOptions:
    values = OmegaConf.to_container(OmegaConf.load(conf_dir() / "hydra" / "launcher" / "slurm.yaml"))
    assert isinstance(values, dict)
    return SlurmOptions.from_config({str(k): v for k, v in {**values, **changes}.items() if str(k)[0] != "_"})


@pytest.fixture
def with_srun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let submitit believe that there is a cluster."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


def script(chosen: SlurmOptions, store: Store) -> str:
    (name,) = (path.name for path in (store.root / "sweeps").iterdir())
    executor = Slurm(chosen)._executor(read_manifest(store, name), store)
    text: str = executor._executor._make_submission_file_text("true", "0")
    return text


@pytest.mark.parametrize("word", META)
@pytest.mark.parametrize("field", ["partition", "account", "qos", "constraint", "additional"])
def test_a_field_of_slurm_s_stays_in_its_comment(
    field: str, word: str, results: Path, with_srun: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The script is bash's own: it is checked, and run with an srun that does nothing."""
    text = script(options(**{field: {"comment": word} if field == "additional" else word}), Store(results))
    name = "comment" if field == "additional" else field
    (line,) = (line for line in text.splitlines() if line.startswith(f"#SBATCH --{name}="))
    assert shlex.split(line.removeprefix("#SBATCH ")) == [f"--{name}={word}"]
    monkeypatch.chdir(tmp_path)
    assert _run(text) == 0
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("word", BREAKS)
@pytest.mark.parametrize("field", ["partition", "account", "qos", "constraint", "additional"])
def test_a_field_of_several_lines_is_refused(field: str, word: str) -> None:
    with pytest.raises(UserError, match=rf"^hydra\.launcher\.{field}=.*control character") as refused:
        options(**{field: {"comment": word} if field == "additional" else word})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["nice=1\ntouch x", "a b", "", "--nice", "x;touch y", "$(touch x)"])
def test_an_option_s_name_is_a_name(key: str) -> None:
    with pytest.raises(UserError, match=r"^hydra\.launcher\.additional="):
        options(additional={key: 1})


@pytest.mark.parametrize("word", [word for word in META if "\\" not in word and "/" not in word])
def test_a_store_of_any_name_has_a_script(word: str, results: Path, with_srun: None, tmp_path: Path) -> None:
    store = Store(results.rename(tmp_path / word))
    text = script(options(), store)
    assert _run(text) == 0
    assert not (tmp_path / "x").exists()
    (line,) = (line for line in text.splitlines() if line.startswith("#SBATCH --output="))
    assert shlex.split(line.removeprefix("#SBATCH "))[0].startswith(f"--output={store.root}/")


def _run(text: str) -> int:
    checked = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    return subprocess.run(["bash"], input=text, text=True, capture_output=True, timeout=20).returncode


@pytest.mark.parametrize("name", ["100%j", "a\\b"])
def test_a_name_that_slurm_would_rewrite_is_refused(name: str, results: Path, tmp_path: Path) -> None:
    store = Store(results.rename(tmp_path / name))
    (sweep,) = (path.name for path in (store.root / "sweeps").iterdir())
    with pytest.raises(UserError, match="SLURM gives"):
        Slurm(options()).run(store, read_manifest(store, sweep), None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb"])
@pytest.mark.parametrize("key", ["results", "data_dir"])
def test_a_path_of_several_lines_is_refused(key: str, name: str, tmp_path: Path) -> None:
    answer = launch(*SMALL, f"{key}='{tmp_path}/{name}'")
    assert "control character" in answer.complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "jobs",
    [["--user=root"], ["12;touch x"], ["$(touch x)"], ["-1"], ["1,2"], [{"a": 1}], [None], "all", {"a": 1}, 3, ["٣"]],
)
def test_what_is_no_job_is_never_named_to_slurm(jobs: Any, results: Path, tmp_path: Path, monkeypatch) -> None:
    import json

    folder = tmp_path / "bin"
    folder.mkdir()
    for command in ("squeue", "scancel"):
        (folder / command).write_text(f'#!/bin/sh\necho "{command} $@" >> {tmp_path}/called\n')
        (folder / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (sweep,) = (results / "sweeps").iterdir()
    (sweep / "jobs.json").write_text(json.dumps({"jobs": jobs}))
    assert JobRecord(Store(results), read_manifest(Store(results), sweep.name)).ids() == []
    assert "cancelled nothing" in irm_sweeps("cancel", sweep.name, "--results", str(results)).out
    assert irm_sweeps("status", "--results", str(results)).code == 0
    called = (tmp_path / "called").read_text() if (tmp_path / "called").exists() else ""
    assert "scancel" not in called, "squeue is asked for what a damaged record has lost"
    for word in jobs if isinstance(jobs, list) else ():
        assert str(word) not in called.split()


# -- commands to paste -------------------------------------------------------------------------------

USER = ["seed=range(0,2)", "training.l2=1e-3", "dataset.test_p_e=[0.1,0.9]"]
PLACES = ["plain", "a b'c\"d", "a,b;touch x$(touch x)", "[x]{y}(z)", "a=b:#~x"]


def argv_of(line: str) -> list[str]:
    """What a shell makes of a pasted line, with commands that print their arguments."""
    commands = "\n".join(f"{name}() {{ printf '%s\\0' \"$@\"; }}" for name in ("python", "irm-sweeps"))
    shown = subprocess.run(["bash", "-c", f"{commands}\n{line}"], capture_output=True, text=True, timeout=20)
    assert (shown.returncode, shown.stderr) == (0, ""), line
    assert shlex.split(line)[0] in ("python", "irm-sweeps")
    return shown.stdout.split("\0")[:-1]


@pytest.mark.parametrize("place", PLACES)
def test_the_command_that_fills_a_table_means_what_was_typed(
    place: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = tmp_path / place
    results.mkdir()
    with synthetic_store.composed_once():
        table_command.main(["--paper", "demo", "--missing", "--results", str(results), *USER])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for line in lines:
        script, *arguments = argv_of(line)
        assert script in ("launch.py", "launch")
        assert arguments[0] == "-m"
        assert set(USER) <= set(arguments)
        (last,) = (a for a in arguments if a.startswith("results="))
        (config,) = expand([last])
        assert config["results"] == str(results), "one directory, and not a sweep over two"
    with pytest.raises(SystemExit):
        figure_command.main(["--paper", "demo", "--results", str(results), *USER])
    (told,) = re.findall(r"run ((?:python|irm-sweeps) .*)", capsys.readouterr().err)
    assert argv_of(told)[3:] == overrides_into(results, USER)
    assert [path.name for path in tmp_path.iterdir()] == [place]


def test_the_report_s_commands_can_be_pasted(results: Path, tmp_path: Path) -> None:
    from html.parser import HTMLParser

    class Commands(HTMLParser):
        found: list[str] = []
        inside = False

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.inside = tag == "code" and ("class", "command") in attrs

        def handle_data(self, data: str) -> None:
            if self.inside:
                self.found.append(data)

        def handle_endtag(self, tag: str) -> None:
            self.inside = False

    (sweep,) = (path.name for path in (results / "sweeps").iterdir())
    typed = read_manifest(Store(results), sweep).command
    store = results.rename(tmp_path / "a b; $(touch x)")
    page = tmp_path / "page.html"
    with synthetic_store.composed_once():
        report.main(["--results", str(store), "--output", str(page), *USER])
    reader = Commands()
    reader.feed(page.read_text())
    launches = [line for line in reader.found if line.startswith(("python", "irm-sweeps launch"))]
    own = into_store(typed, store)
    launches.remove(own)
    assert f"results='{store}'" in argv_of(own), "of a sweep that was typed when the store had another name"
    assert str(results) not in own
    assert len(launches) > 10
    for line in launches:
        assert argv_of(line)[-1] == f"results='{store}'"
        assert set(USER) <= set(argv_of(line))
    reproducing = [argv_of(line) for line in reader.found if line.startswith("irm-sweeps reproduce")]
    assert len(reproducing) == 2
    assert all(words[-2:] == ["--results", str(store)] for words in reproducing)
    assert not (tmp_path / "x").exists()


def test_a_manifest_keeps_the_command_as_it_has_to_be_typed(tmp_path: Path) -> None:
    answer = launch("-m", f"results={tmp_path}/a b", *SWEEP, "seed=range(0,1)")
    assert answer.code == 0, answer
    (path,) = (tmp_path / "a b" / "sweeps").iterdir()
    command = read_manifest(Store(tmp_path / "a b"), path.name).command
    words = shlex.split(command)
    assert words[words.index(f"results={tmp_path}/a b") + 1] == SMALL[0]


@pytest.mark.parametrize("value", [*META, *BREAKS])
def test_an_override_of_metacharacters_is_a_value(value: str, tmp_path: Path, monkeypatch) -> None:
    """It reaches no shell: it is refused as a value, or as no override."""
    monkeypatch.chdir(tmp_path)
    for override in (f"method={value}", f"lam={value}", f"dataset.source='{value}'"):
        with pytest.raises(UserError):
            Trial.from_config(next(expand([override])))
    assert not list(tmp_path.iterdir())


def test_a_wrong_override_is_told_without_its_control_characters(tmp_path: Path) -> None:
    answer = launch(f"results={tmp_path / 'r'}", *SMALL, "lam='\x1b[2J\x07'")
    assert answer.complaint.isprintable()
