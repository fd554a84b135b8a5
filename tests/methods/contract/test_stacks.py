"""All methods in stacks, diverging and on unequal environments."""

from __future__ import annotations

from irm_sweeps.testing.stacks import StackContract
from method_cases import AllMethods


class TestMethods(AllMethods, StackContract):
    pass
