"""A figure as bytes: small enough for a repository and for notebooks that code hosts still render.

A PNG is kept in a palette, a third of the size and as good to the eye: drawings have few colours, photographs are
thumbnails. In an SVG, and in a notebook, photographs are JPEG; lines end on a hundredth of a point.
"""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image
from scipy.spatial import KDTree

from nlcore.report.figures import SETTINGS

PHOTOGRAPHS_DPI = 100  # they are thumbnails: more dots would show no more
IN_NOTEBOOKS = 75  # dots to an inch of photographs, and `FEWER` colours: code hosts render no large notebooks
COLOURS, FEWER = 96, 64  # of drawings
PALETTE_STEP = 3  # dots from one that a palette is found on to the next
JPEG_QUALITY = 70
PLACE, DECIMALS = re.compile(r'(?<= [dxy]=")[^"]*'), re.compile(r"-?\d+\.\d{3,}")
IDLE = re.compile(  # what a viewer skips: the program's name, indents, turns by nothing
    r"\n <metadata>.*?</metadata>|(?<=\n) +| transform=\"rotate\(-0 [^\"]*\"", re.DOTALL
)
FAMILY = re.compile(r' font-family: ([^;"]*);')
EMBEDDED_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")


def drawn(figure: Figure) -> dict[str, bytes]:
    """A figure as the bytes of a `png` and of an `svg`, without a date or a program's name: the same on every day."""
    photographs = has_photographs(figure)
    dpi = PHOTOGRAPHS_DPI if photographs else SETTINGS["savefig.dpi"]
    extent, quick = _laid_out(figure, dpi), {"compress_level": 1}  # the PNG is encoded anew below
    png = _saved(figure, "png", bbox_inches=extent, dpi=dpi, pil_kwargs=quick)
    svg = _saved(figure, "svg", bbox_inches=extent, metadata={"Date": None})
    pixels = Image.open(io.BytesIO(png)).convert("RGB")
    return {
        "png": _encoded(_in_palette(pixels, photographs), "PNG", optimize=True),
        "svg": _slim(_with_jpegs(svg) if photographs else svg),
    }


def _laid_out(figure: Figure, dpi: int) -> Bbox:
    """The part of a figure that is drawn on, in inches; its layout is solved here, once for all kinds of file.

    Left to `savefig`, it would be solved for each: as long again as the drawing.
    """
    with matplotlib.rc_context(SETTINGS):
        figure.set_dpi(dpi)  # letters are measured as the PNG has them
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
        figure.set_layout_engine(None)  # "none" would leave a placeholder, for which `savefig` draws once more
        return figure.get_tightbbox().padded(matplotlib.rcParams["savefig.pad_inches"])


def has_photographs(figure: Figure) -> bool:
    """Whether an image of three colours lies on one of its axes."""
    return any(image.get_array().ndim == 3 for axis in figure.axes for image in axis.images)


def _saved(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with matplotlib.rc_context(SETTINGS):
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def _encoded(pixels: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pixels.save(buffer, kind, **options)
    return buffer.getvalue()


def _in_palette(pixels: Image.Image, photographs: bool, colours: int = COLOURS) -> Image.Image:
    if photographs:
        return pixels.quantize(256, dither=Image.Dither.FLOYDSTEINBERG)
    # The colours farthest apart, and then the means of what is alike: else thin lines of like hues become one. Found on
    # every third dot of every third line: as near to all dots as what the whole gives, and found ten times as fast.
    part = pixels.resize([max(1, side // PALETTE_STEP) for side in pixels.size], Image.Resampling.NEAREST)
    palette = part.quantize(colours, method=Image.Quantize.MAXCOVERAGE, kmeans=3).getpalette()
    return _with_nearest(np.asarray(pixels), np.array(palette, dtype=np.uint8).reshape(-1, 3))


def _with_nearest(pixels: np.ndarray, palette: np.ndarray) -> Image.Image:
    """Pixels (H, W, 3) in the nearest colours of a palette (C, 3); Pillow's own mapping blurs them."""
    codes = pixels.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.int32)
    there = np.zeros(1 << 24, dtype=bool)  # quicker than to sort a million pixels
    there[codes] = True
    found = np.flatnonzero(there)
    nearest = np.zeros(1 << 24, dtype=np.uint8)
    nearest[found] = KDTree(palette).query(np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1))[1]
    image = Image.fromarray(nearest[codes], mode="P")
    image.putpalette(palette.tobytes())
    return image


def _slim(svg: bytes) -> bytes:
    """An SVG without what says nothing, each path in one line; matplotlib writes a millionth of a point."""

    def shorter(place: re.Match) -> str:
        return DECIMALS.sub(lambda number: f"{float(number[0]):.2f}", " ".join(place[0].split()))

    return _in_one_font(PLACE.sub(shorter, IDLE.sub("", svg.decode("utf-8")))).encode("utf-8")


def _in_one_font(svg: str) -> str:
    """An SVG whose style sheet names the font of most text, which each piece of it had named; others keep theirs."""
    families = Counter(FAMILY.findall(svg))
    if not families:
        return svg
    [(usual, _)] = families.most_common(1)
    return svg.replace(f" font-family: {usual};", "").replace("</style>", f" text{{font-family: {usual}}}</style>", 1)


def _with_jpegs(svg: bytes) -> bytes:
    """An SVG whose embedded photographs are JPEG; matplotlib embeds everything as PNG, in lines of base64."""

    def smaller(found: re.Match) -> str:
        pixels = Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGBA")
        on_white = Image.alpha_composite(Image.new("RGBA", pixels.size, "white"), pixels).convert("RGB")
        return "data:image/jpeg;base64," + base64.b64encode(_encoded(on_white, "JPEG", quality=JPEG_QUALITY)).decode()

    return EMBEDDED_PNG.sub(smaller, svg.decode("utf-8")).encode("utf-8")


def show_as_written() -> None:
    """In a notebook, show a figure that was written as its file has it, smaller, in place of drawing it once more."""
    try:
        from IPython import get_ipython
    except ImportError:  # an install without notebooks
        return
    shell = get_ipython()
    if shell is None:
        return
    formatters = shell.display_formatter.formatters
    for kind in ("image/png", "image/jpeg"):
        usual = formatters[kind].type_printers.get(Figure)
        formatters[kind].for_type(Figure, _shown(kind, usual))


def _shown(kind: str, usual: Any) -> Any:
    """A notebook's formatter: a written figure in its one kind, any other as it was shown before."""

    def show(figure: Figure) -> Any:
        written = getattr(figure, "written", None)
        if written is None:
            return usual(figure) if usual else None
        return (written.content, written.metadata) if written.kind == kind else None

    return show


@dataclass(frozen=True)
class Written:
    """What a notebook shows of a figure that was written, with as many dots to an inch as a page has.

    metadata: `file`, the name of what was written; `alt`, it in words; and `width`, the dots across.
    """

    kind: str
    content: bytes
    metadata: dict[str, Any]


def keep_as_written(figure: Figure, png: bytes, *, file: str, alt: str) -> None:
    """Remember what a notebook will show of this figure: a smaller copy of its PNG, with photographs as JPEG."""
    pixels = Image.open(io.BytesIO(png)).convert("RGB")
    photographs = has_photographs(figure)
    shrink = IN_NOTEBOOKS / PHOTOGRAPHS_DPI if photographs else SETTINGS["figure.dpi"] / SETTINGS["savefig.dpi"]
    smaller = pixels.resize([round(shrink * side) for side in pixels.size], Image.Resampling.LANCZOS)
    if photographs:
        kind, content = "image/jpeg", _encoded(smaller, "JPEG", quality=JPEG_QUALITY)
    else:
        kind, content = "image/png", _encoded(_in_palette(smaller, photographs, FEWER), "PNG", optimize=True)
    figure.written = Written(kind, content, {"file": file, "alt": alt, "width": smaller.width})
