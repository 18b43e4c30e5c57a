"""`run_all.py crate` on the committed figures: every file described, read back by the library that others use."""

import json
import sys

import pytest
from rocrate.rocrate import ROCrate

from nlcore.app.cli import main
from nlcore.papers import paper
from nlcore.places import home
from nlcore.report.verdict_file import read_verdicts

FIGURES = home() / "figures"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A crate of one paper with two profiles."""
    target = tmp_path_factory.mktemp("crates") / "teacher"
    assert main(["--papers", "teacher_student", "--output", str(FIGURES), "crate", str(target)]) == 0
    return target


def test_every_file_is_described_and_every_description_has_its_file(made):
    described = {entity.id for entity in ROCrate(made).get_by_type("File")}
    there = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert described == there - {"ro-crate-metadata.json"}
    assert {"figures/teacher_student/embedded/table_2.csv", "notebooks/05_teacher_student.ipynb"} <= described


def test_every_artefact_keeps_its_bytes_and_its_caption(made):
    manifest = json.loads((FIGURES / "teacher_student" / "simulated" / "manifest.json").read_text())
    crate = ROCrate(made)
    for entry in manifest["artefacts"].values():
        for name in entry["files"]:
            place = f"figures/teacher_student/simulated/{name}"
            assert crate.get(place)["description"] == entry["caption"]
            assert (made / place).read_bytes() == (FIGURES / "teacher_student" / "simulated" / name).read_bytes()


def test_an_action_says_by_what_and_out_of_what_the_artefacts_came(made):
    crate = ROCrate(made)
    actions = {entity.id: entity for entity in crate.get_by_type("CreateAction")}
    assert set(actions) == {"#teacher_student-embedded", "#teacher_student-simulated"}
    action = actions["#teacher_student-simulated"]
    assert action["instrument"].id == "notebooks/05_teacher_student.ipynb"
    runs = json.loads((FIGURES / "teacher_student" / "simulated" / "manifest.json").read_text())["runs"]
    assert f"{runs['finished']} of {runs['planned']} runs, seeds 0, 1, 2" in action["description"]
    assert action["result"]["isBasedOn"]["name"] == paper("teacher_student").title
    said = {value["name"]: value["value"] for value in action["result"]["variableMeasured"]}
    file = read_verdicts(FIGURES / "teacher_student" / "simulated" / "verdicts.json")
    assert said == {claim.id: str(claim.verdict) for claim in file}


def test_the_page_of_a_paper_has_the_sections_of_a_report(made):
    text = (made / "teacher_student.md").read_text()
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert [line.split(":")[0].split(",")[0] for line in sections] == [
        "## Scope", "## Method", "## Results", "## What the paper leaves open", "## What was not run"
    ]  # fmt: skip
    assert "* ts4: **larger than published** (stand-in; 12 of 12 parts hold" in text
    assert "Open Images V1" in text


def test_without_the_library_it_says_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rocrate.rocrate", None)
    options = ["--papers", "teacher_student", "--output", str(FIGURES)]
    assert main([*options, "crate", str(tmp_path / "crate")]) == 2
    assert capsys.readouterr().err == (
        "error: crate: the package rocrate is missing; expected pip install '.[crate]'\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line_and_nothing_is_left(made, tmp_path, capsys):
    options = ["--papers", "teacher_student", "--output"]
    assert main([*options, str(FIGURES), "crate", str(made)]) == 2
    assert f"{made}: is there already; expected the name of a folder that is not" in capsys.readouterr().err
    assert main([*options, str(tmp_path / "none"), "crate", str(tmp_path / "crate")]) == 2
    assert "no artefacts of teacher_student; expected those of a finished batch" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
