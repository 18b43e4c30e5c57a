"""`run_all.py score`: one's own labels and predicted probabilities in, the images and annotations to look at out.

The folder appears whole, or not at all: everything is made in a folder beside it, or in it where it is there already.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

import nlcore
from nlcore.app.label_files import read_annotations
from nlcore.app.score_page import SHOWN, render
from nlcore.errors import InputError, require
from nlcore.scorers import POOLINGS
from nlcore.scorers.annotations import Annotations, Watch, unwatched
from nlcore.scorers.report import EXTRA, MISSING, doubted_annotations, label_report

LARGE = 100_000_000  # bytes of input from which on progress is shown
LOOKED_AT = 1000  # images whose probabilities are looked at for what may be wrong with them
SWAPS = 20  # pairs of classes in summary.json
CONFUSED = 5  # classes named beside a class that it is confused with


@dataclass(frozen=True)
class Scoring:
    """What was asked for; `top` None is all."""

    labels: Path
    probs: Path
    output: Path
    pooling: str = "ema"
    top: int | None = None
    ids: str | None = None
    classes: str | None = None
    delimiter: str = ";"
    images: Path | None = None


@dataclass(frozen=True)
class Scored:
    """What came of it: the three tables, each with its worst rows first, the totals, and what the page needs."""

    images: pd.DataFrame
    doubts: pd.DataFrame
    classes: pd.DataFrame
    summary: dict[str, Any]
    shown: list[list[dict[str, Any]]]  # of the first images, up to SHOWN: the rows of what is in doubt in them


def score(asked: Scoring, console: Console) -> Path:
    """Write images.csv, doubts.csv, classes.csv, summary.json and report.html; returns the report.

    Args:
        asked: the files and options.
        console: takes the totals; progress goes to standard error.

    Raises:
        InputError: anything unusable: files, values, names or options, or a folder that cannot be written. Nothing is
            left behind then.
    """
    _check(asked)
    watch = _watch(asked)
    data = read_annotations(
        asked.labels, asked.probs, ids=asked.ids, classes=asked.classes, delimiter=asked.delimiter, watch=watch
    )
    warnings = _warned(data)
    with _staging(asked.output) as folder:
        scored = _score(data, asked, folder, watch)
        scored.summary["warnings"] = warnings
        _write_tables(scored, folder)
        page = render(**vars(scored), folder=asked.images)
        (folder / "report.html").write_text(page, encoding="utf-8")
    for line in (*_told(scored.summary), *(f"warning: {line}" for line in warnings)):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print(f"report: {asked.output / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
    return asked.output / "report.html"


# Computing ------------------------------------------------------------------------------------------------------------


def _score(data: Annotations, asked: Scoring, folder: Path, watch: Watch) -> Scored:
    """All of it; of images and annotations no more rows than were asked for, since there may be very many."""
    with _room_for_flags(data, folder) as flags:
        found = label_report(
            data.labels, data.probs, ids=data.ids, classes=data.classes, pooling=asked.pooling, top=asked.top,
            confused=CONFUSED, delimiter=asked.delimiter, out=flags, watch=watch,
        )  # fmt: skip
        first = np.argsort(found.scores, kind="stable")[: min(SHOWN, len(found.images))]  # rows, as in found.images
        shown = _doubts_of(data, flags, first)
    swapped = {"swapped": found.swapped.head(SWAPS).to_dict("records")}
    return Scored(found.images, found.doubts, found.classes, found.totals | _circumstances(asked) | swapped, shown)


def _doubts_of(data: Annotations, flags: np.ndarray, rows: np.ndarray) -> list[list[dict[str, Any]]]:
    """What is in doubt in each of some images."""
    parts = [np.asarray(array[rows]) for array in (data.labels, data.probs, flags)]
    doubts = doubted_annotations(*parts[:2], flags=parts[2], classes=data.classes)
    return [doubts[doubts["image"] == number].to_dict("records") for number in range(len(rows))]


@contextmanager
def _room_for_flags(data: Annotations, folder: Path) -> Iterator[np.ndarray]:
    """Where the flags go: on disk, where the labels are there too, since they have their size."""
    if not isinstance(data.labels, np.memmap):
        yield np.empty(data.probs.shape, dtype=bool)
        return
    path = folder / ".flags"
    try:
        yield np.lib.format.open_memmap(path, mode="w+", dtype=bool, shape=data.probs.shape)
    finally:
        path.unlink(missing_ok=True)


def _circumstances(asked: Scoring) -> dict[str, Any]:
    """Options and versions, all of it JSON."""
    return {
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(asked).items()},
        "versions": {
            "nlcore": nlcore.__version__,
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "python": platform.python_version(),
        },
    }


def _warned(data: Annotations) -> list[str]:
    """What may be wrong with probabilities that can be read."""
    first = np.asarray(data.probs[:LOOKED_AT])
    if len(first) and np.isin(first, (0, 1)).all():
        where = f"in the first {len(first):,} images every probability is 0 or 1"
        return [f"{where}: these look like predictions, and scores will mostly tie"]
    return []


def _told(summary: dict[str, Any]) -> list[str]:
    doubted, health = summary["doubted"], summary["health"]
    return [
        f"{summary['images']:,} images, {summary['classes']:,} classes: {doubted['annotations']:,} annotations "
        f"in doubt ({doubted[EXTRA]:,} extra, {doubted[MISSING]:,} missing) in {doubted['images']:,} images",
        "label health: " + ("no known annotation" if health is None else f"{health:.4f}"),
    ]


# Checking and writing -------------------------------------------------------------------------------------------------


def _check(asked: Scoring) -> None:
    require(asked.pooling in POOLINGS, "pooling", asked.pooling, f"one of {', '.join(POOLINGS)}")
    require(asked.top is None or asked.top >= 1, "top", asked.top, "one or more")
    if asked.images is not None:
        require(asked.images.is_dir(), "images", str(asked.images), "a folder")
    require(asked.output.is_dir() or not asked.output.exists(), "output", str(asked.output), "a folder, or a new name")


def _watch(asked: Scoring) -> Watch:
    """Who looks on: nobody at small input, a bar in a terminal, a line per step in a log."""
    sizes = [path.stat().st_size for path in (asked.labels, asked.probs) if path.is_file()]
    if sum(sizes) < LARGE:
        return unwatched
    console = Console(stderr=True)

    def look_on(blocks: Iterable[Any], what: str) -> Iterable[Any]:
        if console.is_terminal:
            return track(blocks, what, console=console, transient=True)
        print(what, file=sys.stderr, flush=True)
        return blocks

    return look_on


@contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """A folder whose files become those of `output` when the block ends well, and are gone when it does not."""
    there = output.is_dir()
    parent = output if there else output.absolute().parent
    made = _missing_folders(parent)
    staging = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=parent, prefix=".scored-"))
        yield staging
        if there:
            for path in sorted(staging.iterdir()):
                os.replace(path, output / path.name)
        else:
            staging.chmod(0o755)  # a temporary folder is private
            os.rename(staging, output)
            made = []
    except OSError as error:
        raise InputError(
            f"output {output}: cannot be written ({error.strerror}); expected a writable folder with space"
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for folder in made:
            folder.rmdir() if folder.is_dir() and not any(folder.iterdir()) else None


def _missing_folders(path: Path) -> list[Path]:
    """`path` and the folders above it that are not there, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]


def _write_tables(scored: Scored, folder: Path) -> None:
    for name in ("images", "doubts", "classes"):
        getattr(scored, name).to_csv(folder / f"{name}.csv", index=False)
    text = json.dumps(scored.summary, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
