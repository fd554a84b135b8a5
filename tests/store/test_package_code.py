"""Which edits of this package stop the workers of a sweep that was launched before them."""

from __future__ import annotations

import pytest

from irm_sweeps import provenance
from irm_sweeps.store import package_code as stored
from irm_sweeps.store.package_code import PackageCode, package_code

FILE = "methods/rex.py"


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> PackageCode:
    """What a manifest has of the package; the digest that this process knows is forgotten with the test."""
    monkeypatch.setattr(provenance, "_PACKAGE_SHA256", [])
    return package_code()


def edit(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Let this process be one that was started after an edit of a module."""
    sources = dict(provenance.package_sources())
    assert old.encode() in sources[FILE]
    sources[FILE] = sources[FILE].replace(old.encode(), new.encode(), 1)
    for module in (provenance, stored):
        monkeypatch.setattr(module, "package_sources", lambda: sources)
    monkeypatch.setattr(provenance, "_PACKAGE_SHA256", [])


def test_a_comment_stops_no_worker_and_is_no_other_code_of_a_result(
    launched: PackageCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(monkeypatch, "class VREx", "# a comment\n\n\nclass VREx")
    assert launched.difference() is None
    assert provenance.package_sha256() == launched.sha256


def test_an_edit_of_what_runs_stops_them(launched: PackageCode, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(monkeypatch, "class VREx", "VARIANCE = 1\n\n\nclass VREx")
    assert launched.difference() == FILE
    assert provenance.package_sha256() != launched.sha256


def test_manifests_of_before_have_bytes_only(launched: PackageCode, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = PackageCode.from_values(launched.model_dump(exclude={"sha256"}))
    assert earlier.difference() is None
    edit(monkeypatch, "class VREx", "# a comment\n\n\nclass VREx")
    assert earlier.difference() == FILE


def test_a_worker_of_the_same_bytes_parses_nothing(launched: PackageCode, monkeypatch: pytest.MonkeyPatch) -> None:
    def parsed(source: bytes) -> str:
        raise AssertionError("parsed")

    monkeypatch.setattr(provenance, "_PACKAGE_SHA256", [])
    monkeypatch.setattr(provenance, "syntax_digest", parsed)
    assert launched.difference() is None
    assert provenance.package_sha256() == launched.sha256
