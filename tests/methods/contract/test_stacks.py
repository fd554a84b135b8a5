"""All methods in stacks, compiled, diverging and on unequal environments."""

from __future__ import annotations

from irm_sweeps.testing.stacks import StackContract
from method_cases import AllMethods


class TestMethods(AllMethods, StackContract):
    pass
