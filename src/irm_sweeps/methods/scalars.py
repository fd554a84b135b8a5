"""Say what is wrong with a value that should be a scalar tensor, e.g. an objective or a penalty."""

from __future__ import annotations

from torch import Tensor


def not_a_scalar(value: object) -> str:
    """Return what a value is in place of a scalar tensor, and how to mend it; empty if it is one.

    It may be under `torch.func.vmap`: of a tensor only the shape is looked at.
    """
    match value:
        case Tensor():
            return f"a tensor of shape {list(value.shape)}: reduce it with mean() or sum()" if value.ndim else ""
        case None:
            return "nothing: return a scalar tensor"
        case int() | float():
            return f"a value of type {type(value).__name__}: return a scalar tensor, without item()"
        case _:
            return f"a value of type {type(value).__name__}: return a scalar tensor"
