"""torch's Adam and SGD without the compiler.

torch wraps a few methods of every optimizer so that its compiler leaves them alone, and for that imports the compiler
(`torch._dynamo`, 2 CPU-seconds) at the first step of a process, compiled or not. Nobody compiles these
optimizers, so they use the methods beneath the wrappers.
"""

from __future__ import annotations

import inspect

import torch


class _Eager(torch.optim.Optimizer):
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class Adam(_Eager, torch.optim.Adam):
    """`torch.optim.Adam`, not differentiable."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


class SGD(_Eager, torch.optim.SGD):
    """`torch.optim.SGD`, not differentiable."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
