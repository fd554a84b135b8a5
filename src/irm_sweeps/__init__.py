"""Experiment sweeps for invariant-learning research: from one command to the paper's table.

`irm_sweeps.load_results("results")` reads a store into pandas (see docs/notebooks.md); the rest is commands.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irm_sweeps.store.frame import load_results

__all__ = ["load_results"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `load_results` when it is first asked for: every worker imports this package, few need pandas."""
    if name in __all__:
        from irm_sweeps.store import frame

        return getattr(frame, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
