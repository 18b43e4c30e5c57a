"""What is told apart in a figure stays apart: colours, published values, boxes and arrows."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from nlcore.report.figures import (
    bars_by_series,
    diagram,
    dots_legend,
    dots_with_published,
    lines_by_series,
    panels,
    series_style,
)


def test_ten_series_have_ten_looks_and_the_palest_colours_come_last():
    looks = series_style([f"series {k}" for k in range(10)])
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 10
    light = [np.dot(to_rgb(look["color"]), (0.299, 0.587, 0.114)) for look in looks.values()]
    assert max(light[:8]) < min(light[8:])


@pytest.mark.parametrize("upright", [False, True])
def test_the_legend_shows_the_bar_that_is_drawn(upright):
    figure, axes = panels(1, 1)
    frame = pd.DataFrame({"name": ["a", "a"], "found": [1.0, 2.0]})
    dots_with_published(axes[0, 0], frame, names="name", values="found", published={"a": 1.5}, upright=upright)
    drawn = axes[0, 0].collections[-1]
    dots_legend(figure, axes[0, 0], upright=upright)
    shown = axes[0, 0].collections[-1]
    assert shown.get_label() == "published mean"
    np.testing.assert_array_equal(shown.get_paths()[0].vertices, drawn.get_paths()[0].vertices)


def test_seeds_stand_beside_the_interval():
    _, axes = panels(1, 1)
    frame = pd.DataFrame({"series": ["a"] * 5, "found": range(5)})
    bars_by_series(axes[0, 0], frame, value="found", labels={"a": "A"})
    seeds = next(c for c in axes[0, 0].collections if len(c.get_offsets()) == 5)
    assert (seeds.get_offsets()[:, 0] > 0.15).all()


def test_a_line_has_a_point_wherever_a_seed_has_one():
    """Of a batch that is not finished some seeds have more points than others."""
    _, axes = panels(1, 1)
    frame = pd.DataFrame({"series": "a", "seed": [0, 1, 0, 1, 0], "noise": [1, 1, 2, 2, 3], "value": [1, 3, 2, 4, 7.0]})
    lines_by_series(axes[0, 0], frame, x="noise", labels={"a": "A"})
    np.testing.assert_array_equal(axes[0, 0].lines[0].get_xydata(), [[1, 2], [2, 3], [3, 7]])
    edge = axes[0, 0].collections[0].get_paths()[0].vertices
    assert np.isfinite(edge).all() and set(edge[edge[:, 0] == 3][:, 1]) == {7}, "one seed alone has no interval"


def test_arrows_end_outside_the_boxes_they_join():
    nodes = {"start": ("here", 0, 0), "across": ("a much longer text\nin two lines", 1, 0), "up": ("there", 1, 1)}
    figure = diagram(nodes, [("start", "across", "word"), ("across", "up", ""), ("start", "up", "")])
    figure.savefig(io.BytesIO(), format="png")
    texts = {text for text, *_ in nodes.values()}
    inside = [text for text in figure.axes[0].texts if text.get_text() in texts]
    arrows = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
    assert (len(inside), len(arrows)) == (3, 3)
    assert min(arrow.zorder for arrow in arrows) > max(text.zorder for text in inside)  # a box is placed when drawn
    boxes = [text.get_bbox_patch().get_window_extent() for text in inside]
    for arrow in (text.arrow_patch for text in arrows):
        ends = arrow.get_transform().transform(arrow.get_path().vertices)
        assert not any(box.contains(*end) for box in boxes for end in ends)
