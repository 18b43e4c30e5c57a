"""Which weights a network starts from, as a name that stands for their content: it is part of a run's key.

    random        none: drawn from the run's own generator, and only when asked for in so many words
    timm:TAG      those that timm publishes for the model under this tag (timm alone: the model's default tag)
    sha256:...    a file, by its content
"""

from __future__ import annotations

from pathlib import Path

from nlcore.data.content import file_digest
from nlcore.errors import InputError

RANDOM, TIMM, FILE = "random", "timm", "sha256"


def name_weights(given: str | None, default: str | None, *, model: str) -> tuple[str, str | None]:
    """(name for the key, file or None) of the weights that a person gave, or of a profile's default.

    Raises:
        InputError: neither gives any; no such file; timm publishes none under that tag.
    """
    chosen = given or default
    if chosen is None:
        raise InputError(
            f"weights: none given for {model}; expected a file of them, timm, timm:TAG, or random (--weights)"
        )
    if chosen == RANDOM:
        return RANDOM, None
    if chosen.split(":")[0] == TIMM:
        return (_published(chosen, model) if given or chosen == TIMM else chosen), None
    if not Path(chosen).is_file():
        raise InputError(f"weights {chosen}: no such file; expected one, timm, timm:TAG, or random")
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
