"""Every method that has a YAML: its paper, its parameters, and what its players and tensors are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from irm_sweeps.analysis.text_grid import flowed
from irm_sweeps.backbones.backbone import Model
from irm_sweeps.backbones.mlp import MLP
from irm_sweeps.compose import conf_dir, yamls
from irm_sweeps.config import build_component, import_class
from irm_sweeps.methods.method import Method
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
        The protocols that set fields of it.
    """

    entry: MethodChoice
    players: list[str]
    own_parameters: list[str]
    stops: bool
    protocols: list[str]

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
        named = sorted((conf_dir() / "protocol" / "method").glob(f"*_{entry.name}.yaml"))
        return cls(
            entry,
            [player for player, names in method.players([*initial, *extra]).items() if names],
            list(dict.fromkeys(_group(name) for name in extra)),
            type(method).stop is not Method.stop,
            [path.stem.removesuffix(f"_{entry.name}") for path in named],
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
            _yes(target.stacks),
            ", ".join(f"`{name}`" for name in self.own_parameters),
            _yes(self.stops),
            ", ".join(["paper", *self.protocols]),
        ]


HEADER = ["method", "paper and equation", "players", "lam", "stacks", "own tensors", "stopping rule", "protocols"]


def page() -> str:
    """Return `docs/methods.md`."""
    lines = [HEADER, *(Conduct.of(entry).cells for entry in methods())]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    printed = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join(["# Methods", "", *_ABOUT, "", printed[0], rule, *printed[1:]])


_ABOUT = [
    "What every `method=NAME` is, in its default form on two environments; its parameters: `irm-sweeps methods`. `lam`",
    "is the penalty weight of a command that gives none; the class says where it is from (`default_lam`).",
    "All of them train classifiers, and all but CLOvE and RFC regressions; they resume to the bit, and pass",
    "`tests/methods/contract`. Written by `irm-sweeps methods --table`; a test holds this page to it.",
]


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


def methods() -> Iterator[MethodChoice]:
    """Yield every method that has a YAML in `conf/method/`."""
    from omegaconf import OmegaConf

    for path in yamls("method"):
        values = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(values, dict)
        target = import_class(str(values.pop("_target_")), Method, "method")  # type: ignore[type-abstract]
        yield MethodChoice(path.stem, target, {str(key): value for key, value in values.items()})
