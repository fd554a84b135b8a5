"""The documentation: the site builds without warnings, and the commands in it parse."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from commands import launch
from irm_sweeps import cli, typed_commands
from irm_sweeps.analysis import figure_command, options, paper_files, table_command
from irm_sweeps.analysis import report_command as report
from irm_sweeps.commands import init
from irm_sweeps.compose import compose
from irm_sweeps.overrides.launch_line import addressed_to_trials
from irm_sweeps.sweep.grid import trials
from irm_sweeps.sweep.paper import Paper, load_paper
from pages import DOCS, ROOT, Page, pages

SCRIPTS = {"tables.py": table_command, "figures.py": figure_command, "report.py": report}
LINK = re.compile(r"\]\(([^)\s]+)\)")
LANGUAGES = {"python", "yaml", "console", "text"}
FREE = {"cd", "export", ".", "git", "tensorboard"}
"""Commands that are the shell's own, or set a reader's machine up."""
PIP_UNDERSTANDS = """
import sys
from pip._internal.commands import create_command
create_command(sys.argv[1]).parse_args(sys.argv[2:])
"""


def each(page: Page) -> str:
    return str(page)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does; a warning ends it."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("IRM_SWEEPS_CONF", None)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_a_broken_link_ends_make_docs(tmp_path: Path) -> None:
    """With the command of `make docs` and the settings of `mkdocs.yml`, for a site of one page."""
    (line,) = (words for words in made("docs") if "mkdocs" in words)
    (tmp_path / "docs").mkdir()
    config = tmp_path / "mkdocs.yml"
    site = {"docs_dir": "docs", "hooks": [], "nav": ["index.md"], "plugins": []}
    config.write_text(yaml.safe_dump({"INHERIT": str(ROOT / "mkdocs.yml"), **site}))
    for target, code in (("index.md", 0), ("nowhere.md", 1), ("index.md#nowhere", 1), ("data/nowhere.png", 1)):
        (tmp_path / "docs" / "index.md").write_text(f"# A page\n\n[A link]({target})\n")
        command = [sys.executable, *line[line.index("-m") :], "-f", str(config), "-d", str(tmp_path / "site")]
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert built.returncode == code, (target, built.stdout + built.stderr)


def made(target: str) -> Iterator[list[str]]:
    """Yield the words of every command that `make TARGET` would run."""
    asked = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    for line in asked.stdout.replace("\\\n", " ").splitlines():
        yield shlex.split(line)


def test_the_site_builds_and_fetches_nothing_to_be_read(site: Path) -> None:
    written = {path.relative_to(site).as_posix() for path in site.rglob("*.html")}
    assert {"index.html", "tutorial.html", "reference/keys.html", "reference/commands.html"} <= written
    for name in written:
        sources = re.findall(r"<(?:script|link|img)\b[^>]*?\b(?:src|href)=\"(https?:[^\"]+)", (site / name).read_text())
        assert not sources, f"{name} asks the network for {sources}"


def test_blocks_of_code_that_name_a_file_are_blocks_of_code(site: Path) -> None:
    found = 0
    for path in sorted((ROOT / "docs").rglob("*.md")):
        for name in re.findall(r"^```\w+ file=(\S+)$", path.read_text(), re.M):
            shown = (site / path.relative_to(ROOT / "docs").with_suffix(".html")).read_text()
            assert f'<span class="filename">{name}</span><pre>' in shown, (path, name)
            assert f"file={name}" not in shown
            found += 1
    assert found > 5


def test_every_key_of_a_trial_is_in_the_reference(site: Path) -> None:
    shown = "".join((path).read_text() for path in (site / "reference").glob("*.html"))
    for overrides in ([], ["method=irmv1"], ["dataset=cifar_mnist", "backbone=resnet18"], ["optimizer=sgd"]):
        for group, values in compose(overrides).items():
            for key in values if isinstance(values, dict) else ():
                if key != "_target_" and group in ("dataset", "backbone", "method", "optimizer", "training"):
                    assert f"<code>{group}.{key}</code>" in shown


@pytest.mark.parametrize("page", [page for page in pages() if DOCS not in page.path.parents], ids=each)
def test_links_of_pages_beside_the_readme_lead_somewhere(page: Page) -> None:
    """Those of the site are mkdocs' to check."""
    for target in LINK.findall(page.text):
        if not target.startswith("http"):
            assert (ROOT / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", pages(), ids=each)
def test_files_that_are_named_exist(page: Page) -> None:
    """In backticks: `docs/notebooks.md`, `tests/data/test_colored_mnist.py`, `conf/paper/`."""
    for name in re.findall(r"`((?:docs|tests|conf|src|analysis|benchmarks)/[\w./-]*)`", page.text):
        assert (ROOT / name).exists() or "NAME" in name, name


@pytest.mark.parametrize("page", pages(), ids=each)
def test_blocks_are_well_formed(page: Page) -> None:
    for block in page.blocks:
        assert block.language in LANGUAGES, f"{block.language!r}: name one of {sorted(LANGUAGES)}"
        if block.language == "python":
            compile(block.text, f"{page}", "exec")
        elif block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)
    assert page.text.count("```") == 2 * sum(page.text.count(f"```{name}") for name in LANGUAGES), "a fence is open"


class Understood(BaseException):
    """A script has read its command line."""


@pytest.mark.parametrize("page", [page for page in pages() if list(page.commands)], ids=each)
def test_commands_are_understood(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the real parsers, which run nothing; with the files that the page has made, and the archives that it reads."""
    page.write(tmp_path)
    for archive in (tmp_path / word for words in page.commands for word in words if word.endswith(".zip")):
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    if (tmp_path / "my_conf").is_dir():
        monkeypatch.setenv("IRM_SWEEPS_CONF", "my_conf")
    for words in page.commands:
        try:
            understand(words, monkeypatch)
        except Exception as error:
            raise AssertionError(f"{page}: {' '.join(words)}: {error}") from error


def understand(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, rest = Path(words[0]).name or words[0], list(words[1:])
    if program in ("python", "python3") and rest[0] == "launch.py":
        understand_launch(rest[1:])
    elif program == "python" and rest[0].startswith("analysis/"):
        understand_script(rest[0].removeprefix("analysis/"), rest[1:], monkeypatch)
    elif program == "irm-sweeps" and rest[0] == "launch":
        understand_launch(rest[1:])
    elif program == "irm-sweeps" and rest[0] in typed_commands.SCRIPTS:
        understand_script(Path(typed_commands.SCRIPTS[rest[0]]).name, rest[1:], monkeypatch)
    elif program == "irm-sweeps":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "exit", complain)
            values = cli.parser().parse_args(rest)
        if values.command == "init":  # what follows is typed in there
            init.create(values.folder)
            monkeypatch.chdir(values.folder)
            monkeypatch.syspath_prepend(Path.cwd())
    elif program == "make":
        assert f"\n{rest[0]}:" in (ROOT / "Makefile").read_text()
    elif program == "versions":
        assert f"#   .ci/versions {rest[0]} " in (ROOT / words[0]).read_text()
    elif program == "pip":
        # Of its own: Python 3.11's setuptools, and torch's compiler with it, fail in a process that imported pip.
        asked = subprocess.run([sys.executable, "-c", PIP_UNDERSTANDS, *rest], capture_output=True, text=True)
        assert asked.returncode == 0, asked.stderr
    elif program in ("python", "python3") and rest[:2] == ["-m", "pytest"]:
        assert all(word.startswith("-") or (ROOT / word).exists() for word in rest[2:3])
    elif program in ("python", "python3"):
        assert rest[:2] == ["-m", "venv"] or (ROOT / rest[0]).exists()
    else:
        assert program in FREE, f"{program}: no command of ours"


def complain(code: object = None) -> None:
    raise ValueError(f"refused with exit code {code}")


def understand_launch(words: Sequence[str]) -> None:
    """Make the trials that it would run; of a paper, those of one cell, and of a range of thousands the first."""
    if "--help" in words:
        return
    overrides = [re.sub(r"range\(0,\d{4,}\)", "range(0,100)", word) for word in words if "=" in word]
    settings = [word for word in overrides if word.startswith(("hydra/", "hydra.", "logger"))]
    values = [word for word in overrides if word not in settings]
    compose([word for word in addressed_to_trials(overrides) if word in settings])
    papers = [word for word in values if word.startswith(("paper=", "paper."))]
    if not papers:
        assert next(iter(trials(values)))
        return
    file = Paper.from_config(compose(addressed_to_trials(papers))["paper"])
    while file.include:
        file = load_paper(file.include[0])
    row = next(row for name, row in file.rows.items() if row.sweep is not None and name in (file.only or file.rows))
    user = [word for word in values if word not in papers]
    assert file.cell_trials(row, file.columns[0], user)


def understand_script(name: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = options.Parser.read

    def stop(parser: options.Parser, argv: Sequence[str] | None) -> None:
        values = read(parser, argv)
        if getattr(values, "paper", None):
            paper_files.find_paper(values.paper, values.table, values.figure)
        raise Understood

    if "--help" in words:
        return
    with monkeypatch.context() as patch:
        patch.setattr(options.Parser, "read", stop)
        with pytest.raises(Understood):
            SCRIPTS[name].main(words)


def test_the_result_s_page_names_what_a_result_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from commands import SMALL

    monkeypatch.chdir(tmp_path)
    assert launch(*SMALL, "training.evaluate_every=10").code == 0
    (path,) = tmp_path.glob("results/*/result.json")
    result = yaml.safe_load(path.read_text())
    text = (DOCS / "reference" / "result.md").read_text()
    first, second = text.split("| in `provenance` |")
    named = [set(re.findall(r"^\| `([\w.]+)` \|", part, re.M)) for part in (first, second.partition("## Beside")[0])]
    assert named[0] == {*result, "diverged_at", "error"}
    assert named[1] == {*result["provenance"], "config_id", "code_sha256", "own_code", "own_git"}
    assert set(result["metrics"]) <= set(re.findall(r"`(\w+)`", text))


def test_a_value_in_a_table_of_the_site_breaks_before_its_bracket_only() -> None:
    pytest.importorskip("mkdocs")
    import hooks

    nbsp = "\N{NO-BREAK SPACE}"
    cells = "<td>88.3 ± 0.5 (n=10) [1,2]</td><td>70.4 ± 0.9 ≈</td><th>p_e = 0.1</th><td>two <b>words</b></td>"
    joined = f"<td>88.3{nbsp}±{nbsp}0.5 (n=10){nbsp}[1,2]</td><td>70.4{nbsp}±{nbsp}0.9{nbsp}≈</td>"
    assert hooks.on_page_content(cells) == f"{joined}<th>p_e{nbsp}={nbsp}0.1</th><td>two <b>words</b></td>"
    assert hooks.on_page_content("<p>1 ± 2</p>") == "<p>1 ± 2</p>"
