"""The global random generators of Python, numpy and torch, for code that passes no generator of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from irm_sweeps.process_state.setting import ProcessSetting


def generators() -> Iterator[ProcessSetting]:
    """Yield the states of the generators: to read one takes as long as to set it."""
    yield ProcessSetting("random", random.getstate, random.setstate, compares=False)
    yield ProcessSetting("numpy.random", _of_numpy, _put_numpy, compares=False)
    yield ProcessSetting("torch's generators", _of_torch, _put_torch, compares=False)


def set_seed(seed: int) -> None:
    """Seed all generators; those of GPUs that are in use too."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed % 2**32)
    for generator in _generators():
        generator.manual_seed(seed)


def _generators() -> list[Any]:
    """Return torch's global generators: that of the CPU, and those of the GPUs once CUDA is in use."""
    import torch

    on_gpus = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    return [torch.default_generator, *on_gpus]


def _of_numpy() -> tuple[Any, ...]:
    import numpy as np

    state: Any = np.random.get_state()
    kind, keys, *rest = state
    return (kind, keys.tobytes(), *rest)


def _put_numpy(state: tuple[Any, ...]) -> None:
    import numpy as np

    kind, keys, *rest = state
    np.random.set_state((kind, np.frombuffer(keys, dtype=np.uint32), *rest))


def _of_torch() -> list[bytes]:
    return [generator.get_state().numpy().tobytes() for generator in _generators()]


def _put_torch(states: list[bytes]) -> None:
    """Restore the states; a GPU that came into use meanwhile keeps its generator's state."""
    import torch

    for generator, state in zip(_generators(), states, strict=False):
        generator.set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
