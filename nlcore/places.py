"""Where things lie: one rule for every folder, whoever starts the code and from wherever.

Inside a checkout everything of ours lies below it; an installed package uses the user's cache folder. An environment
variable moves a place: `NLCORE_OUTPUT` (figures), `NLCORE_STORE` (finished runs), `NLCORE_CACHE` (decoded images).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_ABOVE = Path(__file__).resolve().parents[1]
CHECKOUT: Path | None = _ABOVE if (_ABOVE / "pyproject.toml").is_file() else None  # None: installed as a package


def home() -> Path:
    """The folder below which our own folders lie: the checkout, or `~/.cache/nlcore`."""
    return CHECKOUT or Path("~/.cache/nlcore").expanduser()


def figures_folder() -> Path:
    """Where tables and figures go: $NLCORE_OUTPUT, or `figures` in the checkout."""
    return Path(os.environ.get("NLCORE_OUTPUT") or home() / "figures")


def store_folder() -> Path:
    """Where finished runs are kept: $NLCORE_STORE, or `.nlcore/store`."""
    return Path(os.environ.get("NLCORE_STORE") or home() / ".nlcore" / "store")


def cache_folder() -> Path:
    """Where decoded images are kept, once for all papers: $NLCORE_CACHE, or `.nlcore/images`."""
    return Path(os.environ.get("NLCORE_CACHE") or home() / ".nlcore" / "images")


def notebooks_folder() -> Path:
    """Where the papers' notebooks lie."""
    return home() / "notebooks"


def importable(folder: str) -> None:
    """Let this process, and those it begins, import what lies in a folder: workers and kernels import what is sent."""
    if folder not in sys.path:
        sys.path.append(folder)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if folder not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*paths, folder]))
