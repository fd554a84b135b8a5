"""Draws `docs/architecture.svg` from the imports: `python docs/generate/picture.py`; a test holds it to them.

An arrow says that something in the upper room imports something in the lower one. What follows from other arrows is
left out (the transitive reduction), so the picture shows every import once and nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "support"))

from arrows import EVERYTHING, name_of, own_imports  # noqa: E402

SVG = ROOT / "docs" / "architecture.svg"
Edges = set[tuple[str, str]]


@dataclass(frozen=True)
class Room:
    """A box: what lies in it, what it is for, and its place (columns of 10 units, rows from the top)."""

    modules: tuple[str, ...]
    what: tuple[str, ...]
    columns: tuple[int, int]
    row: int


ROOMS = {
    "commands": Room(
        (
            "launch.py",
            "launch",
            "cli",
            "__main__",
            "commands",
            "sweep.run",
            "sweep.printing",
            "project",
            "testing",
            "__init__",
            "src/hydra_plugins",
        ),
        ("launch.py, irm-sweeps, Hydra's plug-ins,", "load_results, testing"),
        (0, 54),
        0,
    ),
    "analysis": Room(("analysis",), ("tables, figures, report", "from stored results"), (33, 54), 1),
    "launchers": Room(("launchers",), ("start workers: this process,", "local pool, SLURM"), (0, 21), 2),
    "worker": Room(("worker",), ("claims, trains and", "finishes stacks"), (0, 15), 3),
    "sweep": Room(("sweep",), ("grids, paper files, plan,", "stacks, cost"), (17, 43), 4),
    "store": Room(("store",), ("results, claims, checkpoints, manifests, in a shared directory",), (0, 54), 5),
    "training": Room(("training", "trial"), ("a trial and its loop: stacks,", "evaluation, checkpoints"), (0, 33), 6),
    "loggers": Room(("loggers",), ("training curves", "elsewhere"), (35, 54), 6),
    "methods": Room(("methods",), ("one game a file",), (0, 17), 7),
    "backbones": Room(("backbones",), ("two halves",), (0, 17), 8),
    "data": Room(("data",), ("environments", "from a seed"), (19, 33), 8),
    "ground": Room(
        (
            *("config", "errors", "draws", "conf_folders", "compose", "device", "process_state", "provenance", "files"),
            *("slurm", "typed_commands", "hydra_versions", "redaction", "wording", "overrides", "naming", "user_code"),
        ),
        (
            "configs and their names, overrides, errors, files, random",
            "draws, devices, the process's state, provenance, users' own code",
        ),
        (0, 54),
        9,
    ),
}

UNIT, ROW, HEIGHT, MARGIN = 10, 104, 66, 6
FILLS = {"commands": "#c9def5", "analysis": "#c9def5", "ground": "#dcdfe4"}


def room_of(module: str) -> str:
    """Return the room of a module, by the longest name that a room gives."""
    best = ""
    found = ""
    for room, about in ROOMS.items():
        for name in about.modules:
            inside = module == name or module.startswith((f"{name}.", f"{name}/"))
            if inside and len(name) > len(best):
                best, found = name, room
    if not found:
        raise LookupError(f"{module} lies in no room: name it in ROOMS of docs/generate/picture.py")
    return found


def imports_between_rooms() -> Edges:
    """Return (room, room it imports from), read from the sources."""
    found: Edges = set()
    for path in EVERYTHING:
        here = room_of(name_of(path))
        found |= {(here, room_of(imported)) for imported in own_imports(path) - {"__version__"}}
    return {(one, other) for one, other in found if one != other}


def closure(edges: Iterable[tuple[str, str]]) -> Edges:
    """Return every pair that a path of arrows joins."""
    reached = set(edges)
    while more := {(a, d) for a, b in reached for c, d in reached if b == c} - reached:
        reached |= more
    return reached


def reduction(edges: Edges) -> Edges:
    """Return the arrows that do not follow from others."""
    reached = closure(edges)
    return {(a, b) for a, b in edges if not any((a, c) in reached and (c, b) in reached for c in ROOMS)}


def svg() -> str:
    """Return the picture."""
    width = 54 * UNIT + 2 * MARGIN
    height = max(room.row for room in ROOMS.values()) * ROW + HEIGHT + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" text-anchor="middle">',
        "<title>The rooms of irm_sweeps and who imports whom</title>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#7d8794"/></marker></defs>',
    ]
    lines += [_arrow(*edge) for edge in sorted(reduction(imports_between_rooms()))]
    for name, room in ROOMS.items():
        lines += _box(name, room)
    return "\n".join([*lines, "</svg>", ""])


def _x(room: Room) -> tuple[int, int]:
    return MARGIN + room.columns[0] * UNIT, MARGIN + room.columns[1] * UNIT


def _y(room: Room) -> int:
    return MARGIN + room.row * ROW


def _arrow(name: str, imported: str) -> str:
    upper, lower = ROOMS[name], ROOMS[imported]
    (a, b), (c, d) = _x(upper), _x(lower)
    middle = (max(a, c) + min(b, d)) // 2
    return (
        f'<line data-from="{name}" data-to="{imported}" x1="{middle}" y1="{_y(upper) + HEIGHT}" x2="{middle}" '
        f'y2="{_y(lower) - 2}" stroke="#7d8794" stroke-width="2" marker-end="url(#head)"/>'
    )


def _box(name: str, room: Room) -> list[str]:
    (left, right), top = _x(room), _y(room)
    middle, fill = (left + right) // 2, FILLS.get(name, "#f6e3bd")
    first = top + (24 if len(room.what) == 2 else 30)
    texts = [f'<text x="{middle}" y="{first}" font-size="17" font-weight="600" fill="#1b2330">{name}</text>']
    texts += [
        f'<text x="{middle}" y="{first + 17 * (i + 1)}" font-size="13.5" fill="#1b2330">{line}</text>'
        for i, line in enumerate(room.what)
    ]
    box = f'<rect x="{left}" y="{top}" width="{right - left}" height="{HEIGHT}" rx="8" fill="{fill}" stroke="#7d8794"/>'
    return [box, *texts]


if __name__ == "__main__":
    SVG.write_text(svg())
    print(SVG)
