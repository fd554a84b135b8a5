"""The errors for keys that no config has: they suggest the key that may be meant, with its full path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from irm_sweeps.conf_folders import COMPONENTS, yamls
from irm_sweeps.errors import UserError
from irm_sweeps.typed_commands import command

SYNONYMS: dict[str, tuple[str, ...]] = {
    word: meant
    for words, meant in {
        "lambda lamda penalty penalty_weight penalty_lambda irm_lambda reg": ("lam",),
        "lr learning_rate eta step_size": ("optimizer.lr",),
        "wd l2_regularizer weight_decay": ("optimizer.weight_decay", "training.l2"),
        "batch bs minibatch minibatch_size batchsize": ("training.batch_size",),
        "step iters iterations n_steps num_steps max_steps n_iters num_iters": ("training.steps",),
        "epoch n_epochs num_epochs max_epochs": ("training.epochs",),
        "eval_every eval_interval eval_freq checkpoint_freq": ("training.evaluate_every",),
        "log_interval log_freq": ("training.log_every",),
        "dtype amp fp16 bf16": ("training.precision",),
        "hidden hidden_dim hidden_size units": ("backbone.width",),
        "layers n_layers num_layers hidden_layers": ("backbone.depth",),
        "pretrained weight": ("backbone.weights",),
        "noise flip_prob": ("dataset.label_noise",),
        "n n_samples num_samples train_size": ("dataset.n_train",),
        "random_seed seeds rng": ("seed",),
        "model net network arch architecture encoder": ("backbone",),
        "algorithm algo penalty_type": ("method",),
        "data dataset_name task benchmark": ("dataset",),
        "opt optim optimiser": ("optimizer",),
        "gpu gpus cuda accelerator": ("device",),
        "output out output_dir out_dir results_dir result_dir save_dir log_dir store": ("results",),
        "data_path datadir data_root root dataset_dir": ("data_dir",),
        "dry_run dryrun": ("plan",),
        "stack_size": ("stack",),
        "force overwrite": ("rerun",),
        "log logging tracker": ("logger",),
        "table figure": ("paper",),
        "recipe exp experiments": ("experiment",),
        "workers n_workers num_workers jobs n_jobs slots": ("hydra.launcher.slots",),
        "partition gpus_per_node timeout_min mem_gb": ("hydra/launcher",),
        "launcher cluster slurm": ("hydra/launcher",),
    }.items()
    for word in words.split()
}
"""Words of other programs -> the keys that say the same here."""


def unknown_key(key: str, config: Mapping[str, Any]) -> UserError:
    """Return the error for a key that a composed config does not have, with the keys that may be meant."""
    if key == "experiment":
        return UserError(
            "experiment: the recipe's first line must be `# @package _global_`, so that its keys are those of a trial"
        )
    return UserError(f"unknown key `{key}`" + (_hint(str(key), config) or f": see {command('launch')} --help"))


def unknown_field(place: str, owner: str, fields: Iterable[str]) -> str:
    """Return the message for a key of a YAML or a group that its class does not have.

    Parameters
    ----------
    place
        The key, e.g. `method.anneal`.
    owner
        Name of the class.
    fields
        The keys that the class has.
    """
    group, _, field = place.rpartition(".")
    own = [name for name in fields if name != "target"]
    choices = yamls_with(group, field)
    mistaken = [path for path in choices if _names_class(path, owner)]
    if choices and not mistaken:
        return f"unknown key `{place}`{_of_other_choices(owner, group, field, [path.stem for path in choices])}"
    where = f" in {mistaken[0]}" if mistaken else ""
    listing = _listing(owner, own) if owner and group else ""
    if meant := _nearest(field, own):
        # Deeper keys are written in a file, where the path is plain to see.
        path = f"{group}.{meant}" if group and "." not in group else meant
        return f"unknown key `{place}`{where} (did you mean `{path}`?)" + listing
    if mistaken and not any(_is_packages(path) for path in mistaken):
        where += f": annotate it in {owner} if that is to have it, e.g. `{field}: float`"
    return f"unknown key `{place}`{where}" + listing


def meant_by(word: str, known: Sequence[str] = ()) -> list[str]:
    """Return the dotted keys that a bare word may mean: keys that end in it, and those of a synonym.

    Without `known`, every synonym counts.
    """
    keys = [key for key in known if key.rpartition(".")[2] == word]
    for synonym in SYNONYMS.get(word, ()):
        if synonym not in keys and (not known or synonym in known or synonym.startswith("hydra")):
            keys.append(synonym)
    return keys


def yamls_with(group: str, field: str) -> list[Path]:
    """Return the YAMLs of a config group that have a key; one that cannot be read has none."""
    if group not in COMPONENTS or not re.fullmatch(r"\w+", field):
        return []
    written = re.compile(rf"^[\"']?{field}[\"']?\s*:", re.MULTILINE)
    return [path for path in yamls(group) if written.search(_text(path))]


def choices_with(group: str, field: str) -> list[str]:
    """Return the choices of a config group whose YAML has a key, by name."""
    return [path.stem for path in yamls_with(group, field)]


def _names_class(path: Path, name: str) -> bool:
    """Return whether the `_target_` of a YAML is a class of this name."""
    named = rf"^_target_\s*:\s*[\"']?(\w+\.)*{re.escape(name)}[\"']?\s*(#.*)?$"
    return re.search(named, _text(path), re.MULTILINE) is not None


def _is_packages(path: Path) -> bool:
    """Return whether the `_target_` of a YAML is a class of this package."""
    return re.search(r"^_target_\s*:\s*[\"']?irm_sweeps\.", _text(path), re.MULTILINE) is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # which whoever chooses it is told
        return ""


def _hint(key: str, config: Mapping[str, Any]) -> str:
    known = list(_dotted(config))
    group, _, field = key.rpartition(".")
    if not group:
        return _hint_for_bare(key, known)
    if group in config and isinstance(values := config[group], Mapping):
        owner = str(values.get("_target_", group)).rpartition(".")[2]
        siblings = [name for name in values if name != "_target_"]
        if choices := choices_with(group, field):
            return _of_other_choices(owner, group, field, choices)
        if meant := [k for k in meant_by(field, known) if k != key]:
            return _asking(meant) + _listing(owner, siblings)
        if nearest := _nearest(field, siblings):
            return _asking([f"{group}.{nearest}"]) + _listing(owner, siblings)
        return _listing(owner, siblings).replace("; ", ": ", 1)
    if group == "paper":
        return ": paper=NAME chooses a paper file, whose keys these are, e.g. paper=demo"
    if (nearest := _nearest(group, list(config))) and f"{nearest}.{field}" in known:
        return _asking([f"{nearest}.{field}"])
    return _asking(meant) if (meant := meant_by(field, known)) and known else ""


def _hint_for_bare(word: str, known: Sequence[str]) -> str:
    if meant := meant_by(word, known):
        return _asking(meant)
    with_it = {group: choices for group in COMPONENTS if (choices := choices_with(group, word))}
    if with_it:
        keys = " or ".join(f"`{group}.{word}` of {group}={', '.join(names)}" for group, names in with_it.items())
        return f" (did you mean {keys}?)"
    top = [key for key in known if "." not in key]
    if (nearest := _nearest(word, top, at_least=0.7)) is None:
        deeper = {key.rpartition(".")[2]: key for key in known if "." in key and not key.endswith("_target_")}
        deeper |= {synonym: keys[0] for synonym, keys in SYNONYMS.items() if keys[0] in known}
        if (nearest := _nearest(word, list(deeper), at_least=0.75)) is not None:
            return _asking([deeper[nearest]])
        nearest = _nearest(word, top)
    return _asking([nearest]) if nearest else ""


def _of_other_choices(owner: str, group: str, field: str, choices: Sequence[str]) -> str:
    has = "has" if len(choices) == 1 else "have"
    return f": {owner} has no {field}; {group}={', '.join(choices)} {has} it"


def _listing(owner: str, fields: Sequence[str]) -> str:
    return f"; {owner} has {', '.join(fields)}" if fields else f"; {owner} has no keys"


def _asking(keys: Sequence[str]) -> str:
    return f" (did you mean {' or '.join(f'`{key}`' for key in keys)}?)"


def _nearest(word: str, known: Sequence[str], at_least: float = 0.5) -> str | None:
    """Return the known word that is most like `word`; None if none is near (1: equal)."""
    ratios = {name: SequenceMatcher(None, name, word[:80]).ratio() for name in known}
    best = max(ratios, key=lambda name: (ratios[name], name), default=None)
    return best if best is not None and ratios[best] >= at_least else None


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
