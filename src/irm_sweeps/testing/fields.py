"""The fields of a method, for the contract of methods."""

from __future__ import annotations

import inspect
import re
import sys

from irm_sweeps.methods.method import Method
from irm_sweeps.testing.cases import MethodCases
from irm_sweeps.testing.fixtures import MakeTrial


class FieldContract(MethodCases):
    """The part of `MethodContract` that looks at the source."""

    def test_every_field_is_read(self, case: str, make_trial: MakeTrial) -> None:
        """Each is named in the file of the class or of a base class, as `self.x` or `at.numbers["x"]` are.

        A sweep over a field that nothing reads would train the same trial again and again.
        """
        chosen = type(self.trial(make_trial, case).method)
        modules = [sys.modules[each.__module__] for each in chosen.__mro__ if issubclass(each, Method)]
        source = "\n".join(inspect.getsource(module) for module in modules)
        for field in set(chosen.model_fields) - {"target"}:
            read = re.search(rf"\.{field}\b|[\"']{field}[\"']", source)
            assert read, (
                f'{chosen.__name__}.{field} is read nowhere: take `self.{field}`, at.numbers["{field}"], or drop it'
            )
