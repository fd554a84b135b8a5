"""All methods, interrupted and resumed."""

from __future__ import annotations

from irm_sweeps.testing.resuming import ResumingContract
from method_cases import AllMethods


class TestMethods(AllMethods, ResumingContract):
    pass
