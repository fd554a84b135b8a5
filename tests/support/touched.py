"""Find the test files that a change affects through imports, and run them, nearest first (`make check`).

    python tests/support/touched.py [BASE]    prints them, each with its distance from the change in imports
    pytest -p touched --touched [--base BASE] [--until TIME]

Imports count wherever they are in a file. A test that starts programs depends on everything, but at a distance, so the
nearest tests run first. No test starts after TIME (seconds since 1970); the summary says how many files were not run.
Only `make test` runs the whole suite.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path

import pytest

from arrows import ROOT, imports
from order import LONG

FOLDERS = ("src", "tests/support", "tests/slurm", "docs/generate", "tests")
"""Folders from which modules are imported by name."""
UNSEEN = {
    "commands": ("irm_sweeps.__main__", "irm_sweeps.cli", "irm_sweeps.launch"),
    "irm_sweeps.launch": tuple(f"hydra_plugins.irm_sweeps.{name}" for name in ("launcher", "own_file", "sweeper")),
}
"""Module -> modules that it uses without an import: programs that it starts, plug-ins that Hydra loads."""
UNTIL = pytest.StashKey[float]()
NEAR = pytest.StashKey[dict[Path, int]]()
PASSED_OVER = "not begun"


@cache
def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return every module of the checkout by its import name."""
    named = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            if path not in named.values():
                named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


@cache
def importers(root: Path = ROOT) -> Mapping[Path, set[Path]]:
    """Return, for each file, the files that import it."""
    named = modules(root)
    importers_of: dict[Path, set[Path]] = {}
    if catalogue := named.get("irm_sweeps.commands.method_catalogue"):  # it imports the classes that the YAMLs name
        for yaml in (root / "conf").rglob("*.yaml"):
            for target in re.findall(r"_target_: ([\w.]+)\.\w+", yaml.read_text()):
                if target in named:
                    importers_of.setdefault(named[target], set()).add(catalogue)
    for name, path in named.items():
        for imported in [*imports(path), *UNSEEN.get(name, ())]:
            if imported == "irm_sweeps" and root / "src" in path.parents:
                continue  # `from irm_sweeps import neighbour`: a module of the package takes no public name from it
            if (target := named.get(imported)) is not None and target != path:
                importers_of.setdefault(target, set()).add(path)
    return importers_of


def touched(changed: Iterable[Path], root: Path = ROOT) -> dict[Path, int]:
    """Return the test files that a change affects, nearest first, each with its distance in imports."""
    start = list(changed)
    distances: dict[Path, int] = {}
    queue = deque((place, distance) for path in start for place, distance in _where(path, start, root))
    while queue:
        path, distance = queue.popleft()
        if distances.get(path, distance + 1) <= distance:
            continue
        distances[path] = distance
        queue.extend((other, distance + 1) for other in importers(root).get(path, ()))
    tests = {path for path in (root / "tests").rglob("test_*.py") if path in distances}
    return {path: distances[path] for path in sorted(tests, key=lambda path: (distances[path], str(path)))}


def _where(path: Path, changed: Collection[Path], root: Path) -> Iterable[tuple[Path, int]]:
    """Yield the files from which the search starts for one changed file, with their distances."""
    if path.suffix == ".py":
        yield path, 0
        if path.name == "conftest.py":
            yield from ((test, 1) for test in path.parent.rglob("test_*.py"))
        if path.name == "__init__.py":  # every import from its folder runs it
            inside = (source for source in modules(root).values() if path.parent in source.parents)
            yield from ((importer, 1) for source in inside for importer in importers(root).get(source, ()))
        return
    if root / "conf" in path.parents:
        yield root / "src" / "irm_sweeps" / "compose.py", 0
    if path.suffix == ".md":
        yield root / "tests" / "support" / "pages.py", 0
    names = (f'"{path.name}"', path.relative_to(root).as_posix())
    for source in modules(root).values():  # a file that is not a module affects the tests that name it
        if root / "tests" in source.parents and source not in changed:
            text = source.read_text()
            if any(name in text for name in names):
                yield source, 1


class NoChange(Exception):
    """git cannot determine what has changed; the message says why."""


def _git(root: Path, *words: str) -> str:
    answer = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)
    if answer.returncode:
        raise NoChange((answer.stderr.strip().splitlines() or ["git failed"])[0])
    return answer.stdout


def base_of(asked: str | None, root: Path = ROOT) -> str:
    """Return the base commit of the change: by default the merge base with origin/main, else HEAD."""
    if asked is not None:
        try:
            return _git(root, "rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}").strip()
        except NoChange:
            raise NoChange(f"{asked}: no such commit") from None
    try:
        return _git(root, "merge-base", "HEAD", "origin/main").strip()
    except NoChange:
        return _git(root, "rev-parse", "HEAD").strip()


def changes(base: str, root: Path = ROOT) -> list[Path]:
    """Return the files that differ from a commit, untracked files included."""
    names = _git(root, "diff", "--name-only", "-z", base)
    names += _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return [root / name for name in sorted(filter(None, names.split("\0")))]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("touched")
    group.addoption("--touched", action="store_true", help="only the test files that a change touches, nearest first")
    group.addoption("--base", help="the commit to count from (default: see base_of)")
    group.addoption("--until", type=float, default=math.inf, help="no test begins after this time (date +%s)")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the affected tests; the main process prints how many there are."""
    config.stash[UNTIL] = config.getoption("until")
    if not config.getoption("touched"):
        return
    try:
        base = base_of(config.getoption("base"))
        changed = changes(base)
    except NoChange as error:
        raise pytest.UsageError(f"what has changed is not known: {error}") from None
    config.stash[NEAR] = near = touched(changed)
    if not hasattr(config, "workerinput"):
        said = f"{len(changed)} files changed since {base[:10]}, {len(near)} test files within reach"
        if not near:
            pytest.exit(said, returncode=0)
        config.get_terminal_writer().line(said)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the affected tests, nearest first; at equal distance, files with most (and so quick) tests first.

    A long file is kept only if it was changed itself.
    """
    if NEAR not in config.stash:
        return
    near = config.stash[NEAR]
    long = {ROOT / "tests" / name for name in LONG}
    kept = [item for item in items if item.path in near and (item.path not in long or near[item.path] == 0)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    tests = Counter(item.path for item in kept)
    items[:] = sorted(kept, key=lambda item: (near[item.path], -tests[item.path], str(item.path)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.time() > item.config.stash.get(UNTIL, math.inf):
        pytest.skip(PASSED_OVER)


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Count the tests that were not started, without printing a letter for each."""
    return (PASSED_OVER, "", "") if PASSED_OVER in str(report.longrepr) and report.skipped else None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("touched") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK  # a change may touch none


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    files = {report.nodeid.partition("::")[0] for report in terminalreporter.stats.get(PASSED_OVER, [])}
    if files:
        terminalreporter.write_line(f"Time is up: in {len(files)} files farther from the change tests were not begun.")
        terminalreporter.write_line("make test runs them all.")


if __name__ == "__main__":
    for test, distance in touched(changes(base_of(sys.argv[1] if len(sys.argv) > 1 else None))).items():
        print(distance, test.relative_to(ROOT))
