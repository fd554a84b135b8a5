"""The layers of the package: which modules may import which, and which do. `docs/architecture.md` draws the picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from irm_sweeps import __all__ as PUBLIC

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
EVERYTHING = [*SOURCES, *sorted((ROOT / "analysis").glob("*.py")), ROOT / "launch.py"]

LAYERS = [
    {"errors", "files", "redaction", "slurm", "typed_commands", "wording"},
    {
        *("config", "draws", "device", "process_state", "compose", "conf_folders", "provenance", "hydra_versions"),
        *("overrides", "naming", "user_code"),
    },
    {"data", "backbones", "loggers"},
    {"methods"},
    {"training", "trial"},
    {"store"},
    {"sweep"},
    {"worker"},
    {"launchers"},
    {"analysis.statistics"},
    {"analysis"},
    {"analysis.tables"},
    {"analysis.sweeps", "analysis.papers"},
    {"analysis.figures"},
    {"analysis.report"},
    {"analysis.table_command", "analysis.figure_command", "analysis.report_command"},
    {"commands"},
    {"cli", "launch", "sweep.run", "sweep.printing", "__init__", "__main__", "testing", "project"},
]
"""A module imports from its own layer and earlier ones in this list. The last layer is what users call: `launch` and
`sweep.run` by `launch.py`, `cli`, `__init__` in notebooks, and `testing` in their tests."""

BELOW_TRAINING = {"training.optimizers"}
"""Contracts that depend on `config` only, so that `trial` may import them."""

ABOVE = ("store", "sweep", "worker", "launchers")

STRANGERS = {
    "methods": ("data", "training", *ABOVE, "trial"),
    "data": ("methods", "backbones", "training", *ABOVE, "trial"),
    "backbones": ("methods", "data", "training", *ABOVE, "trial"),
    "training": (*ABOVE, "loggers"),
    "loggers": ("data", "backbones", "methods", "training", *ABOVE, "trial"),
    "files": ("config", "data", "methods", "backbones", "training", *ABOVE, "trial"),
    "store": ("sweep", "worker", "launchers"),
    "worker": ("launchers",),
}
"""Package -> what it must not import, even from an earlier layer."""


def name_of(path: Path) -> str:
    """Return `sweep.grid` for src/irm_sweeps/sweep/grid.py; for other files, the path."""
    package = ROOT / "src" / "irm_sweeps"
    if package not in path.parents:
        return str(path.relative_to(ROOT))
    return ".".join(path.relative_to(package).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Yield every imported module, also of imports inside functions; `from a import b` yields a and a.b."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path: Path) -> set[str]:
    """Every imported module of the package by its name within it; a public name is `__init__`'s."""
    names = {name.removeprefix("irm_sweeps.") for name in imports(path) if name.startswith("irm_sweeps.")}
    return {"__init__" if name in PUBLIC else name for name in names - {"__version__"}}


def layer(module: str) -> int:
    """Return the number of the layer with the longest prefix of the module's name."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        for i, names in enumerate(LAYERS):
            if ".".join(parts[:end]) in names:
                return i
    raise AssertionError(f"{module} belongs to no layer: name it in LAYERS")
