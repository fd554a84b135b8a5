"""Tests for a user's own: the contract that every method of the package keeps to, and small trials to test with.

`pytest -p irm_sweeps.testing.fixtures`, and in a test file of one's own::

    from irm_sweeps.testing.methods import MethodContract

    class TestMine(MethodContract):
        cases = {"mine": ["method=mine"]}

`irm-sweeps init` writes both. Needs `pip install 'irm-sweeps[test]'`.
"""

import pytest

pytest.register_assert_rewrite("irm_sweeps.testing.methods", "irm_sweeps.testing.runs")
