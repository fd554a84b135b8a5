"""The fields of all methods are read."""

from __future__ import annotations

from typing import Any

import pytest

from irm_sweeps.testing.fields import FieldContract
from irm_sweeps.testing.fixtures import MakeTrial
from irm_sweeps.trial import Trial
from method_cases import AllMethods
from wrong_turns import Unread


class TestMethods(AllMethods, FieldContract):
    pass


def test_a_field_that_nothing_reads_fails(make_trial: MakeTrial) -> None:
    class Contract(FieldContract):
        def trial(self, make_trial: MakeTrial, case: str, *more: str, **fields: Any) -> Trial:
            of_vrex = make_trial("method=vrex")
            values = of_vrex.method.model_dump(exclude={"target"})
            return of_vrex.model_copy(update={"method": Unread.model_validate({**values, "sharpness": 2})})

    with pytest.raises(AssertionError, match=r"Unread\.sharpness is read nowhere: take `self\.sharpness`"):
        Contract().test_every_field_is_read("unread", make_trial)
