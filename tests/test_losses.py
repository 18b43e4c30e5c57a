"""Losses against hand-computed values, timm's implementation, finite differences, and their own masking."""

import math

import pytest
import torch
from torch.nn import functional

from nlcore.errors import InputError
from nlcore.losses import (
    asymmetric_calibration,
    asymmetric_gradient,
    asymmetric_gradient_of_probabilities,
    asymmetric_loss,
    asymmetric_loss_of_probabilities,
    asymmetric_loss_raw,
    binary_cross_entropy_gradient,
    large_loss_gradient,
    masked_binary_cross_entropy,
)

LOG_3 = math.log(3)  # the logit of probability 3/4


def random_cells(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(*shape, generator=generator, dtype=dtype)
    return logits, (torch.rand(*shape, generator=generator) < 0.3).to(dtype)


def test_hand_computed_cells():
    logits = torch.tensor([[LOG_3, LOG_3, -LOG_3, LOG_3, -10.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0, 0.0, -1.0, 0.0]], dtype=torch.float64)
    cells = asymmetric_loss(logits, targets, gamma_pos=2, reduction="none")
    expected = [
        0.25**2 * -math.log(0.75),  # present, p = 3/4
        0.70**4 * -math.log(0.30),  # absent, p = 3/4, shifted to 0.70
        0.20**4 * -math.log(0.80),  # absent, p = 1/4, shifted to 0.20
        0.0,  # unknown
        0.0,  # absent, p below the margin
    ]
    torch.testing.assert_close(cells, torch.tensor([expected], dtype=torch.float64))


def test_defaults_are_those_of_the_published_recipe():
    logits, targets = random_cells(8, 5)
    spelled_out = asymmetric_loss(
        logits, targets, gamma_neg=4, gamma_pos=0, clip=0.05, reduction="sum", focusing_gradient=False
    )
    assert torch.equal(asymmetric_loss(logits, targets), spelled_out)


@pytest.mark.parametrize("focusing_gradient", [False, True])
@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4, 0, 0.05), (4, 1, 0.05), (2, 3, 0.0), (1.5, 0.5, 0.2)])
@pytest.mark.parametrize("loss", [asymmetric_loss, asymmetric_loss_raw])
def test_agrees_with_timm(loss, gamma_neg, gamma_pos, clip, focusing_gradient):
    from nlcore.torchvision_compat import ensure_torchvision

    ensure_torchvision()
    from timm.loss import AsymmetricLossMultiLabel

    settings = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip, "reduction": "sum"}
    theirs = AsymmetricLossMultiLabel(**settings, disable_torch_grad_focal_loss=not focusing_gradient)
    gradients, values = [], []
    for function in (theirs, lambda x, y: loss(x, y, **settings, focusing_gradient=focusing_gradient)):
        logits, targets = random_cells(16, 7)
        logits.requires_grad_()
        values.append(function(logits, targets))
        values[-1].backward()
        gradients.append(logits.grad)
    torch.testing.assert_close(values[1], values[0])
    torch.testing.assert_close(gradients[1], gradients[0])


def by_differentiation(loss, values, targets):
    values = values.clone().requires_grad_()
    return torch.autograd.grad(loss(values, targets), values)[0]


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4, 0, 0.05), (4, 1, 0.05), (2, 3, 0.0), (0, 0, 0.2)])
def test_gradients_in_closed_form_are_those_of_the_losses(gamma_neg, gamma_pos, clip):
    """Also of logits at which probabilities are cut off, and of probabilities that a correction leaves beyond 1."""
    logits, targets = random_cells(16, 7, dtype=torch.float64)
    logits[:4] *= 10
    targets[:, 3] = -1
    settings = {"gamma_neg": gamma_neg, "gamma_pos": gamma_pos, "clip": clip}
    expected = by_differentiation(lambda x, y: asymmetric_loss(x, y, **settings), logits, targets)
    torch.testing.assert_close(asymmetric_gradient(logits, targets, **settings), expected)
    corrected = 1.2 * torch.sigmoid(logits)
    expected = by_differentiation(lambda x, y: asymmetric_loss_of_probabilities(x, y, **settings), corrected, targets)
    torch.testing.assert_close(asymmetric_gradient_of_probabilities(corrected, targets, **settings), expected)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_cross_entropys_gradient_in_closed_form(reduction):
    logits, targets = random_cells(3, 16, 7)
    targets[1, :, 3] = -1
    targets[2] = -1
    targets[0, 0, 0] = 0.3
    loss = lambda x, y: masked_binary_cross_entropy(x, y, reduction=reduction)
    found = binary_cross_entropy_gradient(logits, targets, reduction=reduction)
    torch.testing.assert_close(found, by_differentiation(loss, logits, targets))


@pytest.mark.parametrize(
    "gradient", [asymmetric_gradient, asymmetric_gradient_of_probabilities, binary_cross_entropy_gradient]
)
def test_gradients_refuse_wrong_shapes(gradient):
    with pytest.raises(InputError, match="shape of targets"):
        gradient(torch.zeros(2, 3), torch.zeros(2, 1))


@pytest.mark.parametrize("loss", [asymmetric_loss, asymmetric_loss_raw])
def test_gradient_by_finite_differences(loss):
    logits, targets = random_cells(4, 6, dtype=torch.float64)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(x, targets, gamma_pos=1, focusing_gradient=True), logits)


def test_constant_focusing_weight_changes_the_gradient_and_not_the_value():
    logits, targets = random_cells(4, 6)
    logits.requires_grad_()
    with_gradient, without = (asymmetric_loss(logits, targets, focusing_gradient=f) for f in (True, False))
    assert with_gradient.item() == without.item()
    first, second = (torch.autograd.grad(value, logits)[0] for value in (with_gradient, without))
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("loss", [asymmetric_loss, masked_binary_cross_entropy])
def test_unknown_cells_cost_nothing_and_pull_nothing(loss):
    logits, targets = random_cells(6, 5)
    targets[:, 2] = -1
    logits[:, 2] = 5.0
    logits.requires_grad_()
    value = loss(logits, targets, reduction="sum")
    rest = [0, 1, 3, 4]
    torch.testing.assert_close(value, loss(logits[:, rest], targets[:, rest], reduction="sum"))
    value.backward()
    assert (logits.grad[:, 2] == 0).all()
    assert (logits.grad[:, rest] != 0).any()


def test_unknown_cell_of_the_raw_formula():
    p, q = 0.75, 0.30
    cell = asymmetric_loss_raw(torch.tensor([[LOG_3]], dtype=torch.float64), torch.tensor([[-1]]), reduction="none")
    expected = -((1 + p - 2 * q) ** 8) * (2 * math.log(q) - math.log(p))
    assert cell.item() == pytest.approx(expected)


def test_probabilities_in_place_of_logits():
    logits, targets = random_cells(6, 5)
    torch.testing.assert_close(
        asymmetric_loss_of_probabilities(torch.sigmoid(logits), targets), asymmetric_loss(logits, targets)
    )


def test_cross_entropy_by_hand_and_mean_over_known_cells():
    logits = torch.tensor([[LOG_3, LOG_3, 0.0]])
    targets = torch.tensor([[1, 0, -1]])
    value = masked_binary_cross_entropy(logits, targets)
    assert value.item() == pytest.approx((-math.log(0.75) - math.log(0.25)) / 2, rel=1e-6)


@pytest.mark.parametrize("loss", [asymmetric_loss, asymmetric_loss_raw, masked_binary_cross_entropy])
def test_half_precision_logits_give_finite_float32(loss):
    logits = torch.tensor([[-60000.0, -30.0, 0.0, 30.0, 60000.0]] * 2, dtype=torch.float16, requires_grad=True)
    targets = torch.tensor([[1.0] * 5, [0.0] * 5])
    value = loss(logits, targets)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", [asymmetric_loss, asymmetric_loss_raw, masked_binary_cross_entropy])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_stack_costs_the_sum_of_its_members(loss, reduction):
    logits, targets = random_cells(3, 6, 5)
    targets[1, :3] = -1
    alone = sum(loss(x, y, reduction=reduction) for x, y in zip(logits, targets, strict=True))
    torch.testing.assert_close(loss(logits, targets, reduction=reduction), alone)


def test_wrong_shapes_and_reductions_are_refused():
    with pytest.raises(InputError, match=r"shape of targets: found \(2, 1\); expected \(2, 3\)"):
        asymmetric_loss(torch.zeros(2, 3), torch.zeros(2, 1))
    with pytest.raises(InputError, match="reduction: found 'average'; expected"):
        asymmetric_loss(torch.zeros(2, 3), torch.zeros(2, 3), reduction="average")


class TestLargeLosses:
    """LL-R and LL-Ct, against a plain loop over the cells."""

    @staticmethod
    def by_hand(logits, targets, share, corrected):
        logits = logits.clone().requires_grad_()
        taking_part = [i for i in range(len(targets)) if (targets[i] >= 0).any()]
        cells = len(taking_part) * targets.shape[1]
        unknown = [(i, k) for i in taking_part for k in range(targets.shape[1]) if targets[i, k] < 0]
        cost = lambda i, k, t: functional.binary_cross_entropy_with_logits(logits[i, k], torch.tensor(float(t)))
        large = sorted(unknown, key=lambda cell: -float(cost(*cell, 0)))[: math.ceil(share * cells)]
        total = torch.zeros(())
        for i in taking_part:
            for k in range(targets.shape[1]):
                if (i, k) in large:
                    total = total + cost(i, k, 1) if corrected else total
                else:
                    total = total + cost(i, k, max(int(targets[i, k]), 0))
        (total / cells).backward()
        return logits.grad

    @pytest.mark.parametrize("corrected", [False, True])
    @pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
    def test_the_gradient_is_that_of_the_loss_cell_by_cell(self, share, corrected):
        generator = torch.Generator().manual_seed(1)
        logits = torch.randn(2, 6, 5, generator=generator)
        targets = torch.randint(-1, 2, (2, 6, 5), generator=generator).float()
        targets[:, 3] = -1  # an image of which nothing is known
        found = large_loss_gradient(logits, targets, share=share, corrected=corrected)
        for member in range(2):
            wanted = self.by_hand(logits[member], targets[member], share, corrected)
            torch.testing.assert_close(found[member], wanted)

    def test_rows_that_fill_a_batch_up_change_nothing(self):
        generator = torch.Generator().manual_seed(2)
        logits, targets = torch.randn(3, 7, generator=generator), torch.tensor([[1.0, -1, -1, 0, -1, -1, -1]] * 3)
        options = {"share": 0.2, "corrected": False}
        alone = large_loss_gradient(logits, targets, **options)
        filled = large_loss_gradient(
            functional.pad(logits, (0, 0, 0, 5), value=9.0), functional.pad(targets, (0, 0, 0, 5), value=-1), **options
        )
        torch.testing.assert_close(filled[:3], alone)  # a sigmoid's last digit hangs on its place in a tensor
        assert not filled[3:].any()

    def test_a_share_is_a_fraction(self):
        with pytest.raises(InputError, match=r"share: found 1\.5"):
            large_loss_gradient(torch.zeros(1, 2), torch.zeros(1, 2), share=1.5, corrected=True)


class TestCalibration:
    @pytest.mark.parametrize("chance", [0.015, 0.3, 0.9])
    def test_it_is_where_asl_stops_when_it_is_trained_on_labels_of_that_chance(self, chance):
        logit = torch.zeros(1, 1, dtype=torch.float64)
        for _ in range(4000):
            by_target = (asymmetric_gradient(logit, torch.full((1, 1), target)) for target in (1.0, 0.0))
            present, absent = by_target
            logit = logit - 2 * (chance * present + (1 - chance) * absent)
        assert float(asymmetric_calibration(torch.sigmoid(logit))) == pytest.approx(chance, rel=1e-3)

    def test_without_focusing_and_margin_an_output_is_the_chance_itself(self):
        p = torch.tensor([0.0, 0.2, 1.0])
        assert torch.allclose(asymmetric_calibration(p, gamma_neg=0, clip=0), p)

    def test_it_grows_with_the_output_and_below_the_margin_is_none(self):
        q = asymmetric_calibration(torch.linspace(0.05, 1, 200))
        assert (q.diff() > 0).all()
        assert not asymmetric_calibration(torch.tensor([0.0, 0.049])).any()
