"""Tests for classes of your own: the contract of a method as a test class, and what a dataset's test needs.

In a test file of your own, run by `pytest -p irm_sweeps.testing.fixtures`::

    from typing import ClassVar

    from irm_sweeps.testing import MethodContract

    class TestMine(MethodContract):
        cases: ClassVar = {"mine": ["method=mine"]}

`irm-sweeps init` writes both. Needs `pip install 'irm-sweeps[test]'`.
"""

import pytest

# Before these modules are imported, so that their assertions say which values they compared.
pytest.register_assert_rewrite(
    *(f"irm_sweeps.testing.{name}" for name in ("objectives", "stacks", "compiled", "resuming", "devices", "runs"))
)

from irm_sweeps.data.drawn import checked_draw  # noqa: E402
from irm_sweeps.testing.methods import MethodContract  # noqa: E402
from irm_sweeps.testing.trials import compose_trial  # noqa: E402

__all__ = ["MethodContract", "checked_draw", "compose_trial"]
