"""What this version offers: every method, with its paper, its parameters and whether it stacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from irm_sweeps.compose import conf_dir, own_conf_dir
from irm_sweeps.config import import_class
from irm_sweeps.methods.method import Method


@dataclass(frozen=True)
class Entry:
    """One `method=NAME`."""

    name: str
    target: type[Method]
    values: dict[str, Any]

    def text(self) -> str:
        """Return name, reference, first line of the docstring, and the parameters with their defaults."""
        summary = (self.target.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")
        stacks = "stacks" if self.target.stacks else "runs alone"
        lam = "uses lam" if self.target.uses_lam else "no lam"
        lines = [f"{self.name}  ({stacks}, {lam})  {self.target.reference}", f"    {summary}"]
        for field_name, value in self.values.items():
            about = self.target.model_fields[field_name].description or ""
            lines.append(f"    method.{field_name}={value}  {' '.join(about.split())}")
        return "\n".join(lines)


def methods() -> Iterator[Entry]:
    """Yield every method that has a YAML in `conf/method/`."""
    from omegaconf import OmegaConf

    folders = [folder for folder in (conf_dir(), own_conf_dir()) if folder is not None]
    for path in sorted(path for folder in folders for path in (folder / "method").glob("*.yaml")):
        values = OmegaConf.to_container(OmegaConf.load(path))
        assert isinstance(values, dict)
        target = import_class(str(values.pop("_target_")), Method, "method")  # type: ignore[type-abstract]
        yield Entry(path.stem, target, {str(key): value for key, value in values.items()})
