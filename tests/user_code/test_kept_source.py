"""Modules that are imported from kept source: what they see of the files that they came from."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from irm_sweeps.user_code import modules as user_modules
from irm_sweeps.user_code.kept_source import KeptSource, import_from

FILES = {
    "kept_alone.py": "import kept_later\nfrom pathlib import Path\nTABLE = Path(__file__).with_name('kept_table.csv')\n"
    "def fail():\n    raise RuntimeError('as submitted')\n",
    "kept_later.py": "WHICH = 'submitted'\n",
    "kept_package/__init__.py": "from .inner import NAME\n",
    "kept_package/inner.py": "from . import deep\nNAME = deep.NAME\n",
    "kept_package/deep/__init__.py": "NAME = __name__\n",
    "kept_namespace/part/method.py": "from kept_package import NAME\nfrom .other import OTHER\n",
    "kept_namespace/part/other.py": "OTHER = 'submitted'\n",
}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, KeptSource]]:
    """Modules whose files have been edited to fail since their source was kept; what is imported is forgotten."""
    mine, copies = tmp_path / "mine", tmp_path / "copies"
    modules = {}
    for place, text in FILES.items():
        for folder in (mine, copies):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text if folder == copies else "raise AssertionError('edited')\n")
        name = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        modules[name] = KeptSource(mine / place, copies / place, text.encode())
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(mine)
    yield modules
    for name in [name for name in sys.modules if name.startswith("kept_")]:
        del sys.modules[name]


def test_modules_of_every_form_run_as_they_were_kept(kept: dict[str, KeptSource]) -> None:
    """A module alone, one of a package with relative imports, one of folders that are no packages."""
    import_from(kept)
    assert importlib.import_module("kept_alone").kept_later.WHICH == "submitted"
    method = importlib.import_module("kept_namespace.part.method")
    assert (method.NAME, method.OTHER) == ("kept_package.deep", "submitted")
    assert method.__package__ == "kept_namespace.part"


def test_data_beside_a_module_is_found_in_the_user_s_folder(kept: dict[str, KeptSource]) -> None:
    import_from(kept)
    table = importlib.import_module("kept_alone").TABLE
    assert table == kept["kept_alone"].file.with_name("kept_table.csv")
    (kept["kept_package"].file.parent / "words.txt").write_text("of today")
    assert importlib.resources.files("kept_package").joinpath("words.txt").read_text() == "of today"


def test_a_traceback_shows_the_lines_that_ran(kept: dict[str, KeptSource]) -> None:
    import_from(kept)
    with pytest.raises(RuntimeError) as raised:
        importlib.import_module("kept_alone").fail()
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.line) == (str(kept["kept_alone"].copy), "raise RuntimeError('as submitted')")


def test_what_the_code_is_called_afterwards_is_what_ran(kept: dict[str, KeptSource]) -> None:
    """The digests of imported modules, also of those that nothing has imported yet."""
    import_from(kept)
    importlib.import_module("kept_later")
    assert user_modules.source("kept_later") == b"WHICH = 'submitted'\n"
    for name in ("kept_later", "kept_namespace.part.other"):
        assert user_modules.read_source(str(kept[name].file)) == kept[name].source


def test_stale_bytecode_of_the_edited_file_is_not_run(kept: dict[str, KeptSource], tmp_path: Path) -> None:
    import compileall

    file = kept["kept_later"].file
    file.write_text("WHICH = 'an edit'\n")
    assert compileall.compile_file(file, quiet=1)
    import_from(kept)
    assert importlib.import_module("kept_later").WHICH == "submitted"


def test_a_module_that_was_not_kept_is_found_as_ever(kept: dict[str, KeptSource]) -> None:
    (kept["kept_package"].file.parent / "extra.py").write_text("HERE = True\n")
    import_from(kept)
    assert importlib.import_module("kept_package.extra").HERE
