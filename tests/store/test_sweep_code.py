"""The copy of the user's modules beside a manifest: what it holds, and which files it can be imported from."""

from __future__ import annotations

import importlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from irm_sweeps.errors import UserError
from irm_sweeps.store.code import EARLIER_KEPT, SweepCode, import_code, write_code
from irm_sweeps.store.manifest import RunSettings, load_manifest, write_manifest
from irm_sweeps.store.schema import validated
from irm_sweeps.store.store import Store
from irm_sweeps.user_code.of_classes import UserModule

SETTINGS = RunSettings(data_dir="data", device="cpu", on_error="continue", checkpoint_seconds=30)


def module(name: str, file: Path, source: bytes = b"WHICH = 'submitted'\n") -> dict[str, UserModule]:
    return {name: UserModule(name, file, source)}


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is imported from copies is forgotten afterwards."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    yield
    for name in [name for name in sys.modules if name.startswith("copied_")]:
        del sys.modules[name]


def test_a_manifest_is_read_with_the_copies_that_were_written_before_it(tmp_path: Path, imports: None) -> None:
    store = Store(tmp_path / "results")
    store.prepare()
    modules = {
        **module("copied_package", tmp_path / "copied_package" / "__init__.py"),
        **module("copied_package.part", tmp_path / "copied_package" / "part.py"),
    }
    written = write_manifest(store, "sweep", {}, [], SETTINGS, modules=modules)
    read = load_manifest(store, written.name)
    assert read.code == written.code
    assert read.package == written.package
    assert read.changed_modules() == ["copied_package", "copied_package.part"], "their files are not there"
    read.make_importable(store)
    assert importlib.import_module("copied_package.part").WHICH == "submitted"


def test_another_launch_leaves_the_copies_of_the_earlier_one(tmp_path: Path) -> None:
    """A worker of that launch may be about to read them."""
    file = tmp_path / "copied_alone.py"
    first = write_code(tmp_path, module("copied_alone", file))
    second = write_code(tmp_path, module("copied_alone", file, b"WHICH = 'edited'\n"))
    assert first.folder != second.folder
    texts = [(tmp_path / code.path("copied_alone")).read_text() for code in (first, second)]
    assert texts == ["WHICH = 'submitted'\n", "WHICH = 'edited'\n"]


def test_the_copies_of_the_oldest_launches_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "copied_alone.py"
    outside = tmp_path / "outside"
    outside.mkdir()
    launches = []
    for edit in range(EARLIER_KEPT + 3):
        code = write_code(tmp_path, module("copied_alone", file, f"WHICH = {edit}\n".encode()))
        os.utime(tmp_path / code.folder, (edit, edit))
        launches.append(code)
        if not edit:
            (tmp_path / "code" / "link").symlink_to(outside)
    there = [(tmp_path / code.path("copied_alone")).is_file() for code in launches]
    assert there == [False] * 2 + [True] * (EARLIER_KEPT + 1)
    assert outside.is_dir()


def test_copies_have_the_modes_of_the_store_s_other_files(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        code = write_code(tmp_path, module("copied_package.part", tmp_path / "part.py"))
    finally:
        os.umask(previous)
    copy = tmp_path / code.path("copied_package.part")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o750


def test_a_folder_of_copies_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    elsewhere, sweep = tmp_path / "elsewhere", tmp_path / "sweep"
    elsewhere.mkdir()
    sweep.mkdir()
    (sweep / "code").symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a symbolic link"):
        write_code(sweep, module("copied_alone", tmp_path / "copied_alone.py"))
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".", "a..b", "a.b.", "a b", "a\0"])
def test_a_module_s_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(ValueError, match="modules"):
        validated(SweepCode, {"modules": {name: {"file": "/mine/evil.py", "sha256": "0" * 64}}})


def test_a_compiled_module_is_copied_too(tmp_path: Path, imports: None) -> None:
    spec = importlib.util.find_spec("_bisect")
    if spec is None or not spec.origin or not Path(spec.origin).exists():
        pytest.skip("this Python has no such module in a file of its own")
    file = tmp_path / "copied_package" / Path(spec.origin).name
    compiled = module("copied_package._bisect", file, Path(spec.origin).read_bytes())
    import_code(tmp_path, write_code(tmp_path, compiled))
    assert importlib.import_module("copied_package._bisect").bisect_left([1, 3], 2) == 1
