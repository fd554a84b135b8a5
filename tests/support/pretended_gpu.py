"""A simulated GPU: tensors that claim to be on `cuda` while the CPU holds their values, and checks of a GPU's rules.

torch's FakeTensorMode fails in the first backward pass without a CUDA driver, because autograd's engine needs streams.
So this module marks the storage of a tensor instead. `tensor.device` of a marked tensor is `cuda:0`. Every operation
below autograd and vmap is checked: it must not mix tensors of host and device, and operations that would make the
host wait for the device are recorded. The values are real, so trainings run to their end.

Not simulated: the lists by which autocast on CUDA chooses number formats (the CPU's are used), memory, time, streams,
and the behaviour of CUDA's kernels.
"""

from __future__ import annotations

import os
import weakref
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from irm_sweeps.training.lit_channels import LitChannels

DEVICE = torch.device("cuda")
_SHOWN = torch.device("cuda:0")
_HOST = torch.device("cpu")

READS = (
    *("_local_scalar_dense", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"),
    *("repeat_interleave", "bincount", "_linalg_check_errors"),
)
"""Operations whose result, or the result's shape, must be read by the host."""
SENDS = ("where", "clamp", "clamp_min", "clamp_max")
"""Operations that copy a 0-d tensor of the host to the device, and wait for the copy."""
NOT_NUMBERS = ("cat", "stack", "mm", "addmm", "bmm", "index_select", "gather", "scatter", "index_copy", "index_copy_")
"""Operations that do not accept even a 0-d tensor of the host together with tensors of the device."""

BY_LISTS = (Tensor.__getitem__, Tensor.__setitem__)
"""Calls that create host tensors from lists; other calls create tensors where their arguments are."""


class WrongDevice(Exception):
    """An operation mixes tensors of host and device, which CUDA refuses."""


class _Marks:
    """Records which storages are on the device, and which of the host's are pinned."""

    def __init__(self) -> None:
        self._places: dict[int, str] = {}

    def put(self, tensor: Tensor, place: str) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._places:
            weakref.finalize(storage, self._places.pop, storage._cdata, None)
        self._places[storage._cdata] = place
        return tensor

    def place(self, tensor: Tensor) -> str:
        while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            tensor = torch._C._functorch.get_unwrapped(tensor)
        return self._places.get(tensor.untyped_storage()._cdata, "host")

    def on_device(self, tensor: Tensor) -> bool:
        return self.place(tensor) == "device"


class _Operations(TorchDispatchMode):
    """Checks the operations below autograd and vmap, and marks their results."""

    def __init__(self, gpu: PretendedGPU) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        marks, name = self._gpu.marks, func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if marks.on_device(tensor)]
        if there:
            self._gpu.operations.add(name)
            self._check(name, args, [t for t in tensors if not marks.on_device(t)])
        out = func(*args, **(kwargs or {}))
        made_there = self._gpu.made_inside or (self._gpu.indexes_there and name == "arange")
        if (there or (not tensors and made_there)) and name not in READS[:3]:
            for made in tree_leaves(out):
                if isinstance(made, Tensor):
                    marks.put(made, "device")
        return out

    def _check(self, name: str, args: Any, here: list[Tensor]) -> None:
        indexing = name in ("index", "index_put", "index_put_")
        by_mask = indexing and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if name in READS or by_mask:
            self._gpu.waits.append(name)
        if not here:
            return
        if indexing or name == "copy_" or (name in SENDS and not any(tensor.ndim for tensor in here)):
            self._gpu.waits.append(f"{name} between host and device")
        elif name in NOT_NUMBERS or any(tensor.ndim for tensor in here):
            raise WrongDevice(
                f"{name} of tensors of the device and {[list(tensor.shape) for tensor in here]} of the host"
            )


class _Calls(TorchFunctionMode):
    """Answers queries of a tensor's device, and simulates copies between devices."""

    def __init__(self, gpu: PretendedGPU) -> None:
        super().__init__()
        self._gpu, self._within = gpu, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        gpu, name = self._gpu, getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and func == Tensor.device.__get__:
            return _SHOWN if gpu.marks.on_device(first) else _HOST
        if first is not None and func in (Tensor.to, Tensor.cpu, Tensor.cuda, Tensor.pin_memory):
            return gpu.moved(first, func, list(args[1:]), dict(kwargs))
        if first is not None and func is Tensor.type_as:
            return gpu.moved(first, Tensor.to, [args[1]], {})
        if first is not None and func is Tensor.new_tensor and gpu.marks.on_device(first):
            gpu.waits.append(f"{name} copied from pageable memory")
        if first is not None and func in (Tensor.tolist, Tensor.numpy) and gpu.marks.on_device(first):
            if func is Tensor.numpy:
                raise WrongDevice("numpy of a tensor of the device")
            gpu.waits.append(name)
        if "device" in kwargs and kwargs["device"] is not None and torch.device(kwargs["device"]).type == "cuda":
            made = func(*args, **{**kwargs, "device": _HOST})
            if func in (torch.tensor, torch.as_tensor, torch.asarray):
                gpu.waits.append(f"{name} copied from pageable memory")
            return gpu.marks.put(made, "device")
        if any(issubclass(kind, LitChannels) for kind in types) and not self._within:
            # The overrides of this class query devices too.
            self._within = True
            try:
                with self:
                    return LitChannels.__torch_function__(func, types, args, kwargs)
            finally:
                self._within = False
        before, is_there = (gpu.made_inside, gpu.indexes_there), self._any_there(args, kwargs)
        gpu.made_inside, gpu.indexes_there = is_there and func not in BY_LISTS, is_there and func in BY_LISTS
        try:
            return func(*args, **kwargs)
        finally:
            gpu.made_inside, gpu.indexes_there = before

    def _any_there(self, args: Any, kwargs: Any) -> bool:
        return any(isinstance(x, Tensor) and self._gpu.marks.on_device(x) for x in tree_leaves((args, kwargs)))


class PretendedGPU:
    """A context in which `torch.device("cuda")` can be trained on.

    Attributes
    ----------
    waits
        Operations that would have made the host wait for the device, since the list was last cleared.
    operations
        Names of the ATen operations on tensors of the device.
    """

    def __init__(self) -> None:
        self.marks = _Marks()
        self.waits: list[str] = []
        self.operations: set[str] = set()
        self.made_inside = False
        """Whether the current call creates its tensors on the device."""
        self.indexes_there = False
        """Whether the current call indexes a tensor of the device; vmap then numbers the trials there (`arange`)."""
        self._stack = ExitStack()

    def __enter__(self) -> PretendedGPU:
        autocast = torch.autocast
        for target, name, value in (
            (torch, "autocast", lambda kind, *a, **k: autocast("cpu" if kind == "cuda" else kind, *a, **k)),
            (torch.cuda, "synchronize", lambda device=None: self.waits.append("synchronize")),
        ):
            self._stack.enter_context(patch.object(target, name, value))
        self._stack.enter_context(patch.dict(os.environ))
        self._stack.enter_context(_Operations(self))
        self._stack.enter_context(_Calls(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def moved(self, tensor: Tensor, func: Any, args: list[Any], kwargs: dict[str, Any]) -> Tensor:
        """Simulate `to`, `cpu`, `cuda` or `pin_memory`."""
        there = self.marks.on_device(tensor)
        if func is Tensor.pin_memory:
            if there:
                raise WrongDevice("pin_memory of a tensor of the device")
            return self.marks.put(tensor.clone(), "pinned")
        target = {Tensor.cpu: _HOST, Tensor.cuda: _SHOWN}.get(func)
        for where, value in [*enumerate(args), *kwargs.items()]:
            if isinstance(value, Tensor):
                target = _SHOWN if self.marks.on_device(value) else _HOST
            elif isinstance(value, torch.device | str):
                target = torch.device(value)
                (args if isinstance(where, int) else kwargs)[where] = _HOST
        to_device = there if target is None else target.type == "cuda"
        free = bool(kwargs.get("non_blocking")) and self.marks.place(tensor) == "pinned"
        same = tensor if func is not Tensor.to else tensor.to(*args, **kwargs)
        if to_device == there:
            return same
        if not free:
            self.waits.append("copied to the device from pageable memory" if to_device else "copied to the host")
        copied = same.detach().clone() if same is tensor else same
        if tensor.requires_grad and torch.is_grad_enabled():
            raise NotImplementedError("a copy between devices that is differentiated")
        self.marks.put(copied, "device" if to_device else "host")
        return copied
