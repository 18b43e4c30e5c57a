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
from nlcore.app.score_page import render
from nlcore.errors import InputError, require
from nlcore.scorers import POOLINGS
from nlcore.scorers.report import (
    EXTRA,
    MISSING,
    Annotations,
    Watch,
    class_report,
    count_annotations,
    doubted_annotations,
    flag_annotations,
    label_health,
    rank_images,
    swapped_tags,
    unwatched,
)

LARGE = 100_000_000  # bytes of input from which on progress is shown
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
    """What came of it: the three tables, each with its worst rows first, and the totals."""

    images: pd.DataFrame
    doubts: pd.DataFrame
    classes: pd.DataFrame
    summary: dict[str, Any]


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
    with _staging(asked.output) as folder:
        scored = _score(data, asked, folder, watch)
        _write_tables(scored, asked, folder)
        page = render(scored.images, scored.doubts, scored.classes, scored.summary, asked.images)
        (folder / "report.html").write_text(page, encoding="utf-8")
    for line in _told(scored.summary):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    console.print(f"report: {asked.output / 'report.html'}", soft_wrap=True, highlight=False, markup=False)
    return asked.output / "report.html"


# Computing ------------------------------------------------------------------------------------------------------------


def _score(data: Annotations, asked: Scoring, folder: Path, watch: Watch) -> Scored:
    with _flags(data, folder) as flags:
        flag_annotations(data.labels, data.probs, out=flags, watch=watch)
        named = {"flags": flags, "classes": data.classes}
        images = rank_images(
            *data[:2], **named, ids=data.ids, pooling=asked.pooling, delimiter=asked.delimiter, watch=watch
        )
        doubts = doubted_annotations(*data[:2], **named, ids=data.ids)
        classes = class_report(*data[:2], **named, confused=CONFUSED, watch=watch)
        swaps = swapped_tags(*data[:2], **named)
        health = label_health(data.labels, flags)
    summary = _summary(data, images, doubts, health, asked)
    return Scored(images, doubts, classes, summary | {"swapped": swaps.head(SWAPS).to_dict("records")})


@contextmanager
def _flags(data: Annotations, folder: Path) -> Iterator[np.ndarray]:
    """Where the flags go: on disk, where the labels are there too, since they have their size."""
    if not isinstance(data.labels, np.memmap):
        yield np.empty(data.probs.shape, dtype=bool)
        return
    path = folder / ".flags"
    try:
        yield np.lib.format.open_memmap(path, mode="w+", dtype=bool, shape=data.probs.shape)
    finally:
        path.unlink(missing_ok=True)


def _summary(
    data: Annotations, images: pd.DataFrame, doubts: pd.DataFrame, health: float, asked: Scoring
) -> dict[str, Any]:
    """The totals, options and versions, all of it JSON."""
    given, not_given = (int(counts.sum()) for counts in count_annotations(data.labels))
    directions = doubts["direction"].value_counts()
    scores = images["score"].dropna()
    middle = {"lowest": scores.min(), "median": scores.median(), "highest": scores.max()}
    return {
        "images": len(data.probs),
        "classes": len(data.classes),
        "annotations": {"given": given, "not_given": not_given, "unknown": data.probs.size - given - not_given},
        "doubted": {
            "annotations": len(doubts),
            EXTRA: int(directions.get(EXTRA, 0)),
            MISSING: int(directions.get(MISSING, 0)),
            "images": int((images["doubted"] > 0).sum()),
        },
        "health": _or_none(health),
        "score": {name: _or_none(value) for name, value in middle.items()},
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in asdict(asked).items()},
        "versions": {
            "nlcore": nlcore.__version__,
            "numpy": np.__version__,
            "pandas": pd.__version__,
            "python": platform.python_version(),
        },
    }


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


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


def _write_tables(scored: Scored, asked: Scoring, folder: Path) -> None:
    for name in ("images", "doubts"):
        getattr(scored, name).head(asked.top or sys.maxsize).to_csv(folder / f"{name}.csv", index=False)
    scored.classes.to_csv(folder / "classes.csv", index=False)
    text = json.dumps(scored.summary, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")
