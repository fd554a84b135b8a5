"""All methods, compiled."""

from __future__ import annotations

from irm_sweeps.testing.compiled import CompiledContract
from method_cases import AllMethods


class TestMethods(AllMethods, CompiledContract):
    pass
