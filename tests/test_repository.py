"""What a stranger finds beside the code: licence, citation, changes, forms; all of it agrees with the package."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml

import irm_sweeps
from pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == irm_sweeps.__version__ == citation["version"]
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_is_of_the_format_s_form() -> None:
    """The keys that CFF 1.2.0 requires, and those of an entity as author."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert all(isinstance(citation[key], str) and citation[key] for key in ("message", "title", "abstract"))
    assert citation["type"] == "software"
    assert citation["authors"] == [{"name": author["name"]} for author in PROJECT["authors"]]
    assert all(isinstance(word, str) for word in citation["keywords"])
    assert citation["license"] == PROJECT["license"]


def test_the_licence_is_the_one_that_is_named() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    (name,) = PROJECT["license-files"]
    assert "Apache License" in (ROOT / name).read_text()


def test_changes_are_kept_in_the_usual_form() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    releases = re.findall(r"^## \[(.+?)\]", text, re.M)
    assert releases[0] == "Unreleased"
    assert len(set(releases)) == len(releases)
    assert set(re.findall(r"^### (\w+)", text, re.M)) <= {
        "Added",
        "Changed",
        "Deprecated",
        "Removed",
        "Fixed",
        "Security",
    }


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem)
def test_issue_forms_are_of_the_form_that_is_read(path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    names = [part["id"] for part in form["body"]]
    assert len(set(names)) == len(names)
    for part in form["body"]:
        assert part["type"] in {"input", "textarea", "checkboxes", "dropdown"}
        assert part["attributes"]["label"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])
