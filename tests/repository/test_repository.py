"""Licence, citation, changelog and forms exist and agree with the package."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml

import irm_sweeps
from pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSIONS = (ROOT / ".ci" / "versions").read_text()
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


class OneOfEach(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, as YAML does and PyYAML does not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(set(keys)) == len(keys), f"line {node.start_mark.line + 1}: {keys}"
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize("path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem)
def test_issue_forms_are_of_the_form_that_is_read(path) -> None:
    form = yaml.load(path.read_text(), OneOfEach)
    assert {"name", "description", "body"} <= set(form)
    names = [part["id"] for part in form["body"]]
    assert len(set(names)) == len(names)
    for part in form["body"]:
        assert part["type"] in {"input", "textarea", "checkboxes", "dropdown"}
        assert part["attributes"]["label"]
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_what_is_checked_is_what_is_said_to_be_supported() -> None:
    """By the workflow: each Python of the classifiers, as `.ci/versions` knows; 3.11 is Debian 12's, by `.ci/run`."""
    jobs = yaml.load((ROOT / ".github" / "workflows" / "tests.yml").read_text(), OneOfEach)["jobs"]
    assert jobs["main"]["container"] == "debian:bookworm"
    assert ".ci/run" in [step.get("run") for step in jobs["main"]["steps"]]
    checked = jobs["versions"]["strategy"]["matrix"]["include"]
    named = {word.rpartition(" ")[2] for word in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", word)}
    assert {"3.11", *(each["python"] for each in checked)} == named
    assert all(re.search(rf"^#   \.ci/versions {each['kind']} ", VERSIONS, re.M) for each in checked)


def test_other_versions_are_asked_for_by_name() -> None:
    """What is no kind of versions installs nothing: the usage, exit code 2."""
    answer = subprocess.run(
        [ROOT / ".ci" / "versions", "lowest", "python3"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 2
    assert ".ci/versions oldest python3.12" in answer.stderr
    assert not (ROOT / ".versions" / "lowest-python3").exists()
