"""A method in a user's file whose turn is invalid as `deed` says; `method._target_=wrong_turns.Wrong`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, ClassVar

from irm_sweeps.methods.and_mask import ANDMask
from irm_sweeps.methods.erm import ERM
from irm_sweeps.methods.method import Move, Point, Turn
from irm_sweeps.methods.penalized import Penalized
from irm_sweeps.methods.rex import VREx


class Wrong(ERM):
    """ERM with an invalid turn, or one that exits."""

    uses_lam: ClassVar[bool] = True
    deed: str

    def moves(self, step: int, environments: int) -> Sequence[Move]:
        return [Move(["modle"])] if self.deed == "moves" else super().moves(step, environments)

    def turn(self, at: Point, moving: Sequence[str]) -> Any:
        turn = super().turn(at, moving)
        own, risks = turn.objectives, turn.log["risks"]
        match self.deed:
            case "vector":
                return Turn({"model": risks}, turn.log)
            case "float":
                return Turn({"model": 0.5}, turn.log)  # type: ignore[dict-item]
            case "list":
                return Turn({"model": [own["model"]]}, turn.log)  # type: ignore[dict-item]
            case "nothing":
                return Turn({"model": None}, turn.log)  # type: ignore[dict-item]
            case "missing":
                return Turn({}, turn.log)
            case "unknown":
                return Turn({**own, "adversary": own["model"]}, turn.log)
            case "log":
                return Turn(own, {"risks": risks, "penalty": 0.0})  # type: ignore[dict-item]
            case "bare":
                return own["model"]
            case "bare objective":
                return Turn(own["model"], turn.log)  # type: ignore[arg-type]
            case "exit":
                sys.exit(3)
            case "last words":
                sys.exit("no such file")
            case "plain exit":
                sys.exit()
        return turn


class Matrix(ANDMask):
    """AND-mask with a matrix of objectives."""

    def turn(self, at: Point, moving: Sequence[str]) -> Turn:
        turn = super().turn(at, moving)
        return Turn({player: risks[None] for player, risks in turn.objectives.items()}, turn.log)


class WrongPenalty(Penalized):
    """A method whose penalty is nothing, a number, or a value for each environment."""

    deed: str

    def penalty(self, at: Point, features: Any, logits: Any, risks: Any) -> Any:
        return {"nothing": None, "number": 0.5, "vector": risks}[self.deed]


class Unread(VREx):
    """V-REx with a field that its code does not read, as `self.sharpness` would."""

    sharpness: float  # self.sharpness
