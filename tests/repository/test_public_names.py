"""The public names: what users import from `irm_sweeps`, and the pages and templates that show them how."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import irm_sweeps
import irm_sweeps.testing
from arrows import ROOT
from pages import DOCS, pages

PACKAGE = ROOT / "src" / "irm_sweeps"
PLACES = {"irm_sweeps": irm_sweeps.__all__, "irm_sweeps.testing": irm_sweeps.testing.__all__}
"""Where a user imports from, and what."""


def seen_by_type_checkers() -> set[tuple[str, str]]:
    """(module, name) of each import under `if TYPE_CHECKING`."""
    (block,) = (node for node in ast.parse((PACKAGE / "__init__.py").read_text()).body if isinstance(node, ast.If))
    return {
        (node.module or "", alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_type_checkers_and_python_import_the_same() -> None:
    lazily = {(f"irm_sweeps.{module}", name) for module, names in irm_sweeps._NAMES_OF.items() for name in names}
    assert seen_by_type_checkers() == lazily
    assert sorted(name for _, name in lazily) == sorted(irm_sweeps.__all__), "no name has two modules"


@pytest.mark.parametrize(("module", "name"), sorted(seen_by_type_checkers()))
def test_a_name_is_the_module_s_own(module: str, name: str) -> None:
    """Not a copy: a class keeps its import path, which is part of the ids of its trials."""
    value = getattr(irm_sweeps, name)
    assert value is getattr(sys.modules[module], name)
    if isinstance(value, type):
        assert f"{value.__module__}.{value.__qualname__}" == f"{module}.{name}"


def test_dir_lists_the_names_and_no_other_is_there() -> None:
    code = (
        "import irm_sweeps\n"
        "assert set(irm_sweeps.__all__) <= set(dir(irm_sweeps))\n"
        "try:\n    from irm_sweeps import Penalised\n"
        "except ImportError as error:\n    print(error.name)\n"
        "try:\n    irm_sweeps.Penalised\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed == "irm_sweeps\nmodule 'irm_sweeps' has no attribute 'Penalised'\n"


def imported(source: str) -> Iterator[tuple[str, str | None]]:
    """(module, name) of every import of this package; without a name of `import irm_sweeps`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)


def shown() -> Iterator[tuple[str, str]]:
    """(where, source) of the Python in the pages' blocks and in the template of a project."""
    for page in pages():
        for i, block in enumerate(page.blocks):
            if block.language == "python":
                yield f"{page}, block {i}", block.text
    for path in sorted((PACKAGE / "project").rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), path.read_text()


SHOWN = dict(shown())


@pytest.mark.parametrize("source", SHOWN.values(), ids=SHOWN)
def test_what_readers_are_shown_imports_public_names(source: str) -> None:
    for module, name in imported(source):
        if module.split(".")[0] == "irm_sweeps":
            assert module in PLACES, f"{module} is no place for users: give the name to one of {list(PLACES)}"
            assert name is None or name in PLACES[module]


def test_there_is_something_shown() -> None:
    names = {name for source in SHOWN.values() for module, name in imported(source) if module in PLACES}
    assert {"Penalized", "Dataset", "Backbone", "MethodContract"} <= names


@pytest.mark.parametrize(("module", "names"), PLACES.items(), ids=PLACES)
def test_the_reference_has_every_public_name(module: str, names: list[str]) -> None:
    text = (DOCS / "reference" / "python.md").read_text()
    listed = re.findall(rf"^::: {re.escape(module)}\.(\w+)$", text, re.M)
    assert sorted(listed) == sorted(names)
