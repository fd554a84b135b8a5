"""The contract that every method of the package keeps to, over one's own."""

from irm_sweeps.testing.methods import MethodContract


class TestMine(MethodContract):
    """A line a method; `python -m pytest -k risk_gap` runs one."""

    cases = {"risk_gap": ["method=risk_gap"]}
