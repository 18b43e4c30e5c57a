"""Each case runs in a fresh interpreter, since operators cannot be taken back once they are declared."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

CPU_BUILD = not (torch.version.cuda or torch.version.hip)


def run(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_timm_and_transforms_import_and_a_second_call_declares_nothing():
    printed = run(
        "from nlcore.torchvision_compat import ensure_torchvision as ensure\n"
        "ensure()\n"
        "import torch, timm\n"
        "from torchvision.transforms import v2\n"
        "print(ensure(), v2.Resize((4, 4))(torch.zeros(3, 8, 8)).shape[-1], 'tresnet_m' in timm.list_models())"
    )
    assert printed == "False 4 True"


@pytest.mark.skipif(not CPU_BUILD, reason="this torch has a GPU build, whose torchvision needs no repair")
def test_operators_that_exist_are_left_alone():
    """Whoever declared them first (another copy of this repair, say) keeps them: declaring twice would raise."""
    printed = run(
        "import torch\n"
        "from nlcore.torchvision_compat import SCHEMAS, ensure_torchvision\n"
        "for name, schema in SCHEMAS.items(): torch.library.define(f'torchvision::{name}', schema)\n"
        "print(ensure_torchvision())"
    )
    assert printed == "False"


@pytest.mark.parametrize("build", ["cuda", "hip"])
def test_a_gpu_build_is_left_alone(build):
    printed = run(
        "import torch\n"
        "from nlcore.torchvision_compat import ensure_torchvision\n"
        f"torch.version.{build} = '13.0'\n"
        "before = hasattr(torch.ops.torchvision, 'nms')\n"
        "print(ensure_torchvision(), hasattr(torch.ops.torchvision, 'nms') == before)"
    )
    assert printed == "False True"
