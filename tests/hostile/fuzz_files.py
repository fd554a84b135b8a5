"""Coverage-guided fuzzing of the readers, by hand: `python tests/hostile/fuzz_files.py result -max_total_time=600`.

Targets: `result` (every reader of a result file), `config` (a stored config), `checkpoint`, `json` (strict JSON against
Python's). Needs `pip install atheris`, which has wheels for some versions of Python only; the tests do without. A
crash leaves its input in `crash-*`; the same command with that file's name runs it again.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "analysis"), str(ROOT / "src")]

import atheris  # noqa: E402

with atheris.instrument_imports(include=["irm_sweeps", "inventory"]):
    from hostile.targets import CONFIG, RESULT, a_checkpoint, a_config, a_result
    from irm_sweeps.untrusted import parse_json


def result(content: bytes) -> None:
    """Read the bytes as a result file."""
    with tempfile.TemporaryDirectory() as folder:
        a_result(content, Path(folder))


def config(content: bytes) -> None:
    """Read the bytes as a stored config."""
    try:
        values = parse_json(content)
    except ValueError:
        return
    if isinstance(values, dict):
        a_config(values, trusted=False)


def strict_json(content: bytes) -> None:
    """Read the bytes as JSON, twice."""
    try:
        found = parse_json(content)
    except ValueError:
        return
    assert found == json.loads(content) or b"\\u" in content


TARGETS: dict[str, tuple[Callable[[bytes], None], list[bytes]]] = {
    "result": (result, [json.dumps(RESULT).encode()]),
    "config": (config, [json.dumps(CONFIG).encode()]),
    "checkpoint": (a_checkpoint, [(2).to_bytes(8, "little") + b"{}"]),
    "json": (strict_json, [json.dumps(CONFIG).encode(), b'{"a": [1e3, -0.5, "\\ud800", null]}']),
}


def main() -> None:
    """Fuzz one target, from its valid examples."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"give one of {', '.join(TARGETS)}, then libFuzzer's options")
    target, seeds = TARGETS[sys.argv.pop(1)]
    with tempfile.TemporaryDirectory() as corpus:
        for i, seed in enumerate(seeds):
            (Path(corpus) / str(i)).write_bytes(seed)
        given = [word for word in sys.argv[1:] if not word.startswith("-")]
        atheris.Setup([*sys.argv, *([] if given else [corpus])], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
