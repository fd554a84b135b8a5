"""Coverage-guided fuzzing of the readers, by hand: `python tests/hostile/fuzz_files.py result -max_total_time=180`.

Targets: `result` (every reader of a result file), `config` (a stored config), `checkpoint`, `json` (strict JSON against
Python's). Needs `pip install atheris`, which has wheels for Linux and some versions of Python; the tests do without. A
crash leaves its input in `crash-*`; the same command with that file's name runs it again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "src")]

import atheris  # noqa: E402

WATCHED = ["irm_sweeps", "inventory"]
with atheris.instrument_imports(include=WATCHED):
    from hostile.targets import TARGETS
from hostile.mutations import changed  # noqa: E402


def mutate(content: bytes, at_most: int, seed: int) -> bytes:
    """Replace a value of a JSON text every other time; else let libFuzzer change bytes."""
    other = changed(content, seed) if seed % 2 else None
    if other is None or len(other) > at_most:
        return bytes(atheris.Mutate(content, at_most))
    return other


def main() -> None:
    """Fuzz one target, from its valid examples."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        raise SystemExit(f"give one of {', '.join(TARGETS)}, then libFuzzer's options")
    target = TARGETS[sys.argv.pop(1)]
    given = [word for word in sys.argv[1:] if not word.startswith("-")]
    with tempfile.TemporaryDirectory() as corpus:
        for i, example in enumerate(target.examples):
            with atheris.instrument_imports(include=WATCHED):  # also what is imported on the way
                assert target.read(example), f"an example that is invalid: {example!r}"
            (Path(corpus) / str(i)).write_bytes(example)
        folders = [] if given else [corpus]

        def once(content: bytes) -> None:
            target.read(content)

        atheris.Setup([*sys.argv, *folders], once, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
