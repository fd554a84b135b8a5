"""The names of the selection rules, which choose the evaluation whose scores count for a trial."""

from __future__ import annotations

from typing import Literal, get_args

RuleName = Literal["last", "val", "oracle", "stop"]
"""`last`, `val` and `oracle` are functions of `irm_sweeps.training.selection`; `stop` is the method's own rule."""

RULE_NAMES: tuple[RuleName, ...] = get_args(RuleName)
