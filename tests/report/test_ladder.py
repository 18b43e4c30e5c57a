"""Where a claim holds: the table of effects by place, and its panels."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from nlcore.report.ladder import Effect, Place, ladder_figure, ladder_table, side, with_a_line


def effect(*differences, at="40 %", claim="gs1", published=None, within=None):
    return Effect(claim, "ours minus theirs", at, pd.Series(differences, dtype=float), published, within=within)


@pytest.fixture
def table():
    return ladder_table(
        [
            (Place(2000), [effect(1, 2, 3, published=5.0), effect(at="60 %")]),
            (Place(8000, 75), [effect(4, 5, 6, published=5.0), effect(-4, -5, -6, at="60 %")]),
            (Place(2000, 75), [effect(-1, 0, 1, published=5.0), effect(-4, 5, 0, at="60 %")]),
        ]
    )


def test_every_effect_that_was_measured_has_a_row_with_its_interval(table):
    assert len(table) == 5  # nothing was measured at 60 % on the profile's own data
    row = table[(table.data == "clean mAP 75") & (table.images == 8000) & (table["at"] == "40 %")].iloc[0]
    assert (row["mean"], row.seeds, row.published, row.holds) == (5, 3, 5.0, "yes")
    assert row.low == pytest.approx(5 - 4.302653 / 3**0.5)  # Student's t, two degrees of freedom
    assert row.high == pytest.approx(5 + 4.302653 / 3**0.5)


def test_rows_go_from_few_images_to_many_within_a_line(table):
    own = table[(table.data == "clean mAP 75") & (table["at"] == "60 %")]
    assert (list(own.images), list(own.holds)) == ([2000, 8000], ["open", "no"])


@pytest.mark.parametrize(("low", "high", "word"), [(0, 1, "open"), (1e-9, 1, "yes"), (-1, 0, "open"), (-2, -1, "no")])
def test_an_interval_that_touches_zero_is_open(low, high, word):
    assert side(low, high) == word


def test_a_panel_shows_published_own_and_filled_marks(table):
    axes = [axis for axis in ladder_figure(table).axes if axis.get_visible()]
    assert [axis.get_title() for axis in axes] == ["40 %", "60 %"]
    dotted = [line.get_ydata()[0] for line in axes[0].lines if line.get_linestyle() == ":" and len(line.get_ydata())]
    assert dotted == [5.0]
    filled = [line for line in axes[0].lines if line.get_linestyle() == "None" and len(line.get_xdata()) == 1]
    solid = [line.get_xdata()[0] for line in filled if to_hex(line.get_markerfacecolor()) != "#ffffff"]
    assert 8000 in solid and 2000 in solid  # the larger rung, and the profile's own data
    assert axes[0].get_xscale() == "log"


def test_claims_of_a_kind_that_simulation_predicts_badly_are_marked():
    measured = [(Place(2000), [effect(1, 2, 3), effect(1, 2, 3, claim="gs6")])]
    table = ladder_table(measured, undecided=["gs1"]).set_index("claim")
    assert table["simulation decides"].to_dict() == {"gs1": "no", "gs6": "yes"}


def test_levels_stand_in_the_order_of_their_numbers():
    table = ladder_table([(Place(2000), [effect(1, 2, at=at) for at in ("40% clean", "5% clean", "10% clean")])])
    assert list(table["at"]) == ["5% clean", "10% clean", "40% clean"]
    assert [axis.get_title() for axis in ladder_figure(table).axes] == list(table["at"])


def test_by_the_quality_of_labels_a_line_goes_from_the_worst_labels_to_the_best():
    measured = [(Place(2000, right=55.0), [effect(1, 2, 3)]),
                *((Place(8000, 75, right), [effect(0, 1, 2)]) for right in (91.5, 40.0))]  # fmt: skip
    table = ladder_table(measured, by="right")
    assert list(table[table.data == "clean mAP 75"].right) == [40.0, 91.5]
    alone = ladder_table([(Place(2000, right=55.0), [effect(1, 2, 3), effect(1, 2, at="60 %")])], by="right")
    assert len(with_a_line(alone)) == 2 and list(with_a_line(pd.concat([table, alone]))["at"].unique()) == ["40 %"]
    (axis,) = ladder_figure(table, by="right").axes
    assert (axis.get_xscale(), axis.get_xlabel()) == ("linear", "right labels (%)")
    drawn = {tuple(line.get_xdata()) for line in axis.lines}
    assert {(40.0, 91.5), (55.0,)} <= drawn, "the profile's own data stand at their own share"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-0.4, 0.4, "yes"), (0.1, 0.4, "yes"), (0.4, 0.6, "open"), (-0.6, 0.6, "open"), (0.6, 0.9, "no"), (-3, -1, "no")],
)
def test_a_claim_that_two_differ_by_little_has_a_band_for_its_side(low, high, word):
    assert side(low, high, within=0.5) == word
    assert side(-high, -low, within=0.5) == word


def test_the_band_is_drawn_in_the_panels_of_its_claim_and_named_once():
    measured = [
        (Place(2000), [effect(2, 2.1, 1.9, within=0.5)]),
        (Place(8000, 75), [effect(0.1, 0.0, -0.1, within=0.5)]),
    ]
    table = ladder_table(measured)
    assert list(table.holds) == ["yes", "no"] and set(table.within) == {0.5}
    figure = ladder_figure(table)
    (band,) = [patch for patch in figure.axes[0].patches if patch.get_height() == 1.0]
    assert band.get_y() == -0.5
    assert [text.get_text() for text in figure.legends[0].texts][-1] == "claimed: no further from zero"


def test_the_embedded_set_stands_beside_another_profile_where_both_measured(table):
    own = ladder_table([(Place(26000), [effect(7, 8, 9)])], embedded=table)
    assert list(own.data) == ["the embedded set", "this profile's own data"]
    assert list(own[own.data == "the embedded set"]["mean"]) == [2.0]
    labels = [text.get_text() for text in ladder_figure(own).legends[0].texts]
    assert labels == ["the embedded set", "this profile's own data", "published"]


def test_a_quality_has_one_colour_whichever_others_there_are(table):
    all_three = ladder_table([(Place(2000, quality), [effect(1, 2, 3)]) for quality in (45, 60, 75)])
    colours = [
        {line.get_label(): line.lines[0].get_color() for line in ladder_figure(one).axes[0].containers}
        for one in (all_three, table)
    ]
    assert colours[0]["simulated, clean mAP 75"] == colours[1]["simulated, clean mAP 75"]
    assert len({*colours[0].values()}) == 3


def test_an_own_number_of_images_has_a_tick_where_there_is_room():
    places = (Place(82000), Place(2100, 45), Place(2000, 75), Place(20000, 75))
    figure = ladder_figure(ladder_table([(place, [effect(1, 2, 3)]) for place in places]))
    assert list(figure.axes[0].get_xticks()) == [2000, 2100, 20000, 82000]
    figure = ladder_figure(ladder_table([(place, [effect(1, 2, 3)]) for place in (Place(2100), *places[2:])]))
    assert list(figure.axes[0].get_xticks()) == [2000, 20000]


@pytest.mark.parametrize(("far", "scale"), [(20.0, "symlog"), (2.0, "linear")])
def test_a_row_is_logarithmic_where_what_is_claimed_would_be_a_hair_beside_what_was_measured(far, scale):
    measured = [(Place(2000), [effect(far, far, within=0.5)]), (Place(8000, 75), [effect(0.1, 0.1, within=0.5)])]
    axis = ladder_figure(ladder_table(measured)).axes[0]
    axis.figure.canvas.draw()
    assert axis.get_yscale() == scale
    assert ("logarithmic beyond 0.5" in axis.get_ylabel()) == (scale == "symlog")
    if scale == "symlog":
        low, high = axis.transData.transform([(2000, -0.5), (2000, 0.5)])[:, 1]
        assert (high - low) / axis.bbox.height > 0.1  # the band is to be seen
