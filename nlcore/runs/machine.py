"""What computes here: versions, processor and GPU, to be kept with every result."""

from __future__ import annotations

import os
import platform
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "pandas", "torch", "torchvision", "timm", "matplotlib", "cleanlab", "papermill",
)  # fmt: skip
CPU_INFO = Path("/proc/cpuinfo")


def machine() -> dict[str, Any]:
    """Python, packages, processor, cores and system of this process; `device` too once it has used a GPU."""
    device = gpu()
    return _host() | ({"device": device} if device else {})


@cache
def _host() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
    }


@cache
def processor() -> str:
    """The processor's model, as its maker names it."""
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def gpu() -> str | None:
    """The GPU's name, once torch has begun to use one in this process."""
    torch = sys.modules.get("torch")  # loading it here would cost more than a small run does
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else None


def gpu_memory() -> list[int]:
    """Bytes of memory of every GPU that torch sees."""
    import torch  # late: a plan or a grid without runs does without it

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [torch.cuda.get_device_properties(number).total_memory for number in range(count)]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
