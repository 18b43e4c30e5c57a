"""The files that a host of the repository and an editor read: they parse, and agree with what the project states."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from nlcore.papers import BUILT_IN

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
FIELDS = {"markdown", "input", "textarea", "dropdown", "checkboxes"}  # what an issue form may be made of
CLASSIFIER = "Programming Language :: Python :: "


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pythons():
    return [line.removeprefix(CLASSIFIER) for line in project()["classifiers"] if line.startswith(CLASSIFIER)]


def job():
    return read_yaml(".github/workflows/ci.yml")["jobs"]["reproduce"]


def pinned_ruff():
    return re.search(r"^ruff==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]


def test_ci_tests_the_pythons_that_the_project_names_on_both_systems():
    matrix = job()["strategy"]["matrix"]
    assert matrix["python"] == pythons()  # strings: 3.10 as a number would be 3.1
    assert [name.split("-")[0] for name in matrix["os"]] == ["ubuntu", "macos"]
    assert job()["runs-on"] == "${{ matrix.os }}"


def test_the_pythons_named_are_all_that_requires_python_allows_from_the_oldest_on():
    allowed = SpecifierSet(project()["requires-python"])
    numbers = [int(name.removeprefix("3.")) for name in pythons()]
    assert all(f"3.{number}" in allowed for number in numbers)
    assert f"3.{min(numbers) - 1}" not in allowed
    assert numbers == list(range(min(numbers), max(numbers) + 1))


def test_every_place_that_names_the_oldest_python_names_the_same():
    oldest = pythons()[0]
    major, minor = oldest.split(".")
    places = {
        "run_all.py": f"OLDEST = ({major}, {minor})",
        "Makefile": f"sys.version_info < ({major}, {minor})",
        "pyproject.toml": f'target-version = "py{major}{minor}"',
        "README.md": f"Python {oldest} or newer",
    }
    assert [path for path, words in places.items() if words not in (ROOT / path).read_text(encoding="utf-8")] == []
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"] == f"python:{oldest}"


def test_ci_and_the_container_call_targets_that_the_makefile_has():
    called = [step["run"] for step in job()["steps"] if step.get("run", "").startswith("make ")]
    assert [command.split()[1] for command in called] == ["test", "reproduce"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([^\s:=#]+):(?!=)", makefile.replace("$(VENV)", ".venv"), re.MULTILINE))
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert {*(command.split()[1] for command in called), container["postCreateCommand"].split()[1]} <= targets


def test_pre_commit_runs_the_ruff_that_the_project_pins():
    (repository,) = read_yaml(".pre-commit-config.yaml")["repos"]
    (hook,) = repository["hooks"]
    (ruff,) = map(Requirement, hook["additional_dependencies"])
    assert (ruff.name, str(ruff.specifier)) == ("ruff", f"=={pinned_ruff()}")
    assert hook["entry"].startswith("ruff check")


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_has_what_a_form_needs(path):
    form = read_yaml(path)
    assert all(isinstance(form[name], str) and form[name] for name in ("name", "description"))
    assert {field["type"] for field in form["body"]} <= FIELDS
    asking = [field for field in form["body"] if field["type"] != "markdown"]
    ids = [field["id"] for field in asking]
    assert len(ids) == len(set(ids)) > 0
    assert all(field["attributes"]["label"] for field in asking)
    assert any(field.get("validations", {}).get("required") for field in asking)


def test_the_forms_are_those_of_a_number_and_of_a_paper():
    assert [path.stem for path in FORMS] == ["number", "paper"]
    assert read_yaml(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": True}


def test_a_report_of_a_number_names_one_of_the_papers():
    fields = {field["id"]: field for field in read_yaml(".github/ISSUE_TEMPLATE/number.yml")["body"]}
    assert fields["paper"]["attributes"]["options"] == list(BUILT_IN)


def test_the_figures_are_a_small_download():
    """What git does not keep, the executed notebooks and the accounts of machines, does not count."""
    kept = [path for path in (ROOT / "figures").rglob("*") if path.is_file()]
    kept = [path for path in kept if path.suffix != ".ipynb" and path.name != "provenance.json"]
    assert 0 < sum(path.stat().st_size for path in kept) < 15_000_000
