"""What the papers need beyond the packages of a light install, and one clear line where it is missing.

`pip install .` brings what scoring one's own labels needs, `pip install '.[suite]'` the rest.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from nlcore.errors import InputError
from nlcore.places import CHECKOUT

# What the packages of the extra `suite` are called when they are imported, first those that people know: three are
# named. A test holds the two together.
SUITE = (
    "torch", "matplotlib", "jupyterlab",
    "cleanlab", "filelock", "ipykernel", "latex2mathml", "nbconvert", "papermill", "pooch", "psutil", "pycocotools",
    "pydantic", "safetensors", "seaborn", "sklearn", "threadpoolctl", "timm", "torchvision",
)  # fmt: skip

# Parts of nlcore that a light install cannot import, each by a package that it cannot do without.
NEEDS = {
    "nlcore.app.crate": "matplotlib",
    "nlcore.app.kernels": "jupyterlab", "nlcore.app.notebooks": "papermill", "nlcore.app.site": "matplotlib",
    "nlcore.app.trace": "safetensors",
    "nlcore.correction": "torch", "nlcore.data": "torch", "nlcore.devices": "torch", "nlcore.generators": "torch",
    "nlcore.losses": "torch", "nlcore.metrics": "sklearn", "nlcore.papers.prepare": "torch",
    "nlcore.report": "matplotlib", "nlcore.runs": "safetensors", "nlcore.torchvision_compat": "torch",
    "nlcore.training": "torch", "nlcore.transition": "torch",
}  # fmt: skip


def require_suite() -> None:
    """Whatever the papers need is installed.

    Raises:
        InputError: not all of it is; names the first, and the command that installs them.
    """
    missing = [name for name in SUITE if find_spec(name) is None]
    if missing:
        raise InputError(_told("the papers", missing, CHECKOUT))


def _told(what: str, missing: Sequence[str], checkout: Path | None) -> str:
    """The line: what needs which packages, and the command.

    >>> _told("nlcore.losses", ["torch"], None)  # doctest: +ELLIPSIS
    "nlcore.losses: found no torch; expected what this installs: ... -m pip install 'nlcore[suite]'"
    """
    others = f" and {len(missing) - 3} more packages" if len(missing) > 3 else ""
    pinned = [] if checkout is None else ["--constraint", str(checkout / "constraints.txt"), "--editable"]
    package = f"{'nlcore' if checkout is None else checkout}[suite]"
    command = shlex.join([sys.executable, "-m", "pip", "install", *pinned, package])
    return f"{what}: found no {', '.join(missing[:3])}{others}; expected what this installs: {command}"


class _LightInstall:
    """Finds no module. Asked for a part of nlcore that cannot be imported, it says what for and how to install it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        in_a_paper = name.startswith("nlcore.papers.") and name.count(".") > 2
        needed = NEEDS.get(name, "torch" if in_a_paper else None)
        if needed is not None and find_spec(needed) is None:
            raise ModuleNotFoundError(_told(name, [needed], CHECKOUT), name=needed)


sys.meta_path.insert(0, _LightInstall())
