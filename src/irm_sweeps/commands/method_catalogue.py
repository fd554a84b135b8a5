"""Every method that has a YAML: its paper, its parameters, and what its players and tensors are."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from irm_sweeps.analysis.text_grid import flowed
from irm_sweeps.backbones.backbone import Model
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.conf_folders import yamls
from irm_sweeps.config import build_component, import_class
from irm_sweeps.errors import UserError
from irm_sweeps.methods.method import Method
from irm_sweeps.methods.stages import Stage
from irm_sweeps.overrides.own_yaml import read_own_file
from irm_sweeps.wording import written


@dataclass(frozen=True)
class MethodChoice:
    """One `method=NAME`."""

    name: str
    target: type[Method]
    values: dict[str, Any]

    def text(self, width: int | None = None) -> str:
        """Return name, reference, first line of the docstring, and the parameters with their defaults, wrapped."""
        summary = (self.target.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
        stacks = "stacks" if self.target.stacks else "runs alone"
        lam = f"lam={default_lam(self.target)}" if self.target.uses_lam else "no lam"
        lines = _wrapped([f"{self.name}  ({stacks}, {lam}) ", *self.target.reference.split()], width, "")
        lines += _wrapped(summary.split(), width, "    ")
        for field_name, value in self.values.items():
            about = self.target.model_fields[field_name].description or ""
            lines += _wrapped([f"method.{field_name}={value} ", *about.split()], width, "    ")
        return "\n".join(lines)


def _wrapped(words: Sequence[str], width: int | None, indent: str) -> list[str]:
    return flowed(words, width, " ", indent, f"{indent}    ")


@dataclass(frozen=True)
class Conduct:
    """A method's players, tensors and protocols, in its default form on a small network and two environments.

    Attributes
    ----------
    players
        Names, in the order of their parameters.
    own_parameters
        Groups of tensors that the method adds to the backbone's.
    stops
        Whether it has a stopping rule (`select: stop` in a paper file).
    protocols
        The protocols that set fields of it, or of its trials on one network.
    stages
        Its stages.
    """

    entry: MethodChoice
    players: list[str]
    own_parameters: list[str]
    stops: bool
    protocols: list[str]
    stages: Sequence[Stage]

    @classmethod
    def of(cls, entry: MethodChoice) -> Conduct:
        """Build the method and look at its players and tensors."""
        import torch

        values = {"_target_": f"{entry.target.__module__}.{entry.target.__qualname__}", **entry.values}
        method = build_component(values, Method, "method")  # type: ignore[type-abstract]
        network = MLP(depth=1, width=2, init="torch")
        initial = Model(*network.build((3,), 1, torch.Generator())).initial()
        extra = method.extra_parameters(lambda _: dict(initial), 2, torch.Generator())
        extra |= method.image_parameters(3, torch.Generator())
        ends = [f"_{entry.name}", *(f"_{entry.name}_{network.stem}" for network in yamls("backbone"))]
        stems = [path.stem for folder in ("method", "method_backbone") for path in yamls(f"protocol/{folder}")]
        named = {stem.removesuffix(end) for stem in stems for end in ends if stem.endswith(end)}
        return cls(
            entry,
            [player for player, names in method.players([*initial, *extra]).items() if names],
            list(dict.fromkeys(_group(name) for name in extra)),
            method.overrides(Method.stop),
            sorted(named),
            method.stages(),
        )

    @cached_property
    def cells(self) -> list[str]:
        """The method's line of the table."""
        target = self.entry.target
        return [
            f"`{self.entry.name}`",
            target.reference,
            ", ".join(self.players),
            default_lam(target) if target.uses_lam else "no",
            ", ".join(f"`{name}`" for name in self.own_parameters),
            _yes(self.stops),
            ", ".join(["paper", *self.protocols]),
        ]

    @cached_property
    def used(self) -> list[str]:
        """The method's line of the table of what it uses of the contract."""
        target = self.entry.target
        named = [f"({stage.name})" if stage.numbers_only else stage.name for stage in self.stages]
        overrides = ("combine", "image_parameters", "noise", "enter")
        combines, index, noise, enters = (
            _yes(getattr(target, name) is not getattr(Method, name)) for name in overrides
        )
        return [
            f"`{self.entry.name}`",
            ", ".join(named),
            combines,
            index,
            _yes(target.uses_side),
            noise,
            enters,
            _yes(target.stacks),
            _yes(target.compiles),
            str(_lines_of(target)),
        ]


HEADER = ["method", "paper and equation", "players", "lam", "own tensors", "stopping rule", "protocols"]
USED = ["method", "stages", "combine", "index", "side", "noise", "enter", "stacks", "compiles", "lines"]


def page(refused: list[str] | None = None) -> str:
    """Return `docs/methods.md`; for `refused` see `methods`."""
    conducts = [Conduct.of(entry) for entry in methods(refused)]
    first = _table([HEADER, *(conduct.cells for conduct in conducts)])
    second = _table([USED, *(conduct.used for conduct in conducts)])
    return "\n".join(
        ["# Methods", "", *_ABOUT, "", *first, "", "## What they use of the contract", "", *_ABOUT_USED, "", *second]
    )


def _table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, the first of them its header."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    printed = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [printed[0], rule, *printed[1:]]


_ABOUT = [
    "What every `method=NAME` is, in its default form on two environments; its parameters: `irm-sweeps methods`. `lam`",
    "is the penalty weight of a command that gives none; the class says where it is from (`default_lam`).",
    "All of them train classifiers, and all but CLOvE and RFC regressions; they resume to the bit, and pass",
    "`tests/methods/contract`. Written by `irm-sweeps methods --table`; a test holds this page to it.",
]


_ABOUT_USED = [
    "[Stages and gradients of its own](how_to/stages.md) explains these parts of the contract.",
    "",
    "* `stages`: the stages of its training; in brackets those that change numbers of the objective only",
    "* `combine`: whether it combines gradients of several objectives",
    "* `index`: whether it has tensors with a row for each training image, read by `Batch.index`",
    "* `side`: whether it needs side information of the images, `Batch.side`",
    "* `noise`: whether it draws random numbers in each step",
    "* `enter`: whether tensors get new values where a stage begins",
    "* `stacks`, `compiles`: whether its trials train as one stack, and whether `compile=true` works",
    "* `lines`: lines of code of its class and of the base classes in the same module, without comments and docstrings",
]


def _lines_of(target: type[Method]) -> int:
    """Return the lines of code of a class and its bases in its own module."""
    own = [cls for cls in target.__mro__ if cls.__module__ == target.__module__]
    return sum(map(_code_lines, own))


def _code_lines(cls: type) -> int:
    """Return the number of lines of a class that have code."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    texts: set[int] = set()
    numbers: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            texts.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        elif isinstance(node, ast.stmt | ast.expr | ast.arg):
            numbers.update((node.lineno, node.end_lineno or node.lineno))
    return len(numbers - texts)


def _group(name: str) -> str:
    """Return `adversary.*` for `adversary.0.weight`, `state.score.*` for `state.score.head.weight`, or a short name."""
    parts = name.split(".")
    kept = parts[: 2 if parts[0] == "state" else 1]
    return name if len(parts) == len(kept) else ".".join([*kept, "*"])


def default_lam(method: type[Method]) -> str:
    """Return the penalty weight that `lam=null` stands for, as it is typed; `?` if there is none."""
    return "?" if method.default_lam is None else written(method.default_lam)


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def methods(refused: list[str] | None = None) -> Iterator[MethodChoice]:
    """Yield every method that has a YAML in `conf/method/`.

    Parameters
    ----------
    refused
        Where to note why a YAML cannot be used; the others are yielded all the same.

    Raises
    ------
    UserError
        A YAML cannot be used, and there is no such list.
    """
    for path in yamls("method"):
        try:
            yield _choice(path)
        except UserError as error:
            if refused is None:
                raise
            refused.append(f"{path}: {error}")


def _choice(path: Path) -> MethodChoice:
    """Return the method of a YAML, as long as its class takes the fields that stand there."""
    values, _ = read_own_file(f"method/{path}")
    target = import_class(str(values.pop("_target_")), Method, "method")  # type: ignore[type-abstract]
    if unknown := [str(key) for key in values if key not in target.model_fields]:
        raise UserError(f"{target.__name__} has no field {unknown[0]}: remove it from {path.name}")
    return MethodChoice(path.stem, target, {str(key): value for key, value in values.items()})
