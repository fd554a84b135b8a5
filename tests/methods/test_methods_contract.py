"""The contract suite over all methods; a new YAML in conf/method/ is included automatically."""

from __future__ import annotations

from method_cases import Methods


class TestMethods(Methods):
    pass
