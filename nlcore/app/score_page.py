"""The page of `run_all.py score`: one file that opens from disk, pictures and all."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, ImageOps

from nlcore.errors import InputError

SHOWN = 36  # images on the page, with their pictures
ROWS = 60  # of the other tables
EDGE = 320  # pixels of a thumbnail's longer side
ENDINGS = ("", ".jpg", ".jpeg", ".png", ".webp")  # tried after an id


def render(
    images: pd.DataFrame,
    doubts: pd.DataFrame,
    classes: pd.DataFrame,
    summary: Mapping[str, Any],
    shown: Sequence[Sequence[Mapping[str, Any]]],
    folder: Path | None = None,
) -> str:
    """The page, as HTML.

    Args:
        images, doubts, classes: as `nlcore.scorers.report` makes them, the worst first.
        summary: the totals, as in summary.json.
        shown: of each image that is to be shown, what is in doubt in it: rows as those of `doubts`.
        folder: of the images, named after their ids, with or without an ending.

    Raises:
        InputError: there is no file in `folder` for any of the images that are to be shown.
    """
    rows = images.head(len(shown)).to_dict("records")
    pictures = {} if folder is None else _pictures(folder, [row["image"] for row in rows])
    page = _environment().get_template("score.html.j2")
    return page.render(
        summary=summary,
        cards=[
            row | {"doubts": found, "picture": pictures.get(row["image"])}
            for row, found in zip(rows, shown, strict=True)
        ],
        pictured=folder is not None,
        doubts=doubts.head(ROWS).to_dict("records"),
        written=len(doubts),
        classes=classes.head(ROWS).to_dict("records"),
    )


# Pictures -------------------------------------------------------------------------------------------------------------


def _pictures(folder: Path, ids: Sequence[Any]) -> dict[Any, str]:
    """Data URIs of the thumbnails that can be made, by id.

    Raises:
        InputError: not one can.
    """
    found = {id: _thumbnail(folder, str(id)) for id in ids}
    pictures = {id: uri for id, uri in found.items() if uri is not None}
    if not pictures:
        raise InputError(f"images {folder}: found no picture named {ids[0]}, or after any other image; expected some")
    return pictures


def _thumbnail(folder: Path, name: str) -> str | None:
    path = next((path for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)
    if path is None:
        return None
    try:
        with Image.open(path) as image:
            image.draft("RGB", (EDGE, EDGE))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((EDGE, EDGE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # no picture, or a damaged one
        return None
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


# The template ---------------------------------------------------------------------------------------------------------


def _environment() -> Environment:
    folder = files("nlcore.app") / "site" / "templates"  # not by way of `site`, which draws figures
    read = lambda name: (folder / name).read_text(encoding="utf-8")
    environment = Environment(
        loader=FunctionLoader(read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, file in (("style", "style.css"), ("script", "script.js")):
        environment.globals[name] = Markup(read(file))
    environment.globals |= {"number": _number, "share": _share}
    return environment


def _number(value: float | None) -> str:
    """Three digits for people; a dash for what is not known."""
    return "–" if value is None or pd.isna(value) else f"{value:.3f}" if isinstance(value, float) else f"{value:,}"


def _share(value: float | None) -> str:
    return "–" if value is None or pd.isna(value) else f"{100 * value:.1f} %"
