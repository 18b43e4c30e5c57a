"""Table 3: the same methods on a folder of Open Images V1, where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nlcore.data.download import CATALOGUE
from nlcore.papers.profiles import Resources
from nlcore.papers.teacher_student.study import Study, grid, load_study
from nlcore.runs import Store, run_grid


def open_images_study(
    root: str | Path | None,
    store: Store,
    *,
    seeds: Sequence[int] | None = None,
    workers: int | None = None,
    device: str = "auto",
    weights: str | None = "timm",
    profile: str = "openimages",
) -> Study | None:
    """The study of Table 3; None where no folder is given.

    Raises:
        InputError: the folder lacks files of the release (all of them are named).
    """
    if root is None:
        return None
    specs = grid(profile, seeds=seeds, resources=Resources(str(root), weights, device))
    run_grid(specs, store, workers=workers, label="teacher_student, Open Images")
    return load_study(specs, store)


def how_to_get() -> str:
    """What is missing for Table 3, how large it is and where it comes from."""
    lines = ["Table 3 needs Open Images V1 (release 2016_08):"]
    lines += [
        f"  {file.name}: about {(file.about or 0) / 1e6:,.0f} MB from {file.url}" for file in CATALOGUE["openimages_v1"]
    ]
    lines.append('fetched by nlcore.data.download.download("openimages_v1", FOLDER);')
    lines.append("dict.csv from the repository openimages/dataset;")
    lines += ["and the photographs, from the addresses in images.csv, as images/<ImageID>.jpg."]
    return "\n".join(lines)
