"""The contract that every method of the package keeps to, over methods of your own."""

from typing import ClassVar

from irm_sweeps.testing import MethodContract


class TestMine(MethodContract):
    """A line for each method, else it is not tested; `python -m pytest -k risk_gap` runs one of them."""

    cases: ClassVar = {
        "risk_gap": ["method=risk_gap"],
    }
