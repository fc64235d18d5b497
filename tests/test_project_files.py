"""Files of the project around the code: citation, forms for issues, workflows, security policy."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

yaml = pytest.importorskip("yaml", reason="needs pip install '.[docs]'")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = ("bug", "feature")
FIELDS = {"markdown", "textarea", "input", "checkboxes", "dropdown"}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_citation_is_of_this_version() -> None:
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["version"] == PROJECT["version"]
    assert " AND ".join(citation["license"]) == PROJECT["license"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{citation['version']}] - {citation['date-released']}\n" in changelog


def test_citation_names_the_paper() -> None:
    (paper,) = read("CITATION.cff")["references"]
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Zheng", "Fernández Abrevaya", "Bühler", "Chen", "Black", "Hilliges"]
    assert paper["title"].startswith("I M Avatar")
    assert paper["year"] == 2022


@pytest.mark.parametrize("form", FORMS)
def test_forms_for_issues_are_complete(form: str) -> None:
    content = read(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert {"name", "description", "body"} <= content.keys()
    assert {field["type"] for field in content["body"]} <= FIELDS
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    identifiers = [field["id"] for field in fields]
    assert len(identifiers) == len(set(identifiers))


def test_workflow_runs_what_contributors_run() -> None:
    jobs = read(".github/workflows/test.yml")["jobs"]
    commands = {name: [step.get("run") for step in job["steps"]] for name, job in jobs.items()}
    assert "make test" in commands["test"]
    assert "make docs" in commands["docs"]
    versions = jobs["test"]["strategy"]["matrix"]["python-version"]
    assert {f"Programming Language :: Python :: {version}" for version in versions} <= set(
        PROJECT["classifiers"]
    )
    assert versions[0] == PROJECT["requires-python"].removeprefix(">=")


def test_security_policy_supports_this_version() -> None:
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    minor = re.match(r"\d+\.\d+", PROJECT["version"])
    assert minor
    assert f"Today that is {minor[0]}." in policy
