"""The fields of a method, for the contract of methods."""

from __future__ import annotations

import ast
import inspect
import sys
from types import ModuleType

from irm_sweeps.methods.method import Method
from irm_sweeps.testing.cases import MethodCases, noting_the_fix
from irm_sweeps.testing.fixtures import MakeTrial


class FieldContract(MethodCases):
    """The part of `MethodContract` that looks at the source."""

    def test_every_field_is_read(self, case: str, make_trial: MakeTrial) -> None:
        """Each is named in the code of the class's file or a base class's, as in `self.x` or `at.numbers["x"]`.

        A sweep over a field that nothing reads would train the same trial again and again.
        """
        if case in self.read_elsewhere:
            return
        chosen = type(self.trial(make_trial, case).method)
        bases = [each for each in chosen.__mro__ if each not in Method.__mro__]
        read = set[str]().union(*map(_names, {sys.modules[each.__module__] for each in bases}))
        with noting_the_fix("read_elsewhere", case, "take it in the class's file, or drop it"):
            for field in set(chosen.model_fields) - {"target"}:
                assert field in read, f'{chosen.__name__}.{field} is read nowhere: no `self.{field}`, nor "{field}"'


def _names(module: ModuleType) -> set[str]:
    """Return the attributes and texts in a module's code; what only comments and docstrings name is left out."""
    names, docstrings = set(), set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        match node:
            case ast.Expr(value=ast.Constant() as text):
                docstrings.add(text)
            case ast.Attribute(attr=name):
                names.add(name)
            case ast.Constant(value=str() as text) if node not in docstrings:
                names.add(text)
            case ast.MatchClass(kwd_attrs=attributes):
                names.update(attributes)
    return names
