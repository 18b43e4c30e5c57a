"""All claims in one picture: shares of the published size, one part for a claim."""

import numpy as np
import pytest

from nlcore.report.claims import ClaimVerdict
from nlcore.report.contract import Claim
from nlcore.report.evidence import Evidence
from nlcore.report.overview import COLUMNS, SHOWN, overview_figure, overview_table
from nlcore.report.verdict_file import VerdictFile, write_verdicts
from nlcore.report.verdicts import decide, decide_within, not_run

STEADY = np.array([0.9, 1.0, 1.1, 1.0, 1.0])


def decided(*parts, id="x1", evidence=Evidence.EXACT):
    text = write_verdicts([ClaimVerdict(Claim(id, "it helps", "mAP", "difference", None), parts, evidence)])
    return VerdictFile.model_validate_json(text).claims


def test_the_part_with_the_largest_published_size_stands_for_a_claim():
    parts = decide("small", STEADY, published=1), decide("large", STEADY, published=4), decide("no size", STEADY)
    (row,) = overview_table({("p", "embedded"): decided(*parts)}).to_dict("records")
    assert (row["part"], row["published"], row["mean"]) == ("large", 4, 1)


def test_of_several_of_that_size_the_one_furthest_below_it():
    parts = decide("raw", 5 * STEADY, published=4), decide("masked", -STEADY, published=4)
    (row,) = overview_table({("p", "embedded"): decided(*parts)}).to_dict("records")
    assert row["part"] == "masked"


@pytest.mark.parametrize("part", [
    decide("no size", STEADY), decide("against it", STEADY, published=-1), decide("one pair", [1.0], published=1),
    decide_within("margin", STEADY, 2, published=0.3), not_run("n", "no data", published=1),
])  # fmt: skip
def test_what_has_no_size_to_compare_is_left_out(part):
    table = overview_table({("p", "embedded"): decided(part)})
    assert list(table.columns) == COLUMNS and table.empty


def test_variants_of_an_algorithm_are_left_out():
    claims = decided(decide("a", STEADY, published=1), id="x1 as written")
    assert overview_table({("p", "embedded"): claims}).empty


def test_every_claim_has_a_row_and_what_lies_beyond_an_arrow():
    claims = [decided(decide("a", STEADY, published=size), id=f"x{n}")[0] for n, size in enumerate((1, 2, 0.01))]
    table = overview_table({("p", "embedded"): claims, ("p", "simulated"): claims[:1]})
    axis = overview_figure(table).axes[0]
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels == [f"x{n}  it helps" for n in range(3)]
    drawn = [(line.get_marker(), float(line.get_xdata()[0])) for line in axis.lines if len(line.get_xdata()) == 1]
    assert drawn == [("o", 1.0), ("^", 1.0), ("o", 0.5), (">", SHOWN[1])]


def test_on_a_telephone_the_claims_stand_above_their_rows():
    claims = [decided(decide("a", STEADY, published=size), id=f"x{n}")[0] for n, size in enumerate((1, 2))]
    figure = overview_figure(overview_table({("p", "embedded"): claims}), narrow=True)
    (axis,) = figure.axes
    assert [text.get_text() for text in axis.get_yticklabels()] == ["", ""]
    above = [(text.get_text(), round(text.get_position()[1])) for text in axis.texts]
    assert above == [("x0  it helps", 0), ("x1  it helps", 1)]
    assert figure.get_size_inches()[0] < 5
