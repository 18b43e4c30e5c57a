"""Profiles: how large a grid is. A profile is data in the `profiles.yaml` of a paper, never a branch in code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from nlcore.errors import InputError


@dataclass(frozen=True)
class Resources:
    """What a grid runs on, besides its profile; what a person gives on the command line or in a notebook."""

    data_root: str | None = None  # folder of the images that `finetune` and `paper` train on
    weights: str | None = None  # file of pre-trained weights; "timm" downloads those that timm publishes
    device: str = "auto"  # auto, cpu or cuda
    on_bad_image: str = "fail"  # or skip: leave it out and count it
    deterministic: bool = False  # identical bytes on a GPU too, and slower
    celeba_root: str | None = None  # folder of CelebA: list_attr_celeba.txt and img_align_celeba/


def load_profile(paper: str, profile: str) -> dict[str, Any]:
    """The settings of one profile of `paper`.

    Raises:
        InputError: the paper has no such profile; names those it has.
    """
    profiles = profiles_of(paper)
    if profile not in profiles:
        raise InputError(f"profile {profile!r}: {paper} has none of that name; expected one of {', '.join(profiles)}")
    return profiles[profile]


def profiles_of(paper: str) -> dict[str, dict[str, Any]]:
    """All profiles of `paper` by name."""
    text = (files("nlcore") / "papers" / paper / "profiles.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def parse_seeds(text: str) -> list[int]:
    """Seeds as people write them: "0-4", "0,3,7", "0-2,9".

    Raises:
        InputError: anything else, or no seed at all.
    """
    seeds: list[int] = []
    for piece in filter(None, text.replace(" ", "").split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", piece)
        if not match:
            raise InputError(f"seeds {text!r}: cannot read {piece!r}; expected numbers and ranges such as 0-4,7")
        first = int(match[1])
        seeds.extend(range(first, int(match[2] or first) + 1))
    if not seeds:
        raise InputError(f"seeds {text!r}: no seed in it; expected numbers and ranges such as 0-4,7")
    return list(dict.fromkeys(seeds))
