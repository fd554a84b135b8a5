"""The objectives of all methods; a new YAML in conf/method/ is included automatically."""

from __future__ import annotations

from irm_sweeps.testing.objectives import ObjectiveContract
from method_cases import AllMethods


class TestMethods(AllMethods, ObjectiveContract):
    pass
