"""The answers of notebook 03 against the functions that they speak of."""

import numpy as np
import pytest

from nlcore.papers.cleanlab_ema.classifiers import make_classifier, predict_labels
from nlcore.papers.cleanlab_ema.published import published_table
from nlcore.scorers import label_quality_scores
from tests.notebooks_answers.reading import answer, artefact, exercises


@pytest.fixture(scope="module")
def published():
    """Pooling by panel (group and classifier), for each metric."""
    return published_table().pivot_table(index="pooling", columns=["metric", "group", "classifier"], values="mean")


def test_1_the_images_swap_where_the_answer_says():
    names, _ = answer(3, 1)
    labels, milder, swap = names["labels"], names["milder"], names["swap"]
    ema = lambda alpha: label_quality_scores(labels, milder, pooling="ema", alpha=alpha)
    assert f"{swap:.3f}" == "0.807" and f"{1 - swap:.3f}" == "0.193"
    assert ema(swap)[1] == pytest.approx(ema(swap)[2])
    for alpha in (0.5, 0.7, swap - 1e-4):
        assert list(ema(alpha).argsort()[:2]) == [2, 1]
    for alpha in (swap + 1e-4, 0.9, 1.0):
        assert list(ema(alpha).argsort()[:2]) == [1, 2]
    a, b = 0.7, 0.3
    assert ema(a)[2] == pytest.approx(0.2 * a + 0.4 * a * b + 0.8 * a * b**2 + 0.9 * b**3)
    assert ema(a)[1] == pytest.approx(0.9 - 0.8 * a)
    assert np.polymul([1, -1], [1, 5, -1]).tolist() == [1, 4, -6, 1]
    assert np.polyval([1, 4, -6, 1], 1 - swap) == pytest.approx(0)


def test_2_the_published_numbers_are_as_the_question_says(published):
    two, three = published["ap_at_t_2"], published["ap_at_t_3"]
    assert (two.idxmax() == "cumulative(k=2)").sum() == 3 and two.shape[1] == 4
    assert (three.loc["cumulative(k=3)"] > three.loc["cumulative(k=2)"]).all()


def test_2_only_more_than_one_score_tells_two_errors_from_one():
    _, told = answer(3, 2)
    pooled = {int(line[0]): [float(value) for value in line[3:-1].split()] for line in told.splitlines()}
    assert pooled[1][0] < pooled[1][1] and pooled[2][0] > pooled[2][1]


def test_2_ema_has_the_best_mean_rank_by_the_published_numbers():
    ranks = artefact("cleanlab_ema", "why_ranks").set_index("pooling")["mean rank, published"]
    assert ranks.idxmin() == "ema(alpha=0.8)" and "weighted_cumulative" in ranks.nsmallest(2).index


def test_3_random_probabilities_find_errors_at_the_base_rate():
    names, told = answer(3, 3)
    base = names["wrong"].mean()
    assert f"{base:.2f}" == "0.37" and (~names["wrong"]).sum() == 3134 and len(names["wrong"]) == 5000
    drawn = []
    for seed in range(20):
        noise = np.random.default_rng(seed).random(names["data"].given_labels.shape)
        quality = label_quality_scores(names["data"].given_labels, noise, pooling="ema", alpha=0.8)
        drawn.append(names["average_precision_at"](quality, names["wrong"], int(names["wrong"].sum())))
    assert np.mean(drawn) == pytest.approx(base, abs=0.01) and names["ap"] == pytest.approx(drawn[0])
    assert "0.37" in exercises(3)[3].answer and told.startswith("AP@T 0.3")


@pytest.mark.slow
def test_4_another_classifier_changes_more_than_shared_trees():
    names, _ = answer(3, 4)
    found, right = names["found"], names["right"]
    shared = abs(found["joint_random_forest"] - found["random_forest"])
    other = found["logistic_regression"] - found["random_forest"]
    assert shared < 0.02 and other > 3 * shared
    assert right["logistic_regression"] < min(right["random_forest"], right["joint_random_forest"])
    features, given = names["data"].features[:1000], names["data"].given_labels[:1000]  # who learns them by heart?
    by_heart = lambda name: (predict_labels(make_classifier(name).fit(features, given), features) == given).mean()
    assert by_heart("random_forest") > 0.99 and by_heart("joint_random_forest") > 0.99
    assert by_heart("logistic_regression") < 0.85
