"""What code can leave entered or registered in torch, for all operations and modules of the process."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from irm_sweeps.process_state.setting import ProcessSetting

_guards: list[Any] = []
"""Objects that end inference mode for as long as they exist."""


def modes() -> Iterator[ProcessSetting]:
    """Yield the modes and the global hooks; the modes come first, as they may intercept what the others call."""
    import torch
    from torch.utils import _device

    untyped: Any = torch
    native = untyped._C
    yield ProcessSetting("default device", torch.get_default_device, _put_default_device, torch.device("cpu"))
    yield ProcessSetting("dispatch modes", _dispatch_modes, _put_dispatch_modes)
    yield ProcessSetting("function modes", _function_modes, _put_function_modes)
    yield ProcessSetting(
        "device of modes", lambda: (_device.CURRENT_DEVICE,), lambda one: setattr(_device, "CURRENT_DEVICE", one[0])
    )
    yield ProcessSetting("inference mode", torch.is_inference_mode_enabled, _put_inference_mode, False)
    yield ProcessSetting("forward gradients", native._is_fwd_grad_enabled, native._set_fwd_grad_enabled, True)
    yield ProcessSetting("hooks of saved tensors", _saved_tensor_hooks, _put_saved_tensor_hooks)
    yield ProcessSetting(
        "function transforms", _transforms, native._functorch.pop_dynamic_layer_stack_and_undo_to_depth
    )
    yield ProcessSetting("global hooks", _hooks, _put_hooks)


def _put_default_device(device: Any) -> None:
    import torch

    # None is the CPU too, without the mode of torch that intercepts every call.
    torch.set_default_device(None if device.type == "cpu" else device)


def _put_current_device(device: tuple[Any]) -> None:
    from torch.utils import _device

    (_device.CURRENT_DEVICE,) = device


def _function_modes() -> list[Any]:
    """Return the modes that are entered, but for the one that the default device enters."""
    import torch

    native: Any = torch._C
    modes = [native._get_function_stack_at(i) for i in range(native._len_torch_function_stack())]
    return [mode for mode in modes if mode is not _of_default_device()]


def _of_default_device() -> Any:
    import torch

    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _put_function_modes(modes: list[Any]) -> None:
    import torch

    native: Any = torch._C
    while native._len_torch_function_stack():
        native._pop_torch_function_stack()
    lowest = _of_default_device()
    for mode in ([] if lowest is None else [lowest]) + modes:
        native._push_on_torch_function_stack(mode)


def _dispatch_modes() -> list[Any]:
    from torch.utils import _python_dispatch

    modes: list[Any] = _python_dispatch._get_current_dispatch_mode_stack()
    return modes


def _put_dispatch_modes(modes: list[Any]) -> None:
    """Leave the modes that were entered, and enter those that were left."""
    from torch.utils import _python_dispatch

    dispatch: Any = _python_dispatch
    while (entered := _dispatch_modes()) != modes[: len(entered)]:
        dispatch.TorchDispatchMode.__exit__(entered[-1], None, None, None)
    for mode in modes[len(_dispatch_modes()) :]:
        dispatch.TorchDispatchMode.__enter__(mode)


def _put_inference_mode(on: bool) -> None:
    import torch

    native: Any = torch._C
    _guards.append(native._InferenceMode(on))


def _saved_tensor_hooks() -> tuple[Any]:
    import torch

    native: Any = torch._C
    return (native._autograd._top_saved_tensors_default_hooks(True),)


def _put_saved_tensor_hooks(top: tuple[Any]) -> None:
    import torch

    native: Any = torch._C
    while _saved_tensor_hooks() not in (top, (None,)):
        native._autograd._pop_saved_tensors_default_hooks()


def _transforms() -> int:
    """Return how many transforms of `torch.func` are entered."""
    import torch

    native: Any = torch._C
    return int(native._functorch.get_dynamic_layer_stack_depth())


def _tables() -> list[dict[Any, Any]]:
    """Return torch's dictionaries of global hooks of modules and optimizers."""
    return [table for owner, name in _places_of_tables() if isinstance(table := getattr(owner, name, None), dict)]


@cache
def _places_of_tables() -> list[tuple[Any, str]]:
    """Return the modules of torch and the names under which they keep the tables."""
    from torch.nn.modules import module
    from torch.optim import optimizer

    return [(owner, name) for owner in (module, optimizer) for name in vars(owner) if name.startswith("_global")]


def _hooks() -> tuple[bool | None, list[dict[Any, Any]]]:
    """Return the kind of the global backward hooks, and the content of each dictionary."""
    from torch.nn.modules import module

    return module._global_is_full_backward_hook, [dict(table) for table in _tables()]


def _put_hooks(hooks: tuple[bool | None, list[dict[Any, Any]]]) -> None:
    from torch.nn.modules import module

    module._global_is_full_backward_hook, contents = hooks
    for table, content in zip(_tables(), contents, strict=True):
        table.clear()
        table.update(content)
