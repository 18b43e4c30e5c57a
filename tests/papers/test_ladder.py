"""The ladder of a profile: which runs a rung has, and which artefacts they stand behind."""

import pytest

from nlcore.errors import InputError
from nlcore.papers import paper
from nlcore.papers.ladder import make_grid
from nlcore.papers.profiles import Resources

LADDER = {
    "rungs": {45: [200], 75: [200, None]},
    "scales": {45: 2.0, 75: 1.0},
    "source": {"model": "mlp"},
    "settings": {"seeds": [7]},
}
SETTINGS = {"source": {"data": "embedded"}, "seeds": [0, 1]}


def grid(settings, seeds, resources):
    """(what is trained on, seed, method) as a run."""
    source = tuple(sorted(settings["source"].items(), key=str))
    return [(source, seed, method) for seed in seeds or settings["seeds"] for method in ("ours", "theirs", "other")]


def made(settings, seeds=None):
    return make_grid(settings, seeds, Resources(), grid=grid, headline=lambda run: run[2] != "other")


def test_a_profile_without_a_ladder_has_its_own_runs_alone():
    found = made(SETTINGS)
    assert (len(found.main), found.rungs, found.specs) == (6, (), list(found.main))


def test_a_rung_has_its_own_images_settings_and_only_the_headline_runs():
    found = made(SETTINGS | {"ladder": LADDER})
    assert [(rung.images, rung.quality) for rung in found.rungs] == [(200, 45), (200, 75), (None, 75)]
    assert {run[1:] for rung in found.rungs for run in rung.specs} == {(7, "ours"), (7, "theirs")}
    source = dict(found.rungs[0].specs[0][0])
    assert source == {"data": "simulated", "model": "mlp", "images": 200, "scale": 2.0}
    assert len(found.specs) == len(found.main) + 3 * 2


def test_seeds_that_were_asked_for_are_those_of_the_rungs_too():
    found = made(SETTINGS | {"ladder": LADDER}, seeds=[3])
    assert {run[1] for run in found.specs} == {3}


def test_a_run_of_a_rung_that_is_one_of_the_profile_is_there_once():
    source = {"data": "simulated", "model": "mlp", "images": 200, "scale": 1.0}
    found = made({"source": source, "seeds": [7], "ladder": LADDER | {"rungs": {75: [200]}}})
    assert len(found.specs) == 3


def test_an_unknown_field_is_one_clear_line():
    with pytest.raises(InputError, match="found rungs, scales, settings, sizes"):
        made(SETTINGS | {"ladder": {name: LADDER.get(name) for name in ("rungs", "scales", "settings", "sizes")}})


def test_a_sweep_is_one_rung_at_several_shares_of_right_labels():
    source = {"model": "mlp", "noisy_right": 0.9}
    sweep = {"quality": 45, "images": 200, "noisy_right": [0.4, 0.9]}
    found = made(SETTINGS | {"ladder": LADDER | {"source": source, "sweep": sweep}})
    assert [(rung.images, rung.quality, rung.right) for rung in found.sweep] == [(200, 45, 0.4), (200, 45, 0.9)]
    assert dict(found.sweep[0].specs[0][0])["noisy_right"] == 0.4
    assert found.sweep[1].specs == found.rungs[0].specs, "where the labels are those of the map, so are the runs"
    assert len(found.specs) == len(found.main) + 4 * 2
    with pytest.raises(InputError, match="sweep: found images; expected images, noisy_right, quality"):
        made(SETTINGS | {"ladder": LADDER | {"sweep": {"images": 200}}})


def test_the_star_of_paper_4_stands_at_the_images_it_trains_on():
    """Those with two labels or more: 65,268 of train2014, as the paper counts, and not all that have one."""
    galc_slr = paper("galc_slr")
    assert galc_slr.training_images(galc_slr.grid("simulated", seeds=[0]).main[0]) == 65_268
