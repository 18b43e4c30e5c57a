"""`run_all.py decide`: as many seeds as the open parts of a headline claim need, and no more."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from nlcore.app import deciding
from nlcore.app.batch import Batch
from nlcore.app.cli import main
from nlcore.app.deciding import decide, more, seeds_for
from nlcore.errors import InputError
from nlcore.papers.paper import Asked
from nlcore.report.claims import ClaimVerdict
from nlcore.report.contract import Claim
from nlcore.report.intervals import estimate, estimate_strata
from nlcore.report.verdict_file import read_verdicts
from nlcore.report.verdicts import decide as decide_part
from nlcore.report.verdicts import decide_within

CLAIM = Claim(id="x1", claim="it helps", metric="mAP", test="difference > 0", published=None)
WIDE = np.array([-1.0, 1.6, 0.2, -0.6, 1.3])  # 0.3, with a spread of 1.1


def asked(*parts):
    return seeds_for(ClaimVerdict(CLAIM, parts), own=5, most=30)


def test_what_is_decided_asks_for_no_more():
    assert asked(decide_part("a", WIDE + 9), decide_part("b", WIDE - 9)) == 5


def test_the_smaller_the_published_size_the_more_seeds():
    counts = [asked(decide_part("a", WIDE, published=size)) for size in (2.0, 1.2, 0.8)]
    assert counts == sorted(counts) and counts[0] == 5 < counts[1] < counts[2] <= 30


def test_so_many_would_confirm_it_with_the_power_that_was_asked_for():
    """Of 2,000 draws of a true claim with the spread that was found."""
    rng, size, spread = np.random.default_rng(0), 0.8, WIDE.std(ddof=1)
    number = asked(decide_part("a", WIDE, published=size))
    for count, enough in ((number, True), (number - 5, False)):
        low = [estimate(row).low for row in rng.normal(size, spread, (2000, count))]
        assert (np.mean(np.array(low) > 0) > 0.78) == enough


def test_without_a_published_size_it_is_as_many_as_are_allowed():
    assert asked(decide_part("a", WIDE)) == 30
    assert asked(decide_within("a", WIDE, 1.0)) < 30, "a margin has one: no difference"


def test_the_surer_it_is_to_be_the_more_seeds():
    found = ClaimVerdict(CLAIM, (decide_part("a", WIDE, published=1.2),))
    counts = [seeds_for(found, own=5, most=30, power=power) for power in (0.5, 0.8, 0.99)]
    assert counts == sorted(counts) and counts[0] < counts[2]


def test_how_large_the_difference_is_asks_for_nothing():
    shifted = decide_part("a", WIDE + 0.4, published=0.8)
    assert asked(shifted) == asked(decide_part("a", WIDE, published=0.8))


def test_no_seed_is_asked_for_where_the_test_images_leave_it_open():
    open_part = decide_part("a", WIDE, published=0.3)
    by_images = replace(open_part, estimate=estimate_strata((tuple(WIDE),), of_images=1.0))
    assert by_images.estimate.images > 0.5
    assert asked(by_images) == 5
    assert asked(open_part) == 30


def test_what_is_expected_of_more_seeds_keeps_what_the_test_images_leave_open():
    found = estimate_strata((tuple(WIDE),), of_images=0.3)
    again = found.at(found.pairs)
    np.testing.assert_allclose([again.low, again.high, again.freedom], [found.low, found.high, found.freedom])
    many = found.at(10**6)
    np.testing.assert_allclose([many.error, many.images], [0.3, 1.0], rtol=1e-4)


def test_seeds_go_on_after_the_profiles_own():
    assert more([0, 1, 4], 5) == [0, 1, 4, 5, 6]


@pytest.mark.slow
def test_a_paper_is_decided_beside_its_profile(smoke_store, tmp_path, monkeypatch):
    """At this size the test images leave all open, whatever the seeds: two more are asked for all the same."""
    monkeypatch.setattr(deciding, "seeds_for", lambda decided, own, **_: own + 2 if decided.claim.id == "ml1" else own)
    batch = Batch(["missing_label_al"], Asked(profile="smoke", output=tmp_path, store=smoke_store.root))
    found = decide(batch, Console(width=200, quiet=True), most=4)
    assert [one.after.claim.id for one in found] == ["ml1", "ml2"]
    kept = read_verdicts(tmp_path / "missing_label_al" / "smoke.more-seeds" / "verdicts.json")
    for one, file in zip(found, kept, strict=True):
        assert {part.pairs for part in file.parts} == {one.seeds}
        assert {part.estimate.pairs for part in one.before.parts} == {2}
    assert [one.seeds for one in found] == [4, 2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--seeds", "0-4"], "decide: found beside --seeds; expected none of it, since decide says what is run"),
        (["--partial"], "decide: found beside --partial; expected none of it, since decide says what is run"),
    ],
)
def test_what_it_chooses_itself_is_not_to_be_given(options, told, capsys):
    assert main(["--papers", "multi_al", "--profile", "smoke", *options, "decide"]) == 2
    assert capsys.readouterr().err == f"error: {told}\n"


def test_fewer_seeds_than_the_profile_has_are_refused(tmp_path):
    batch = Batch(["multi_al"], Asked(profile="smoke", output=tmp_path, store=tmp_path / "store"))
    with pytest.raises(InputError, match="most: found 1 seeds; expected 2 or more, as profile smoke has"):
        decide(batch, Console(quiet=True), most=1)
    assert not (tmp_path / "store").exists()
