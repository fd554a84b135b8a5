"""Who may import whom, and who does: the arrows of the house. `docs/architecture.md` draws them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from irm_sweeps import __all__ as PUBLIC

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
EVERYTHING = [*SOURCES, *sorted((ROOT / "analysis").glob("*.py")), ROOT / "launch.py"]

LAYERS = [
    {"errors", "files", "slurm", "typed_commands", "user_modules", "wording"},
    {"config", "draws", "device", "process_state", "compose", "provenance", "hydra_versions"},
    {"data", "backbones", "loggers"},
    {"methods"},
    {"training", "trial"},
    {"store"},
    {"sweep"},
    {"worker"},
    {"launchers"},
    {"analysis"},
    {"commands"},
    {"cli", "launch", "sweep.run", "__init__", "__main__", "testing", "project"},
]
"""A module imports from its own layer and those above it in this list. The last are what users reach: `launch` and
`sweep.run` behind `launch.py`, `cli`, `__init__` for notebooks, and `testing` for their tests."""

BELOW_TRAINING = {"training.optimizers"}
"""A contract with nothing beneath it but `config`; `trial` is made of it and of the other groups."""

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
"""By package, what it knows nothing of, although some of it lies beneath."""


def name_of(path: Path) -> str:
    """`sweep.grid` for src/irm_sweeps/sweep/grid.py; of other files, the path."""
    package = ROOT / "src" / "irm_sweeps"
    if package not in path.parents:
        return str(path.relative_to(ROOT))
    return ".".join(path.relative_to(package).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Every imported module, wherever the import stands; `from a import b` is both a and a.b."""
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
    """The most particular entry of `LAYERS` that names the module; a name within a module counts as it."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        for i, names in enumerate(LAYERS):
            if ".".join(parts[:end]) in names:
                return i
    raise AssertionError(f"{module} belongs to no layer: name it in LAYERS")
