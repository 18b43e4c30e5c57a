"""Lets `import torchvision` (and so timm) work beside a CPU build of torch.

torchvision's published wheels are built for CUDA. Beside a CPU torch their extension cannot load, the operators
`torchvision::nms` and `torchvision::qnms` do not exist, and the import stops when it registers their shape
functions. Declaring the two schemas is enough for transforms, models and timm; calling them still fails.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}


def ensure_torchvision() -> bool:
    """Declare torchvision's missing operators, if they are missing; call it before importing torchvision or timm.

    Returns:
        Whether anything was declared: False with a CUDA or ROCm build of torch (a mismatch there should be seen), where
        torchvision is absent, where its extension loads, and on every call after the first.
    """
    if torch.version.cuda or torch.version.hip or _extension_loads():
        return False
    missing = [name for name in SCHEMAS if not hasattr(torch.ops.torchvision, name)]
    for name in missing:
        torch.library.define(f"torchvision::{name}", SCHEMAS[name])
    return bool(missing)


def _extension_loads() -> bool:
    """Whether torchvision's own operators can be had; True also without torchvision, where nothing needs repair."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for library in sorted(Path(spec.origin).parent.glob("_C*.so")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")
