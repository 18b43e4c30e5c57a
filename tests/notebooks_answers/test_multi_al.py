"""The answers of notebook 01 against the functions that they speak of."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from nlcore.losses import asymmetric_loss
from nlcore.papers.multi_al import strategies
from nlcore.papers.multi_al.runs import ActiveLearningRun
from nlcore.papers.multi_al.study import grid
from nlcore.papers.profiles import Resources, load_profile
from nlcore.scorers.mislabelling import conflicting_pairs, mislabelling_likelihood, predicted_labels
from tests.notebooks_answers.reading import answer, artefact, examples, exercises


@pytest.fixture(scope="module")
def study():
    """The runs of the embedded profile, and of their results the last ones, from its committed table."""
    specs = grid(load_profile("nlcore.papers.multi_al", "embedded"), None, Resources())
    gains = artefact("multi_al", "gains").query("metric == 'mAP' and noise == 0.6").set_index("strategy")
    last = pd.DataFrame({**gains.mAP.to_dict(), "asl": gains.ASL.iloc[0]}, index=pd.MultiIndex.from_tuples([(0.6, 0)]))
    return SimpleNamespace(specs=specs, images=specs[0].source.load(), final=lambda: last)


@pytest.mark.parametrize("cup, likelihood, pairs", [(0.3, 0.5, 1), (0.45, 0.25, 1), (0.6, 0, 1), (0.61, 0, 0)])
def test_1_the_pair_goes_where_cup_passes_car(cup, likelihood, pairs):
    example = examples(1)
    probs, labels, classes = example["probs"].copy(), example["labels"], example["classes"]
    probs[1, classes.index("cup")] = cup
    assert probs[1, classes.index("car")] == 0.6
    assert mislabelling_likelihood(probs, labels)[1] == pytest.approx(likelihood)
    assert likelihood == pytest.approx(max(1 - cup / 0.6, 0))
    assert (conflicting_pairs(probs, labels).image == 1).sum() == pairs
    assert predicted_labels(probs, labels)[1, classes.index("cup")] == (cup > 0.6)


@pytest.mark.slow
def test_2_entropy_chooses_images_of_fewer_labels(study):
    names, told = answer(1, 2, study=study)
    counts = study.images.targets.sum(axis=1)
    labels = {name: counts[names[name]].mean() for name in ("by_entropy", "by_chance", "pool")}
    assert labels["by_entropy"] < labels["pool"] - 0.2
    assert abs(labels["by_chance"] - labels["pool"]) < 0.2
    assert len(told.splitlines()) == 3


def test_3_safe_images_are_cleaner_than_the_pool_and_cost_mAP_at_60_percent():
    shares = artefact("multi_al", "selection").set_index(["noise", "strategy"])
    gains = artefact("multi_al", "gains").query("metric == 'mAP'").set_index(["noise", "strategy"]).mAP
    for safe, without in (("multi_al_safe", "multi_al"), ("random_safe", "random")):
        assert gains[0.6, safe] < gains[0.6, without] and gains[0.2, safe] > gains[0.2, without]
        assert shares.safe_clean[0.6, safe] > 1 - shares.chosen_wrong[0.6, "random"]
        assert shares.safe_clean[0.2, safe] > 0.95 and 0.5 < shares.safe_clean[0.6, safe] < 0.7
    cost = asymmetric_loss(torch.logit(torch.tensor([[0.9, 0.5]])), torch.ones(1, 2), reduction="none")[0]
    text = exercises(1)[3].answer
    assert f"costs {cost[0]:.2f}" in text and f"costs {cost[1]:.2f}" in text
    assert 5.5 < cost[1] / cost[0] < 7  # "six times"


def test_4_the_strategy_asks_about_the_highest_D1(monkeypatch):
    monkeypatch.setattr(strategies, "STRATEGIES", dict(strategies.STRATEGIES))
    answer(1, 4)
    way = strategies.STRATEGIES["suspicious"]
    example = examples(1)
    view = SimpleNamespace(probabilities=example["probs"], labels=example["labels"])
    assert list(way.make(None)(view, 2)) == [2, 1]
    assert way.sees_given_labels and not way.safe


def test_4_whoever_forgets_to_say_so_has_one_run_for_all_levels(study):
    noises = {"random": set(), "cbim": set()}
    for spec in study.specs:
        if isinstance(spec, ActiveLearningRun) and spec.strategy in noises:
            noises[spec.strategy].add(spec.noise)
    assert noises == {"random": {None}, "cbim": {0.2, 0.4, 0.6}}


@pytest.mark.slow
def test_5_more_than_half_of_the_gap_is_left(study):
    names, told = answer(1, 5, study=study)
    assert 0.2 < names["closed"] < 0.5
    assert told.startswith("closed: ")
    clean = (names["labels_given"][0] == study.images.targets).all(axis=1)
    assert clean[names["cleaned"]].all() and clean[names["split"].initial[0]].all()
    assert (~clean).sum() > 600  # "more of them than clean ones"
    assert np.isin(names["cleaned"], names["split"].pool).all()
