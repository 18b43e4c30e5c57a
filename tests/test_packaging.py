"""One list of dependencies: what conda installs is what pip installs, what is pinned satisfies both, and what a light
install brings suffices to score labels."""

import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import nlcore
from nlcore.app.cli import main
from nlcore.suite import NEEDS, SUITE, _told

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch-gpu": "torch"}
ONLY_CONDA = {"python", "pip", "cuda-version"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(extras=("suite", "test")):
    """What pip installs for the extras, by name: their own lists, and those of extras that these name in turn."""
    listed = project()["dependencies"] + [line for name in extras for line in project()["optional-dependencies"][name]]
    return {r.name: r.specifier for r in map(Requirement, listed) if r.name != "nlcore"}


def canonical(name):
    return re.sub(r"[-_.]+", "-", name.lower())


def conda():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    listed = [entry for entry in entries if isinstance(entry, str)] + from_pip
    parsed = [Requirement(entry) for entry in listed if not entry.startswith("--")]
    return {CONDA_NAMES.get(r.name, r.name): r.specifier for r in parsed}


def constraints():
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonical(line.split("==")[0]): Version(line.split("==")[1]) for line in lines}


def test_conda_and_pip_list_the_same_packages_with_the_same_bounds():
    listed = {name: bounds for name, bounds in conda().items() if name not in ONLY_CONDA}
    assert listed == requirements()


def test_conda_and_pip_ask_for_the_same_python():
    assert str(conda()["python"]) == project()["requires-python"]


def test_every_dependency_is_pinned_to_a_version_within_its_bounds():
    pinned = constraints()
    for name, bounds in requirements().items():
        assert pinned[name] in bounds, name


def test_pins_are_exact_versions_without_addresses():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), line


def test_the_torch_family_is_pinned_as_measured_together():
    pinned = constraints()
    versions = [str(pinned[name]) for name in ("torch", "torchvision", "timm")]
    assert versions == ["2.13.0", "0.28.0", "1.0.31"]


# A light install ------------------------------------------------------------------------------------------------------

# Runs a program as if nothing were installed but what a light install brings: `python -c BLOCKED CODE NAME ...`.
BLOCKED = """
import sys
code, *names = sys.argv[1:]
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *others):
        return None if name.partition(".")[0] in names else self.finder.find_spec(name, *others)
sys.meta_path[:] = map(Without, sys.meta_path)
exec(code)
"""
RUN = "import sys; from nlcore.app.cli import main; sys.exit(main({arguments}))"


def closure(names):
    """Distributions that installing some brings, by their canonical names."""
    found, waiting = set(), list(names)
    while waiting:
        name = canonical(waiting.pop())
        if name not in found:
            found.add(name)
            waiting += [r.name for r in map(Requirement, _required(name)) if not r.marker or r.marker.evaluate()]
    return found


def _required(name):
    try:
        return requires(name) or []
    except PackageNotFoundError:  # for another system or Python
        return []


@pytest.fixture(scope="module")
def absent():
    """What cannot be imported in a light install, of what is installed here."""
    light = closure(requirements(extras=())) | {"nlcore"}
    return [name for name, of in packages_distributions().items() if not light & {canonical(one) for one in of}]


def light(absent, code, folder=ROOT):
    """What a program gives in a light install."""
    command = [sys.executable, "-c", BLOCKED, code, *absent]
    places = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=os.environ | places)


def test_what_is_blocked_here_is_what_a_light_install_lacks(absent):
    assert {"torch", "sklearn", "matplotlib", "cleanlab", "papermill", "safetensors"} <= set(absent)
    assert not {"numpy", "pandas", "scipy", "rich", "typer", "yaml", "jinja2", "markupsafe", "PIL"} & set(absent)


def test_the_packages_that_the_line_names_are_those_of_the_extra():
    of = packages_distributions()
    named = {canonical(one) for name in SUITE for one in of[name]}
    assert named == set(requirements(extras=("suite",))) - set(requirements(extras=()))


def test_every_extra_brings_the_suite_but_for_what_a_light_install_reads():
    for name, listed in project()["optional-dependencies"].items():
        assert name in ("suite", "parquet") or "nlcore[suite]" in listed


def test_a_light_install_scores_labels(absent, tmp_path):
    (tmp_path / "labels.csv").write_text("image,cat,dog\na,1,0\nb,0,1\nc,1,1\nd,0,0\n")
    (tmp_path / "probs.csv").write_text("image,cat,dog\na,0.9,0.8\nb,0.1,0.7\nc,0.8,0.2\nd,0.3,0.1\n")
    arguments = ["score", "labels.csv", "probs.csv", "--ids", "image"]
    done = light(absent, RUN.format(arguments=arguments), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads((tmp_path / "scored" / "summary.json").read_text())
    assert (summary["images"], summary["classes"]) == (4, 2)
    assert "<html" in (tmp_path / "scored" / "report.html").read_text()


def test_a_light_install_imports_every_scorer(absent):
    names = [f"nlcore.scorers.{one.name}" for one in pkgutil.iter_modules([str(ROOT / "nlcore" / "scorers")])]
    done = light(absent, f"import nlcore.noise, nlcore.scorers, {', '.join(names)}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["--papers", "multi_al"], ["--plan"], ["report"], ["show", "galc_slr/table_1"]])
def test_the_papers_are_refused_in_a_light_install_in_one_line(absent, arguments):
    done = light(absent, RUN.format(arguments=arguments))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert re.match(r"error: the papers: found no torch, matplotlib, jupyterlab and \d+ more packages; ", done.stderr)
    assert f" -m pip install --constraint {ROOT}/constraints.txt --editable " in done.stderr
    assert "[suite]" in done.stderr


def test_every_module_works_in_a_light_install_or_says_what_it_needs(absent):
    """No other module of nlcore, whichever is imported first, ends in another error."""
    modules = [one.name for one in pkgutil.walk_packages(nlcore.__path__, "nlcore.", onerror=lambda name: None)]
    assert set(NEEDS) < set(modules)
    code = f"""
from importlib import import_module
for name in {modules}:
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        print(name, error)
"""
    done = light(absent, code)
    assert (done.returncode, done.stderr) == (0, "")
    refused = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert [name for name, line in refused.items() if "[suite]" not in line] == []
    assert set(NEEDS) <= set(refused)


def test_an_installed_package_names_no_folder():
    assert _told("nlcore.losses", ["torch"], None).endswith(" -m pip install 'nlcore[suite]'")


def test_the_installed_command_is_that_of_run_all():
    assert project()["scripts"] == {"nlcore": f"{main.__module__}:{main.__name__}"}
