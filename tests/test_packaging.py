"""One list of dependencies: what conda installs is what pip installs, and what is pinned satisfies both."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"pytorch-gpu": "torch"}
ONLY_CONDA = {"python", "pip", "cuda-version"}


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements():
    listed = project()["dependencies"] + project()["optional-dependencies"]["test"]
    return {r.name: r.specifier for r in map(Requirement, listed)}


def conda():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    listed = [entry for entry in entries if isinstance(entry, str)] + from_pip
    parsed = [Requirement(entry) for entry in listed if not entry.startswith("--")]
    return {CONDA_NAMES.get(r.name, r.name): r.specifier for r in parsed}


def constraints():
    lines = (ROOT / "constraints.txt").read_text().split()
    return {re.sub(r"[-_.]+", "-", line.split("==")[0].lower()): Version(line.split("==")[1]) for line in lines}


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
