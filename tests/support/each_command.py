"""Run several `irm-sweeps` commands, or Python code, each in a fork of one process: imports are paid for once.

    python each_command.py '[["status"], ["-c", "print(1)"]]'

Prints a JSON list of exit code, stdout and stderr.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path


def answer(words: Sequence[str]) -> tuple[int, str, str]:
    """Run one command; return its exit code, stdout and stderr."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        if not (pid := os.fork()):
            for descriptor, path in ((1, out), (2, err)):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), descriptor)
            os._exit(code_of(words))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), out.read_text(), err.read_text()


def code_of(words: Sequence[str]) -> int:
    """Run a command in this process; return the exit code that it would have."""
    from irm_sweeps import cli

    try:
        if words[0] == "-c":
            exec(words[1], {})
        else:
            cli.main(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    import irm_sweeps.sweep.run
    import irm_sweeps.worker.worker  # noqa: F401

    print(json.dumps([answer(words) for words in json.loads(sys.argv[1])]))
