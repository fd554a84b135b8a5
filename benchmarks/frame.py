"""The frame of every benchmark: sides measured in alternating rounds, one table, a ratio against a named rival.

A script is its question and nothing else:

    options = arguments(parser(__doc__, rounds=5))             # --rounds, --quick, --history, and its own
    table = Table("import", rival="import torch", unit="s")
    table.measure({"launch.py --help": ours, "import torch": theirs}, options.rounds)
    conclude([table], options)

A side returns one number or several, in the table's unit. Sides alternate, so that another load on the machine hits
all of them. Ratios say how many times better than the rival a side is: above 1 is better, whatever the unit, and one
that falls from one row of `history.csv` to the next is a regression.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HISTORY = HERE / "history.csv"
FACTS = ("date", "commit", "device", "load")
"""The columns of `history.csv` that are no ratios."""
FALLEN = 0.8
"""Of its earlier value, below which a ratio is pointed at: noise of a quiet machine is smaller."""

Measure = Callable[[], float | Sequence[float]]

WARM_UP = 2
"""Readings of `timed` that are thrown away."""


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options of every benchmark; a script adds its own."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help=f"how often each side is measured (default: {rounds})")
    made.add_argument("--quick", action="store_true", help="small sizes, one round: does it run at all?")
    made.add_argument(
        "--history",
        action="store_true",
        default="BENCH_HISTORY" in os.environ,
        help=f"write the ratios into {HISTORY.name}, in this commit's row (default: if BENCH_HISTORY is set)",
    )
    made.add_argument("--side", help=argparse.SUPPRESS)
    return made


def arguments(made: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line; `--quick` is one round."""
    options = made.parse_args()
    if options.quick:
        options.rounds = 1
    return options


@dataclass
class Table:
    """One question: sides, their values, and the rival that they are held against.

    Attributes
    ----------
    name
        What the question is called in `history.csv`.
    better
        Whether a low value is good (seconds) or a high one (images/s).
    """

    name: str
    rival: str
    unit: str
    better: Literal["low", "high"] = "low"
    note: str = ""
    values: dict[str, list[float]] = field(default_factory=dict)

    def measure(self, sides: Mapping[str, Measure], rounds: int) -> None:
        """Measure every side once a round, one after another."""
        for _ in range(rounds):
            for side, measure in sides.items():
                found = measure()
                self.values.setdefault(side, []).extend([found] if isinstance(found, int | float) else found)

    def against(self, rival: str, note: str = "") -> Table:
        """Return a table of the same values, held against another rival."""
        return replace(self, rival=rival, note=note)

    def ratio(self, side: str) -> float:
        """Return how many times better than the rival's median this side's is."""
        own, rival = statistics.median(self.values[side]), statistics.median(self.values[self.rival])
        return rival / own if self.better == "low" else own / rival

    def ratios(self) -> dict[str, float]:
        """Return the ratios by their column of `history.csv`."""
        return {f"{self.name}: {side} / {self.rival}": self.ratio(side) for side in self.values if side != self.rival}

    def lines(self) -> list[str]:
        """Return the table in Markdown."""
        head = f"| {self.name} | {self.unit} | min | max | n | times better than {self.rival} |"
        rows = [
            f"| {side} | {_short(statistics.median(own))} | {_short(min(own))} | {_short(max(own))} | {len(own)} "
            f"| {'' if side == self.rival else f'{self.ratio(side):.2f}'} |"
            for side, own in self.values.items()
        ]
        return [*([self.note, ""] if self.note else []), head, "|---|---|---|---|---|---|", *rows]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def device() -> str:
    """Return what is measured on, in a few words."""
    import torch

    name = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"


def block() -> int:
    """Return how many steps one reading of `timed` spans: a GPU's host runs ahead between two waits, as in training."""
    import torch

    return 10 if torch.cuda.is_available() else 1


def timed(step: Callable[[], object], readings: int) -> list[float]:
    """Return the seconds of a step, so many readings of them; a GPU is waited for before the clock is read."""
    import torch

    found = []
    for _ in range(WARM_UP + readings):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(block()):
            step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        found.append((time.perf_counter() - started) / block())
    return found[WARM_UP:]


def conclude(tables: Sequence[Table], options: argparse.Namespace) -> None:
    """Print device, tables, and which ratios were better before; with `--history`, write the ratios down."""
    load = os.getloadavg()[0]
    print(f"{device()}; load average {load:.1f}")
    for table in tables:
        print()
        print("\n".join(table.lines()), flush=True)
    if options.quick:
        return
    ratios = {name: value for table in tables for name, value in table.ratios().items()}
    rows, facts = _rows(HISTORY), {"commit": _commit(), "device": device()}
    for line in fallen(ratios, rows, facts):
        print(f"\n{line}")
    if options.history:
        _write(with_row(rows, facts, ratios, load), HISTORY)


def fallen(ratios: Mapping[str, float], rows: Sequence[Mapping[str, str]], facts: Mapping[str, str]) -> list[str]:
    """Return a line for each ratio that is far below the best that an earlier commit had on this device."""
    lines = []
    for name, now in ratios.items():
        earlier = [row for row in rows if row["device"] == facts["device"] and row["commit"] != facts["commit"]]
        known = [row for row in earlier if row.get(name)]
        if not known:
            continue
        best = max(known, key=lambda row: float(row[name]))
        if now < FALLEN * float(best[name]):
            lines.append(f"fallen: {name}: {_short(now)}, was {best[name]} at {best['commit']}")
    return lines


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def with_row(
    rows: list[dict[str, str]], facts: Mapping[str, str], ratios: Mapping[str, float], load: float
) -> list[dict[str, str]]:
    """Return the rows with ratios in that of this commit and device, which all benchmarks of a change share."""
    own = next((row for row in rows if all(row[key] == value for key, value in facts.items())), None)
    if own is None:
        rows = [*rows, own := dict(facts)]
    own |= {"date": datetime.now(UTC).date().isoformat(), "load": f"{load:.1f}"}
    own |= {name: f"{value:.3g}" for name, value in ratios.items()}
    return rows


def _write(rows: Sequence[Mapping[str, str]], path: Path) -> None:
    columns = dict.fromkeys([*FACTS, *(name for row in rows for name in row)])
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    measured = ("src", "conf", "benchmarks", f":!benchmarks/{HISTORY.name}")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *measured)
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def installed(module: str, rival: str) -> bool:
    """Return whether a rival's module is installed; if not, say that the rival is skipped."""
    there = importlib.util.find_spec(module) is not None
    if not there:
        print(f"skipped: {rival}: no module {module} (pip install '.[rivals]' installs the rivals)")
    return there


def in_own_process(side: str, *, env: Mapping[str, str] | None = None) -> list[float]:
    """Run this script again with `--side SIDE` in a fresh process; return the numbers that it `answer`s."""
    command = [sys.executable, *sys.argv, "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if done.returncode:
        sys.exit(f"side {side} failed: {done.stderr[-3000:]}")
    return [float(number) for number in json.loads(done.stdout.splitlines()[-1])]


def answer(numbers: Sequence[float]) -> None:
    """Say a side's numbers to the process that asked for them."""
    print(json.dumps(list(numbers)))


def seconds(command: Sequence[str], cwd: Path = ROOT) -> float:
    """Return the wall time of a command, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed: {done.stderr[-3000:]}")
    return time.perf_counter() - started
