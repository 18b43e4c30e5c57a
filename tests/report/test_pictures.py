"""Figures as bytes: small, the same every time, and as good to the eye; what a notebook shows of them."""

import io
import re
from itertools import product
from xml.etree import ElementTree

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image
from seaborn import color_palette

from nlcore.report.figures import SETTINGS, panels, style
from nlcore.report.pictures import drawn, has_photographs, keep_as_written, show_as_written

PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(20, 0).repeat(20, 1)


def drawing() -> Figure:
    with style():
        figure, axes = panels(1, 2)
        axes[0, 0].plot([0, 1, 3], [2, 0, 1], "o-")
        axes[0, 1].imshow(np.arange(12).reshape(3, 4), cmap="PuOr")
    return figure


def photographs() -> Figure:
    with style():
        figure, axes = panels(1, 1)
        axes[0, 0].imshow(PHOTOGRAPH, interpolation="none")
        axes[0, 0].axis("off")
    return figure


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("kind", ["png", "svg"])
@pytest.mark.parametrize("make", [drawing, photographs])
def test_a_figure_has_the_same_bytes_every_time(make, kind):
    assert drawn(make())[kind] == drawn(make())[kind]


def test_a_drawing_in_a_palette_looks_the_same_and_is_smaller():
    plain, ours = io.BytesIO(), drawn(drawing())["png"]
    with rc_context(SETTINGS):
        drawing().savefig(plain, format="png")
    assert opened(ours).mode == "P" and len(ours) < 0.7 * len(plain.getvalue())
    colours = [np.asarray(opened(content).convert("RGB"), dtype=float) for content in (ours, plain.getvalue())]
    assert colours[0].shape == colours[1].shape
    assert np.abs(colours[0] - colours[1]).mean() < 0.5  # of 255


def test_every_line_of_ten_keeps_its_colour(shell):
    colours = color_palette("colorblind")
    with style():
        figure, axes = panels(1, 2)
        for axis, (number, colour) in product(axes.flat, enumerate(colours)):
            axis.plot(range(9), np.log(np.arange(9) + 1) + number / 20, color=colour, marker="os^vD"[number % 5])
            axis.fill_between(range(9), number / 10, 2, color=colour, alpha=0.2)
    content = drawn(figure)["png"]
    keep_as_written(figure, content, file="fig_1.png", alt="ten lines")
    shown, _ = shell.display_formatter.format(figure)
    for picture in (content, shown["image/png"]):
        pixels = np.unique(np.asarray(opened(picture).convert("RGB"), float).reshape(-1, 3), axis=0)
        nearest = [np.abs(pixels - 255 * np.array(colour)).max(axis=1).min() for colour in colours]
        assert max(nearest) < 12  # of 255


def test_photographs_keep_their_colours():
    figure = photographs()
    assert has_photographs(figure) and not has_photographs(drawing())
    picture, plain = opened(drawn(figure)["png"]), io.BytesIO()
    assert picture.mode == "P"
    with rc_context(SETTINGS):
        figure.savefig(plain, format="png", dpi=100)
    colours = [np.asarray(one.convert("RGB").resize((60, 40)), float) for one in (picture, opened(plain.getvalue()))]
    assert np.abs(colours[0] - colours[1]).mean() < 4  # of 255


def test_text_in_an_svg_is_text():
    figure = drawing()
    figure.axes[0].set_title("Where it holds")
    assert ">Where it holds</text>" in drawn(figure)["svg"].decode()


def test_the_font_of_most_text_is_named_once_and_another_one_where_it_is_used():
    figure = drawing()
    figure.axes[0].set_title("in another font", family="monospace")
    text = drawn(figure)["svg"].decode()
    usual = re.search(r"text\{font-family: ([^}]*)\}</style>", text)[1]
    assert "DejaVu Sans" in usual and text.count(usual) == 1 and text.count("<text") > 3
    [other] = re.findall(r"font-family: ([^;]*);[^<]*>in another font<", text)
    assert "Mono" in other and ElementTree.fromstring(text) is not None


def test_an_svg_ends_its_lines_on_a_hundredth_of_a_point_and_changes_no_word():
    figure = drawing()
    figure.axes[0].set_title("error 0.12345")
    figure.axes[0].set_ylabel("upwards")
    text = drawn(figure)["svg"].decode()
    ElementTree.fromstring(text)
    numbers = re.findall(r"\d+\.(\d+)", " ".join(re.findall(r' d="([^"]*)"', text)))
    assert numbers and max(map(len, numbers)) == 2
    assert ">error 0.12345</text>" in text and "Matplotlib" not in text and not re.search(r' d="[^"]*\n', text)
    assert "rotate(-90" in text and "rotate(-0" not in text and "\n " not in text  # nothing that a viewer skips


def test_an_svg_holds_photographs_as_jpeg():
    text = drawn(photographs())["svg"].decode()
    assert "data:image/jpeg;base64," in text and "data:image/png" not in text
    assert "data:image/jpeg" not in drawn(drawing())["svg"].decode()


@pytest.fixture
def shell(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    show_as_written()
    return shell


@pytest.mark.parametrize(("make", "kind"), [(drawing, "image/png"), (photographs, "image/jpeg")])
def test_a_notebook_shows_what_was_written_in_the_size_of_the_figure(shell, make, kind):
    figure = make()
    content = drawn(figure)["png"]
    keep_as_written(figure, content, file="fig_1.png", alt="a line")
    shown, metadata = shell.display_formatter.format(figure)
    assert set(shown) == {kind, "text/plain"}
    assert metadata[kind] == {"file": "fig_1.png", "alt": "a line", "width": opened(shown[kind]).width}
    shrink = 100 / 150 if kind == "image/png" else 75 / 100
    assert opened(shown[kind]).size == tuple(round(side * shrink) for side in opened(content).size)
    colours = [np.asarray(opened(one).convert("RGB").resize((60, 40)), float) for one in (shown[kind], content)]
    assert np.abs(colours[0] - colours[1]).mean() < 8, "the same picture"


def test_a_figure_that_was_not_written_is_shown_as_ever(shell):
    shown, _ = shell.display_formatter.format(drawing())
    assert not {"image/jpeg"} & set(shown)


def test_outside_of_a_notebook_nothing_happens(monkeypatch):
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    show_as_written()
