"""The answers of notebook 02 against the functions that they speak of."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from nlcore.data.embedded_set import embedded
from nlcore.generators import generator
from nlcore.losses import asymmetric_loss, asymmetric_loss_raw
from nlcore.noise import hide_labels
from nlcore.scorers.missing_ratio import hard_ratio, medium_distance, relabelling_cost, select_batch
from tests.notebooks_answers.reading import answer, artefact


@pytest.fixture(scope="module")
def images():
    """The labels of the training images, as in the notebook's section 2."""
    return embedded().targets[embedded().train]


def chosen(images, rate):
    """500 images of a pool by Hard and by Medium."""
    given = hide_labels(images[:1849], rate, generator("notebook", rate))
    return [select_batch(given, 500, measure=measure).tolist() for measure in ("hard", "medium")]


def test_1_hard_and_medium_part_at_about_a_third(images):
    names, told = answer(2, 1)
    assert names["pool"] == 1849
    numbers = [float(line.split()[1]) for line in told.splitlines()]
    assert numbers[0] < 1e-5 and numbers[2] < 0.5 < numbers[3] < 2 < numbers[4]
    for rate in (0.2, 0.25, 0.3):
        hard, medium = chosen(images, rate)
        assert hard == medium
    for rate in (0.34, 0.36):
        hard, medium = chosen(images, rate)
        assert hard != medium and set(hard) == set(medium)
    hard, medium = chosen(images, 0.4)
    assert set(hard) != set(medium)
    costs = artefact("missing_label_al", "costs").set_index("noise")
    assert costs.Hard[0.2] == costs.Medium[0.2] and costs.Hard[0.4] > costs.Medium[0.4]


def test_1_up_to_half_the_distance_is_one_minus_the_ratio():
    given = np.array([[-1] * unknown + [0] * (80 - unknown) for unknown in range(41)])
    assert medium_distance(given) == pytest.approx(1 - hard_ratio(given))


def test_2_only_hiding_what_is_there_tells_of_the_image(images):
    frequency, classes = images.mean(axis=0), images.sum(axis=1)
    by_class = np.where(frequency < np.median(frequency), 0.7, 0.3)  # rare classes go missing more often
    rng = generator("tests", "exercise 2")
    unknown = (rng.random(images.shape) < by_class).sum(axis=1)
    assert abs(np.corrcoef(unknown, classes)[0, 1]) < 0.07
    where_present = np.where(rng.random(images.shape) < np.where(images == 1, 0.9, 0.5), -1, images)
    assert np.corrcoef(relabelling_cost(where_present), classes)[0, 1] > 0.1
    hard = select_batch(where_present, 500, measure="hard")
    assert classes[hard].mean() > classes.mean() + 0.3
    at_random = [
        select_batch(given, 500, measure="random", rng=generator("tests")) for given in (where_present, images)
    ]
    assert at_random[0].tolist() == at_random[1].tolist()


def test_3_the_cost_of_medium_follows_from_the_binomial_distribution():
    names, told = answer(2, 3)
    costs = artefact("missing_label_al", "costs").set_index("noise")
    assert round(costs.Medium[0.6], -2) == 21300  # the question's
    assert abs(names["cells"] - costs.Medium[0.6]) < 50
    assert names["u"][:3].tolist() == [40, 39, 41] and told == f"{names['cells']:,.0f} cells\n"
    between = (names["u"] >= 40) & (names["u"] <= 48)
    assert names["taken"].sum() == pytest.approx(500) and names["taken"][between].sum() > 300


def test_4_the_noise_does_not_look_at_the_image():
    _, told = answer(2, 4)
    assert told == "the same for empty images: True\n"
    given, entropy = np.array([[1, -1], [-1, -1], [0, -1]]), np.array([0.1, 0.0, 0.9])
    assert select_batch(given, 3, measure="hard", entropy=entropy).tolist() == [1, 2, 0]


def test_5_raw_rewards_a_small_probability():
    names, _ = answer(2, 5)
    (axes,) = plt.gcf().axes
    assert axes.lines[0].get_ydata() == pytest.approx(names["cost"].numpy())
    plt.close("all")
    p, cost = names["p"].double(), names["cost"].double()
    small = p < 0.05
    assert cost[small].numpy() == pytest.approx(((1 - p) ** 8 * p.log())[small].numpy(), rel=1e-3)
    assert p[cost > 0][0] == pytest.approx(0.41, abs=0.01)
    assert 100 < cost[-1] < 1000
    logits = torch.linspace(-20, 20, 401, dtype=torch.float64)[None].requires_grad_()
    asymmetric_loss_raw(logits, -torch.ones_like(logits)).backward()
    assert (logits.grad >= 0).all()  # down the gradient is down in p
    assert asymmetric_loss_raw(torch.tensor([[-50.0]]), -torch.ones(1, 1)) == pytest.approx(np.log(1e-8), rel=1e-4)
    known = asymmetric_loss(torch.full((1, 80), -3.0), torch.eye(80)[:1])  # p = 0.05 for one present label of 80
    assert cost[-1] > 100 * known
