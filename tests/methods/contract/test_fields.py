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


class OfUnread(FieldContract):
    def trial(self, make_trial: MakeTrial, case: str, *more: str, **fields: Any) -> Trial:
        of_vrex = make_trial("method=vrex")
        values = of_vrex.method.model_dump(exclude={"target"})
        return of_vrex.model_copy(update={"method": Unread.model_validate({**values, "sharpness": 2})})


def test_a_field_that_only_comments_name_fails(make_trial: MakeTrial) -> None:
    with pytest.raises(AssertionError, match=r"Unread\.sharpness is read nowhere: no `self\.sharpness`") as failure:
        OfUnread().test_every_field_is_read("unread", make_trial)
    assert "say why in the test class:\n    read_elsewhere = {'unread': '...'}" in failure.value.__notes__[0]


def test_a_case_can_be_excused(make_trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OfUnread, "read_elsewhere", {"unread": "a helper reads it"})
    OfUnread().test_every_field_is_read("unread", make_trial)
