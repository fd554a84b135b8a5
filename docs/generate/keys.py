"""The pages of keys: types, bounds and meaning from the pydantic schema, defaults and the rest from the YAMLs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from irm_sweeps.overrides.key_meanings import comments

CONF = Path(__file__).resolve().parents[2] / "conf"
MARK = "°"
"""Stands at a key in which trials of one stack may differ."""
REQUIRED = "**required**"
"""Stands where a key of a paper file has no default."""

GROUPS = {
    "datasets": ("Datasets", "dataset", "What a trial trains and is tested on."),
    "backbones": ("Backbones", "backbone", "The network, in two halves: representation and head."),
    "method_keys": ("Methods", "method", "The game; [the table of methods](../methods.md) compares them."),
    "optimizers": ("Optimizers", "optimizer", "What turns gradients into updates."),
    "loggers": (
        "Loggers",
        "logger",
        "Where training curves go besides `history.jsonl`; not in a trial's identity.",
    ),
    "launchers": ("Launchers", "hydra/launcher", "Who starts the workers; not in a trial's identity."),
}
"""By page: title, config group, what it chooses."""

_NOTE = f"Trials of one stack may differ in the keys marked {MARK} (and in `seed`)."


@dataclass(frozen=True)
class Key:
    """One line of a table."""

    name: str
    default: str
    kind: str
    about: str

    def cells(self) -> list[str]:
        """Return the line's cells."""
        return [f"`{self.name}`", self.default, self.kind, self.about]


def pages() -> dict[str, str]:
    """Return every page by its place in the site."""
    found = {f"reference/{name}.md": "\n".join(_group_page(*about)) for name, about in GROUPS.items()}
    found["reference/keys.md"] = "\n".join(_trial_page())
    found["reference/papers.md"] = "\n".join(_paper_page())
    return found


def _trial_page() -> Iterator[str]:
    from irm_sweeps.config import Settings, Training
    from irm_sweeps.trial import Trial

    path = CONF / "config.yaml"
    values, told = yaml.safe_load(path.read_text()), comments(path)
    yield "# Keys of a trial\n"
    yield "What `python launch.py KEY=VALUE` takes besides the chosen groups' keys. Defaults: `conf/config.yaml`.\n"
    yield "## Choices\n"
    chosen = {k: v for entry in values["defaults"] if isinstance(entry, dict) for k, v in entry.items()}
    choices: list[list[str]] = []
    for group in (
        "dataset",
        "backbone",
        "method",
        "optimizer",
        "protocol",
        "experiment",
        "logger",
        "paper",
        "hydra/launcher",
    ):
        default = chosen.get(group, chosen.get(f"override {group}"))
        names = ", ".join(f"`{file.stem}`" for file in sorted((CONF / group).glob("*.yaml")))
        choices.append([f"`{group}`", _value(default), names])
    yield from _table(choices, ["group", "default", "choices"])
    yield "A choice is also the path of a YAML of your own, in `dataset`, `backbone`, `method` and `optimizer`.\n"
    yield (
        "`experiment=NAME` is a recipe: its values stand in place of the defaults, and what is typed in place of its\n"
        "values; its name is no part of a trial's identity. Values that go together are paired axes:\n"
        "`'x=zip(method=[irmv1,vrex],lam=[1e4,1e3])'`, where `choice(...)`, `range(...)`, `glob(...)` are lists too.\n"
    )
    yield "## What is trained\n"
    yield "All of it is part of [the trial's identity](../explanation/identity.md). " + _NOTE + "\n"
    fields = {name: Trial.model_fields[name].description or "" for name in ("lam", "seed")}
    schema = Trial.model_json_schema()["properties"]
    trial = [Key(k, _value(values[k]), _kind(schema[k], {}), _cell(about)) for k, about in fields.items()]
    yield from _table(_cells([*trial, *_keys(Training, values["training"], told, "training.")]))
    yield "## How it is run\n"
    yield "Nothing here changes a result, and none of it is part of a trial's identity.\n"
    settings = {k: v for k, v in values.items() if k in Settings.model_fields}
    yield from _table(_cells(_keys(Settings, settings, told)))


def _group_page(title: str, group: str, about: str) -> Iterator[str]:
    yield f"# {title}\n"
    yield f"`{group}=NAME`. {about}\n"
    if group in ("dataset", "backbone", "method", "optimizer"):
        yield _NOTE + "\n"
    for path in sorted((CONF / group).glob("*.yaml")):
        values, told = yaml.safe_load(path.read_text()), comments(path)
        model, target = _model(str(values.pop("_target_")))
        yield f"## `{path.stem}`\n"
        yield " ".join([told.get("", ""), f"Class: `{target}`."]).strip() + "\n"
        prefix = "hydra.launcher." if group == "hydra/launcher" else f"{group}."
        if values:
            yield from _table(_cells(_keys(model, values, told, prefix)))


def _paper_page() -> Iterator[str]:
    from irm_sweeps.sweep.paper import Column, Departure, Figure, Paper, Rerun, Row

    yield "# Keys of a paper file\n"
    yield "`conf/paper/NAME.yaml`, or `paper/NAME.yaml` in your own folder: [a how-to](../how_to/paper_table.md).\n"
    yield "A key without a default is required: a file that lacks it is refused, in one line that names the key.\n"
    titles = {
        Paper: "The file",
        Row: "A row",
        Column: "A column",
        Departure: "A departure from the text",
        Rerun: "A rerun of the published code",
        Figure: "A figure",
    }
    for model, title in titles.items():
        yield f"## {title}\n"
        yield (model.__doc__ or "").strip() + "\n"
        fields = model.model_fields.items()
        values = {name: field.get_default(call_default_factory=True, validated_data={}) for name, field in fields}
        yield from _table(_cells(_keys(model, values, {})))


def _model(target: str) -> tuple[Any, str]:
    """Return the pydantic model behind a YAML (of a launcher, whose class is Hydra's, its options if it has any)."""
    import importlib

    module, _, name = target.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    if name == "SlurmLauncher":
        from irm_sweeps.launchers.slurm_options import SlurmOptions

        return SlurmOptions, "irm_sweeps.launchers.slurm.Slurm"
    return (found if hasattr(found, "model_fields") else None), target


def _keys(model: Any, values: Mapping[str, Any], told: Mapping[str, str], prefix: str = "") -> Iterator[Key]:
    """Yield a line for each value; a meaning that the schema lacks is the YAML's comment."""
    schema = model.model_json_schema() if model else {}
    marked = model.per_trial_fields() if model else []
    for name, value in values.items():
        described = schema.get("properties", {}).get(name, {})
        about = described.get("description") or told.get(name, "")
        kind = _kind(described, schema.get("$defs", {})) if described else ""
        shown = f"{prefix}{name}"
        if name in marked:
            kind = f"{kind} {MARK}"
        yield Key(shown, _value(value), kind, _cell(about))


def _kind(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """Return a type with its bounds in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(part, defs) for part in schema["anyOf"]))
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2].lower()
    if "enum" in schema:
        return ", ".join(f"`{word}`" for word in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    kind = schema.get("type")
    if kind == "array":
        inner = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {_kind(inner, defs)}" if inner else "list"
    if kind in ("integer", "number"):
        signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        bounds = ", ".join(f"{sign} {schema[key]:g}" for key, sign in signs.items() if schema.get(key) is not None)
        return " ".join(["whole number" if kind == "integer" else "number", bounds]).strip()
    words = {"null": "null", "string": "text", "boolean": "true or false", "object": "mapping"}
    return words.get(str(kind), "")


def _value(value: Any) -> str:
    if value is PydanticUndefined:
        return REQUIRED
    return f"`{value if value and isinstance(value, str) else json.dumps(value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _cells(keys: Iterable[Key]) -> list[list[str]]:
    return [key.cells() for key in keys]


def _table(rows: Iterable[list[str]], header: Sequence[str] = ("key", "default", "type", "meaning")) -> Iterator[str]:
    yield '<div class="keys" markdown="1">\n'
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield "\n</div>\n"
