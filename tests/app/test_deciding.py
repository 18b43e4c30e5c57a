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


def test_without_a_size_it_asks_for_nothing_and_a_margin_has_one():
    assert asked(decide_part("a", WIDE)) == 5
    assert asked(decide_part("a", WIDE, published=-1.0)) == 5, "what is published contradicts the claim"
    assert 5 < asked(decide_within("a", WIDE, 1.0)) < 30


def test_the_surer_it_is_to_be_the_more_seeds():
    found = ClaimVerdict(CLAIM, (decide_part("a", WIDE, published=1.2),))
    counts = [seeds_for(found, own=5, most=30, power=power) for power in (0.5, 0.8, 0.99)]
    assert counts == sorted(counts) and counts[0] < counts[2]


@pytest.mark.parametrize("shift", [-9, -1, 0.4, 1, 9])
def test_neither_the_difference_nor_its_verdict_has_a_part_in_the_number(shift):
    expected = asked(decide_part("a", WIDE, published=0.8))
    assert asked(decide_part("a", WIDE + shift, published=0.8)) == expected > 5


def test_in_two_stages_a_claim_that_is_not_true_is_confirmed_as_seldom_as_in_one():
    """A true difference of zero, five seeds, then as many as they ask for: 2.5 %, and a little for the pilot."""
    rng, confirmed = np.random.default_rng(0), 0
    for _ in range(1500):
        values = rng.normal(size=30)
        number = asked(decide_part("a", values[:5], published=1.0))
        confirmed += estimate(values[:number]).low > 0
    assert confirmed / 1500 < 0.025 + 3 * np.sqrt(0.025 / 1500)


def test_no_seed_is_asked_for_where_the_test_images_will_leave_it_open():
    part = decide_part("a", WIDE, published=0.8)
    for of_images, number in ((0.2, asked(part)), (0.5, 5)):
        found = replace(part, estimate=estimate_strata((tuple(WIDE),), of_images=of_images))
        assert asked(found) >= number if of_images < 0.3 else asked(found) == number


def test_what_is_expected_of_more_seeds_keeps_what_the_test_images_leave_open():
    found = estimate_strata((tuple(WIDE),), of_images=0.3)
    again = found.at(found.pairs)
    np.testing.assert_allclose([again.low, again.high, again.freedom], [found.low, found.high, found.freedom])
    many = found.at(10**6)
    np.testing.assert_allclose([many.error, many.share_of_images], [0.3, 1.0], rtol=1e-4)
    plain = estimate(WIDE).at(10)
    assert (plain.pairs, plain.freedom) == (10, 9)


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
    with pytest.raises(InputError, match="most: found 1; expected 2 or more, the seeds of profile smoke of multi_al"):
        decide(batch, Console(quiet=True), most=1)
    assert not (tmp_path / "store").exists()
