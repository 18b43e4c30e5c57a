"""Mixup: mixtures of two images and of their losses, alike for a model alone and beside others."""

import numpy as np
import torch

from nlcore.losses import asymmetric_gradient, asymmetric_loss
from nlcore.training import FeatureBatches
from nlcore.training.mixup import MixedBatches, mixed_gradient

FEATURES = torch.arange(12.0).view(6, 2)
LABELS = np.eye(6, 3, dtype=np.int8)


def batches(targets, *seeds):
    fetch = FeatureBatches(FEATURES, targets, device=torch.device("cpu"))
    return MixedBatches(fetch, [np.random.default_rng(seed) for seed in seeds], alpha=1.0)


def test_an_image_is_mixed_with_one_of_its_batch_in_the_share_that_its_targets_name():
    rows = torch.tensor([0, 2, 4, 5])
    mixed, targets = batches(LABELS, 3)(rows)
    own, their, share = targets[:, :3], targets[:, 3:6], targets[:, 6:]
    assert torch.equal(own, torch.from_numpy(LABELS[rows]).float())
    assert 0 < share[0] < 1
    assert (share == share[0]).all()
    partners = [next(int(r) for r in rows if torch.allclose(one, share[0] * FEATURES[i] + (1 - share[0]) * FEATURES[r]))
                for i, one in zip(rows, mixed, strict=True)]  # fmt: skip
    assert sorted(partners) == rows.tolist(), "every image is somebody's partner"
    assert torch.equal(their, torch.from_numpy(LABELS[partners]).float())


def test_a_member_of_a_stack_sees_what_it_would_see_alone():
    rows = torch.tensor([[0, 1, 2], [3, 4, 5]])
    labels = np.stack([LABELS, 1 - LABELS])
    together = batches(labels, 7, 8)(rows)
    for member, seed in enumerate((7, 8)):
        alone = batches(labels[member], seed)(rows[member])
        for ours, theirs in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[member], theirs, rtol=0, atol=0)


def test_the_gradient_is_that_of_the_two_losses_in_their_shares():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, generator=generator, requires_grad=True)
    own, their = (torch.randint(-1, 2, (4, 3), generator=generator).float() for _ in range(2))
    (0.3 * asymmetric_loss(logits, own) + 0.7 * asymmetric_loss(logits, their)).backward()
    targets = torch.cat([own, their, torch.full((4, 1), 0.3)], dim=1)
    found = mixed_gradient(asymmetric_gradient)(logits.detach(), targets)
    torch.testing.assert_close(found, logits.grad)


def test_rows_that_fill_a_batch_up_have_no_gradient():
    filled = torch.full((2, 7), -1.0)
    assert not mixed_gradient(asymmetric_gradient)(torch.zeros(2, 3), filled).any()
