"""Readers and config composition on random inputs: a value or a one-line error, and nothing else."""

from __future__ import annotations

import functools
import json
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hostile.mutations import STRANGE_NUMBERS, STRANGE_WORDS, changed, places, replaced
from hostile.targets import (
    CONFIG,
    HEADER,
    RESULT,
    TARGETS,
    TRIAL_ID,
    a_checkpoint,
    a_config,
    a_header,
    a_result,
    or_one_line,
)
from irm_sweeps.compose import compose
from irm_sweeps.config import Settings
from irm_sweeps.errors import UserError, one_line, printable
from irm_sweeps.files.untrusted import DEPTH, parse_json
from irm_sweeps.launchers.slurm_options import SlurmOptions
from irm_sweeps.overrides.own_yaml import own_file, read_own_file
from irm_sweeps.sweep.grid import expand
from irm_sweeps.trial import Trial

FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

STRANGE = st.sampled_from(STRANGE_WORDS) | st.sampled_from(STRANGE_NUMBERS)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | STRANGE
KEYED = st.text(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda own: st.lists(own, max_size=3) | st.dictionaries(KEYED, own, max_size=3), max_leaves=8
)


@FUZZ
@given(st.sampled_from(places(CONFIG)[1:]), VALUES, st.booleans())
def test_any_value_anywhere_in_a_config(place: tuple[Any, ...], value: Any, trusted: bool) -> None:
    a_config(replaced(CONFIG, place, value), trusted=trusted)


@FUZZ
@given(st.dictionaries(st.sampled_from(list(CONFIG)) | st.text(max_size=5) | st.integers(), VALUES, max_size=8))
def test_any_mapping_as_a_config(values: dict[Any, Any]) -> None:
    a_config(values, trusted=False)
    a_config({**CONFIG, **values}, trusted=False)


@settings(FUZZ, max_examples=80)
@given(place=st.sampled_from(places(RESULT)), value=VALUES)
def test_any_value_anywhere_in_a_result(place: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    """Its readers all have their say, or all of them are told the same."""
    a_result(json.dumps(replaced(RESULT, place, value)).encode(), tmp_path)


@settings(FUZZ, max_examples=40)
@given(content=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="replace")))
@example(content=b"[" * 100_000)
@example(content=b'{"a":' * 100_000)
@example(content=json.dumps(RESULT).encode())
def test_any_bytes_as_a_result(content: bytes, tmp_path: Path) -> None:
    a_result(content, tmp_path)


@settings(FUZZ, max_examples=40)
@given(at=st.integers(0, 2000), change=st.binary(min_size=1, max_size=4))
def test_a_result_with_any_bytes_changed(at: int, change: bytes, tmp_path: Path) -> None:
    whole = json.dumps(RESULT).encode()
    at %= len(whole)
    a_result(whole[:at] + change + whole[at + len(change) :], tmp_path)


@FUZZ
@given(st.binary(max_size=400), st.integers(0, 2**64 - 1))
def test_any_bytes_as_a_checkpoint(content: bytes, size: int) -> None:
    a_checkpoint(content)
    a_checkpoint(size.to_bytes(8, "little") + content)


@FUZZ
@given(st.sampled_from(places(HEADER)), VALUES)
def test_any_value_anywhere_in_the_header_of_a_checkpoint(place: tuple[Any, ...], value: Any) -> None:
    a_header(json.dumps(replaced(HEADER, place, value)).encode())


@FUZZ
@given(VALUES)
def test_strict_json_agrees_with_json(value: Any) -> None:
    """What it accepts it reads as Python does; what it refuses is not finite, too large, or half a character."""
    text = json.dumps(value)
    try:
        found = parse_json(text)
    except ValueError:
        assert any(word in text for word in ("NaN", "Infinity")) or any(len(run) > 18 for run in digits(text))
    else:
        assert found == json.loads(text) or "\\ud" in text


def digits(text: str) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in text).split()


@pytest.mark.parametrize("depth", [DEPTH - 1, DEPTH, DEPTH + 1, 10**5])
def test_depth_has_a_bound(depth: int) -> None:
    text = "[" * depth + "]" * depth
    if depth <= DEPTH:
        assert parse_json(text) is not None
    else:
        with pytest.raises(ValueError, match=f"nested more than {DEPTH} deep"):
            parse_json(text)


@FUZZ
@given(st.text())
def test_printable_is_printable(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert all(c.isprintable() or c.isspace() for c in shown)
    assert not set(shown) & set("\r\x0b\x0c\x1b\x85\u2028\u2029"[:5])
    assert "\n" not in one_line(text)


KEYS = [
    "lam",
    "seed",
    "method",
    "dataset.n_train",
    "training.steps",
    "stack",
    "results",
    "optimizer",
    "hydra.launcher.slots",
]
GRAMMAR = "=,()[]{}'\"\\$:;~+*- \n\t#%@/.&|<>0123456789eNaN" + string.ascii_letters[:6]


WRITTEN = st.text(GRAMMAR, max_size=12)
PREFIX = st.sampled_from(["", "+", "++", "~"])
OVERRIDE = st.builds("{}{}={}".format, PREFIX, st.sampled_from(KEYS), WRITTEN)


@settings(FUZZ, max_examples=25)
@given(st.lists(OVERRIDE | WRITTEN, max_size=2))
@example(["lam=" + "[" * 3000])
@example(["lam=${lam}"])
@example(["lam=${seed}", "seed=${lam}"])
@example(["seed=range(0,1e400)"])
@example(["seed=range(0,5,0)"])
@example(["seed=range(0,1000000000000)"])
@example(["lam=${oc.env:NO_SUCH_VARIABLE}"])
@example(["lam=${eval:1}"])
@example(["method=../config"])
@example(["method=/etc/passwd"])
@example(["+paper=../../x"])
def test_any_words_as_overrides(overrides: list[str]) -> None:
    with or_one_line(UserError):
        for config in _first(expand(overrides), 3):
            Trial.from_config(config)
            Settings.from_config(config)


def _first(values: Any, n: int) -> list[Any]:
    return [value for value, _ in zip(values, range(n), strict=False)]


@FUZZ
@given(content=st.binary(max_size=100) | st.text(GRAMMAR + "!&*?|>", max_size=60).map(str.encode))
@example(content=b"[" * 5000)
@example(content=b"a: &a [" + b"*a," * 10)
@example(content=b"a: !!python/object/apply:os.system ['touch x']")
@example(content=b"_target_: ${oc.env:HOME}.x")
@example(content=b"a: &a ['x']\nb: &b [*a,*a]\n_target_: irm_sweeps.methods.erm.ERM")
def test_any_bytes_as_an_own_yaml(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(content)
    assert own_file(f"method/{path}") == ("method", path)
    with or_one_line(UserError):
        values, _ = read_own_file(f"method/{path}")
        Trial.from_config({**CONFIG, "method": values})


@functools.cache
def slurm() -> dict[str, Any]:
    from omegaconf import OmegaConf

    from irm_sweeps.conf_folders import conf_dir

    values = OmegaConf.to_container(OmegaConf.load(conf_dir() / "hydra" / "launcher" / "slurm.yaml"))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items() if not str(key).startswith("_")}


@FUZZ
@given(st.sampled_from(sorted(slurm())), VALUES)
def test_any_value_as_an_option_of_slurm(field: str, value: Any) -> None:
    with or_one_line(UserError, naming=f"hydra.launcher.{field}"):
        SlurmOptions.from_config({**slurm(), field: value}).parameters()


def test_what_is_fuzzed_is_valid_before_it_is() -> None:
    assert compose(["method=irmv1"])["method"]["_target_"] == CONFIG["method"]["_target_"]
    assert RESULT["trial_id"] == TRIAL_ID


@pytest.mark.parametrize("name", TARGETS)
def test_what_fuzz_files_begins_from_is_read_to_its_end(name: str) -> None:
    """As given, and in part as it is changed: what no change leaves valid is fuzzed no deeper than its first check."""
    target = TARGETS[name]
    for content in target.examples:
        assert target.read(content)
        others = [other for seed in range(60) if (other := changed(content, seed))]
        assert {target.read(other) for other in others} == {True, False}
