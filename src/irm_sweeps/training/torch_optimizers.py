"""torch's Adam and SGD, without importing torch's compiler.

torch wraps `step`, `zero_grad` and `add_param_group` of every optimizer to exclude them from compilation. At the first
step of a process the wrappers import the compiler (`torch._dynamo`, 2 CPU-seconds), even if nothing is compiled. These
optimizers are never compiled, so the classes here use the unwrapped methods.
"""

from __future__ import annotations

import inspect

import torch


class _Unwrapped(torch.optim.Optimizer):
    """A torch optimizer with the unwrapped `add_param_group` and `zero_grad`."""

    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class Adam(_Unwrapped, torch.optim.Adam):
    """`torch.optim.Adam` with the unwrapped `step`; the step cannot be differentiated."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class SGD(_Unwrapped, torch.optim.SGD):
    """`torch.optim.SGD` with the unwrapped `step`; the step cannot be differentiated."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
