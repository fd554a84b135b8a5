"""What every method keeps to. A new YAML in conf/method/ is tested here without being named."""

from __future__ import annotations

from method_cases import Methods


class TestMethods(Methods):
    pass
