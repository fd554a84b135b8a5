"""Which modules the code of a user's class consists of, and which edits of them make it other code."""

from __future__ import annotations

import importlib
import linecache
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import SMALL
from irm_sweeps.compose import compose
from irm_sweeps.methods.rex import VREx
from irm_sweeps.sweep.plan import Plan
from irm_sweeps.trial import Trial
from irm_sweeps.user_code.of_classes import code_of, user_modules_of

GAP = '''"""Docstring."""
from typing import ClassVar
import torch, installed_thing
from irm_sweeps.methods.rex import VREx
from . import scale
from .deeper.shape import half
from own import colour


class Gap(VREx):
    factor: ClassVar = 2  # comment

    def penalty(self, at, features, logits, risks):
        """Docstring."""
        import own_late
        return self.factor * scale.times(risks)

    def never(self):
        from ... import beyond
        import absent, absent.too


class Other(VREx):
    pass
'''
CODE = {
    "own/__init__.py": "",
    "own/gap.py": GAP,
    "own/scale.py": "def times(x):\n    return x\n",
    "own/colour.py": "RED = 1\n",
    "own/unused.py": "",
    "own/deeper/__init__.py": "from own import colour\n",
    "own/deeper/shape.py": "def half(x):\n    import own_late.part as p\n    return x / 2\n",
    "own_late/__init__.py": "LATE = 1\n",
    "own_late/part.py": "from own.gap import Gap\n",
    "site-packages/installed_thing.py": "import own.unused\n",
    "site-packages/bought/__init__.py": "",
    "site-packages/bought/method.py": "from bought.part import Base\nimport installed_thing\nclass Bought(Base): ...\n",
    "site-packages/bought/part.py": "from irm_sweeps.methods.rex import VREx\nclass Base(VREx): pass\n",
}
CODE["antigravity.py"] = CODE["site-packages/bought/part.py"]  # named as a module of the standard library
MODULES = {
    *("own", "own.gap", "own.scale", "own.colour", "own.deeper", "own.deeper.shape"),
    *("own_late", "own_late.part"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of packages that import each other, in a folder that modules are imported from."""
    for name, text in CODE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    tops = {name.partition("/")[0].removesuffix(".py") for name in CODE} | {"bought", "installed_thing"}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]
    importlib.invalidate_caches()


def imported(path: str = "own.gap.Gap") -> type:
    module, _, name = path.rpartition(".")
    chosen = getattr(importlib.import_module(module), name)
    assert isinstance(chosen, type)
    return chosen


def digest(path: str = "own.gap.Gap") -> dict[str, str]:
    """As a new process finds it."""
    forget()
    return code_of([imported(path)])


def test_the_modules_are_the_user_s_own_that_are_imported_one_after_another(project: Path) -> None:
    found = user_modules_of([imported()])
    assert found.keys() == MODULES
    assert {name: module.path for name, module in found.items()} == {
        name: next(
            path
            for path in (project / f"{name.replace('.', '/')}.py", project / name.replace(".", "/") / "__init__.py")
            if path.is_file()
        )
        for name in MODULES
    }
    assert found["own.gap"].source == GAP.encode()
    assert "own_late" not in sys.modules, "nothing is imported for the question"
    assert user_modules_of([VREx]) == {}


def test_of_an_installed_class_the_modules_of_its_package_count(project: Path) -> None:
    assert user_modules_of([imported("bought.method.Bought")]).keys() == {"bought", "bought.method", "bought.part"}


def test_a_file_that_is_named_as_a_standard_module_counts(project: Path) -> None:
    forget()
    assert user_modules_of([imported("antigravity.Base")]).keys() == {"antigravity"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_an_edit_of_any_of_the_modules_makes_other_code_and_undoing_it_the_old(project: Path, module: str) -> None:
    path = user_modules_of([imported()])[module].path
    before = digest()
    text = path.read_text()
    path.write_text(text + "\nadded = 1\n")
    assert digest() != before
    path.write_text(text)
    assert digest() == before


@pytest.mark.parametrize("file", ["own/unused.py", "site-packages/installed_thing.py"])
def test_an_edit_elsewhere_makes_none(project: Path, file: str) -> None:
    before = digest()
    (project / file).write_text("added = 1\n")
    assert digest() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # comment", ""),
        ("        import own_late\n", "        import own_late  # later\n\n\n"),
        ('        """Docstring."""\n', "        'Another.'\n"),
        ('"""Docstring."""\nfrom typing import ClassVar', "# new\n\nfrom typing import ClassVar"),
        ("self.factor * scale.times(risks)", "(self.factor *\n            scale.times( risks ) )"),
        ("factor: ClassVar = 2  # comment", "factor: ClassVar = 0x2\n    'What it means.'"),
        ("class Other(VREx):\n    pass", "class Other(VREx):\n    '''Empty.'''"),
    ],
)
def test_comments_docstrings_and_formatting_are_no_edit(project: Path, old: str, new: str) -> None:
    before = digest()
    assert GAP.count(old) >= 1
    (project / "own/gap.py").write_text(GAP.replace(old, new))
    assert digest() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("self.factor * scale", "self.factor + scale"),
        ("factor: ClassVar = 2", "factor: ClassVar = 2.0"),
        ("factor: ClassVar = 2", "factor: ClassVar = True"),
        ("scale.times(risks)", "scale.times('risks')"),
        ("import own_late\n", "import own_late as own_late\n"),
        ("Gap(VREx)", "Gap(VREx, metaclass=type(VREx))"),
    ],
)
def test_what_may_change_a_result_is_an_edit(project: Path, old: str, new: str) -> None:
    before = digest()
    (project / "own/gap.py").write_text(GAP.replace(old, new))
    assert digest() != before


def test_two_classes_of_one_file_have_its_code(project: Path) -> None:
    assert digest("own.gap.Gap") == digest("own.gap.Other")


def test_a_later_edit_is_not_what_was_imported_until_a_reload(project: Path) -> None:
    before = code_of([imported()])
    (project / "own/gap.py").write_text(GAP.replace("factor: ClassVar = 2", "factor: ClassVar = 3"))
    assert code_of([imported()]) == before
    importlib.reload(sys.modules["own.gap"])
    assert code_of([imported()]) != before


CELL = """
class Gap(VREx):
    def penalty(self, at, features, logits, risks):
        return {factor} * times(risks) + AMOUNT + scale.times(0)
"""
BESIDE = """
from irm_sweeps.methods.rex import VREx
from own import scale
AMOUNT = {amount}
UNUSED = {unused}
def times(x):
    return {times}
"""


def typed(name: str = "__main__", **values: object) -> dict[str, str]:
    """The code of a class that is typed into two cells of a notebook, which keeps what is typed as IPython does."""
    forget()
    notebook = types.ModuleType(name)
    sys.modules[name] = notebook
    for cell in (BESIDE, CELL):
        text = cell.format(**{"factor": 2, "amount": 1, "unused": 1, "times": "x", **values})
        file = f"<cell {hash(text)}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), vars(notebook))
    return code_of([notebook.Gap])


def test_a_class_in_a_notebook_counts_with_what_it_uses_of_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    before = typed()
    assert before.keys() == {"__main__.Gap", "__main__.times", "__main__.AMOUNT", "own", "own.scale"}
    assert typed(unused=2) == typed(times="x  # comment") == typed(factor="(2)") == before
    assert typed(factor=3) != before
    assert typed(amount=3) != before
    assert typed(times="2 * x") != before


def test_a_class_without_a_source_counts_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    console = types.ModuleType("console")
    monkeypatch.setitem(sys.modules, "console", console)
    exec(f"from irm_sweeps.methods.rex import VREx\n{CELL}", vars(console))
    assert code_of([console.Gap]) == {"console.Gap": ""}
    trial = Trial.from_config(compose([*SMALL, "method=vrex", "method._target_=console.Gap", "lam=10"]))
    (note,) = Plan({trial.id: trial}).notes()
    assert note == (
        "warning: no source of console.Gap: results of before an edit of it count as done; put it into a file"
    )
