"""The Dockerfile: it names the project's Python, installs the project's packages and copies what they need, no more."""

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
import yaml
from packaging.requirements import Requirement

from tests.test_repository import project, pythons

ROOT = Path(__file__).resolve().parents[1]
PLAYED = """#!/bin/bash
[ "$1 $2" = "-m pip" ] && echo "$@" >> installed && exit
exec "{python}" "$@"
"""
NEEDED = {"nlcore", "notebooks", "run_all.py", "Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"}


def instructions():
    """(word, text) of each, in order; continued lines are one."""
    lines = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line and not line.startswith("#")]


def said(word):
    return [text for name, text in instructions() if name == word]


def ignored(path):
    """Whether .dockerignore leaves a file out: of the patterns that fit it or a folder above, the last one counts."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    places = [str(place) for place in (path, *PurePosixPath(path).parents) if str(place) != "."]
    left_out = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!").removeprefix("**/")
        anywhere = pattern.startswith("**/")
        names = [PurePosixPath(place).name for place in places] if anywhere else places
        if any(fnmatch.fnmatchcase(name, wanted) and (anywhere or "/" not in name) for name in names):
            left_out = not pattern.startswith("!")
    return left_out


def copied():
    """The files of the repository that the image gets."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no Git repository")
    return [path for path in listed.stdout.splitlines() if not ignored(path)]


def test_it_names_the_python_of_pip_conda_and_the_development_container():
    (image,) = said("FROM")
    assert image == f"python:{pythons()[0]}"
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (python,) = [Requirement(line) for line in conda if isinstance(line, str) and line.startswith("python>")]
    assert pythons()[0] in python.specifier


def test_it_installs_the_projects_packages_and_names_none_of_its_own():
    """What `make install` and the extras bring is held to environment.yml by tests/test_packaging.py."""
    _, first, second, *_ = said("RUN")
    assert first == "make install"
    program, arguments = second.split(" install ")
    assert program == ".venv/bin/python -m pip"
    arguments = arguments.split()
    assert arguments == ["--quiet", "--constraint", "constraints.txt", "--editable", '".[$EXTRAS]"']
    (extras,) = [text.split("=")[1] for text in said("ARG") if text.startswith("EXTRAS")]
    assert extras in project()["optional-dependencies"]


def test_it_names_no_host():
    assert "://" not in (ROOT / "Dockerfile").read_text()


def test_it_does_not_run_as_root_and_begins_the_batch():
    words = [word for word, _ in instructions()]
    assert said("USER") == ["nlcore"]
    assert words.index("USER") < words.index("COPY"), "all that is installed is the user's"
    (entry,) = map(json.loads, said("ENTRYPOINT"))
    (folder,) = said("WORKDIR")
    assert entry == [f"{folder}/.venv/bin/python", f"{folder}/run_all.py"]


def test_data_and_what_is_computed_lie_in_volumes_that_the_user_can_write():
    (volumes,) = map(json.loads, said("VOLUME"))
    places = dict(pair.split("=") for line in said("ENV") for pair in line.split())
    assert {places[f"NLCORE_{name}"] for name in ("STORE", "CACHE", "OUTPUT")} | {"/data"} == set(volumes)
    assert all(volume in said("RUN")[0].split() for volume in volumes)


def test_what_is_copied_is_what_is_needed():
    assert {path.split("/")[0] for path in copied()} == NEEDED
    assert [path for path in ("nlcore/__pycache__/a.pyc", "figures/index.html", ".git/HEAD") if not ignored(path)] == []


@pytest.mark.slow
def test_with_what_is_copied_its_steps_lead_to_a_batch_that_plans_its_runs(tmp_path):
    """`make install` finds its files, and the environment that it makes is played by the one that runs the tests."""
    for path in copied():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    played = tmp_path / ".venv" / "bin" / "python"
    played.parent.mkdir(parents=True)
    played.write_text(PLAYED.format(python=sys.executable))
    played.chmod(0o755)
    places = {name: str(tmp_path / name) for name in ("NLCORE_STORE", "NLCORE_CACHE", "NLCORE_OUTPUT")}
    given = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | places
    call = lambda *command: subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True)
    for step in said("RUN")[1:]:
        done = call("bash", "-ec", f"DEVICE=cpu EXTRAS=suite; {step}")
        assert (done.returncode, done.stderr) == (0, ""), step
    assert ".[suite]" in (tmp_path / "installed").read_text()
    done = call(".venv/bin/python", "run_all.py", "--profile", "smoke", "--papers", "galc_slr", "--plan")
    assert done.returncode == 0, done.stderr
    assert "SilverClassifier" in done.stdout
