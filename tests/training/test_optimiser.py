"""The fused optimiser: torch's numbers, without what torch loads and looks through."""

import subprocess
import sys

import pytest
import torch

from nlcore.training.models import mlp_head
from nlcore.training.optimiser import FusedAdam

SETTINGS = ({"lr": 0.01, "weight_decay": 0.1}, {"lr": 0.003, "weight_decay": 0.0})


def heads(count):
    return [mlp_head(6, 3, hidden=5, generator=torch.Generator().manual_seed(0)) for _ in range(count)]


def groups(model):
    matrices, vectors = ([p for p in model.parameters() if p.ndim == axes] for axes in (2, 1))
    return [{"params": own, **settings} for own, settings in zip((matrices, vectors), SETTINGS, strict=True)]


def test_it_is_torchs_fused_adam_to_the_bit():
    ours, theirs = heads(2)
    optimisers = [FusedAdam(groups(ours)), torch.optim.Adam(groups(theirs), fused=True)]
    draws = torch.Generator().manual_seed(1)
    for step in range(5):
        inputs = torch.randn(4, 6, generator=draws)
        for model, optimiser in zip((ours, theirs), optimisers, strict=True):
            for group in optimiser.param_groups:  # as the schedule does
                group["lr"] *= 0.9
                group["betas"] = (0.9 - step / 50, 0.999)
            model(inputs).square().sum().backward()
            optimiser.step()
            optimiser.zero_grad()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert not torch.equal(ours[0].weight, heads(1)[0][0].weight)


def test_a_parameter_without_a_gradient_stays_with_its_moments():
    (model,) = heads(1)
    optimiser, before = FusedAdam(groups(model)), model[2].weight.clone()
    model[0](torch.ones(1, 6)).sum().backward()
    optimiser.step()
    assert torch.equal(model[2].weight, before)
    assert optimiser.state[model[2].weight]["step"] == 0
    assert optimiser.state[model[0].weight]["step"] == 1


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_heads_train_without_torchs_compiler(optimiser):
    """It takes a second and 70 MB in every process."""
    code = f"""
import sys, torch
from nlcore.training import FeatureBatches, Recipe, closed_form, fixed_order, train
from nlcore.training.models import linear_head
from nlcore.losses import asymmetric_gradient
loss = closed_form(asymmetric_gradient)
run = train(
    linear_head(6, 3, generator=torch.Generator()),
    Recipe(epochs=1, batch_size=2, optimiser={optimiser!r}),
    sampler=fixed_order(torch.arange(4), 2),
    fetch=FeatureBatches(torch.ones(4, 6), torch.ones(4, 3), device=torch.device("cpu")),
    loss=lambda model, batch: loss(model(batch[0]), batch[1]),
)
print(run.step, "torch._dynamo" in sys.modules)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["2", "False"]
