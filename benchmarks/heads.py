"""Milliseconds per head and step: stacks of heads in this suite's loop, its peers, and its ceiling, in one run.

    python benchmarks/heads.py                       # linear heads and MLPs, 1, 8 and 64 at once
    python benchmarks/heads.py --members 8 --steps 100 --repeats 3
    python benchmarks/heads.py --ways ours --members 1 5 10 20 40 80 --batch-size 16   # which stack is fastest
    python benchmarks/heads.py --parts --members 8 64                                  # where the time of a step goes

Heads on 256 features, 80 classes, batches of 64, ASL, Adam, one thread. Every way trains M heads, each on batches and
labels of its own:

    ours      one stack of M heads in nlcore's loop (`train`), which fetches, schedules and averages nothing else;
    compiled  ours with the gradient of its loss through torch.compile, whose start is not counted;
    shared    the same where all members see the same images, as methods of one seed do (labels are their own);
    loop      plain torch, one head after the other: torch's layers and Adam, timm's ASL (the same loss and gradient);
    vmap      torch.func: vmap of grad over stack_module_state, torch's Adam on the stacked weights;
    sklearn   MLPClassifier(solver="adam") by partial_fit, one after the other; it has no ASL: binary cross-entropy. Of
              linear heads SGDClassifier(loss="log_loss"), one class after the other: plain SGD, sample by sample;
    ceiling   the bare matrix products of a step, forward and backward, as batched products: nothing else.

They take turns, `--repeats` times; printed are medians with the range, and ratios taken turn by turn.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from nlcore.losses import asymmetric_gradient
from nlcore.torchvision_compat import ensure_torchvision
from nlcore.training import FeatureBatches, Recipe, fixed_order, stacked, train
from nlcore.training.gradients import closed_form
from nlcore.training.learners import ASYMMETRIC
from nlcore.training.models import linear_head, mlp_head, stack_heads

ensure_torchvision()
from timm.loss import AsymmetricLossMultiLabel  # noqa: E402  (timm loads torchvision, which needs the call above)

FEATURES, CLASSES, HIDDEN, IMAGES = 256, 80, 512, 8192
HEADS = {"linear": linear_head, "mlp": partial(mlp_head, hidden=HIDDEN)}
Step = Callable[[int], None]  # trains all members for so many steps


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="`ours` always runs")
    parser.add_argument("--members", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=64, help="timed steps of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--parts", action="store_true", help="of `ours` alone: what torch's operators take, by kind")
    return parser.parse_args()


class Data:
    """Features (N, D), labels (M, N, K), and the rows of every batch, (M, B) or (B,) for all."""

    def __init__(self, members: int, batch_size: int) -> None:
        draws = torch.Generator().manual_seed(0)
        self.features = torch.randn(IMAGES, FEATURES, generator=draws)
        self.targets = (torch.rand(members, IMAGES, CLASSES, generator=draws) < 0.04).to(torch.int8)
        self.orders = [torch.randperm(IMAGES, generator=draws) for _ in range(members)]
        self.batch_size = batch_size

    def batch(self, member: int, step: int) -> tuple[Tensor, Tensor]:
        """One member's features (B, D) and labels (B, K) float32."""
        start = step * self.batch_size % IMAGES
        rows = self.orders[member][start : start + self.batch_size]
        return self.features[rows], self.targets[member, rows].float()


def heads(kind: str, members: int) -> list[nn.Sequential]:
    return [HEADS[kind](FEATURES, CLASSES, generator=torch.Generator().manual_seed(m)) for m in range(members)]


def ours(kind: str, members: int, data: Data, *, shared: bool = False, compiled: bool = False) -> Step:
    of_loss = closed_form(torch.compile(asymmetric_gradient)) if compiled else ASYMMETRIC
    model = stack_heads(heads(kind, members))
    fetch = FeatureBatches(data.features, data.targets, device=torch.device("cpu"))

    def run(steps: int) -> None:
        recipe = Recipe(epochs=1, batch_size=data.batch_size, evaluate_every=2)
        rows = steps * data.batch_size
        repeated = [order.repeat(-(-rows // IMAGES))[:rows] for order in data.orders]
        orders = [fixed_order(order, data.batch_size) for order in repeated]
        sampler = orders[0] if shared else stacked(orders)
        train(model, recipe, sampler=sampler, fetch=fetch, loss=lambda m, batch: of_loss(m(batch[0]), batch[1]))

    return run


def timm_loss() -> nn.Module:
    """The published recipe's settings, which are nlcore's defaults: the factor before the logarithm is a constant."""
    return AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=0, clip=0.05, disable_torch_grad_focal_loss=True)


def loop(kind: str, members: int, data: Data) -> Step:
    models, loss = heads(kind, members), timm_loss()
    optimisers = [torch.optim.Adam(model.parameters(), lr=1e-4) for model in models]

    def run(steps: int) -> None:
        for member, (model, optimiser) in enumerate(zip(models, optimisers, strict=True)):
            for step in range(steps):
                features, labels = data.batch(member, step)
                loss(model(features), labels).backward()
                optimiser.step()
                optimiser.zero_grad()

    return run


def vmap(kind: str, members: int, data: Data) -> Step:
    models, loss = heads(kind, members), timm_loss()
    weights, buffers = torch.func.stack_module_state(models)
    optimiser = torch.optim.Adam(weights.values(), lr=1e-4)

    def value(own: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
        return loss(torch.func.functional_call(models[0], (own, buffers), (features,)), labels)

    gradients = torch.func.vmap(torch.func.grad(value))

    def run(steps: int) -> None:
        for step in range(steps):
            batches = [data.batch(member, step) for member in range(members)]
            found = gradients(weights, *(torch.stack(part) for part in zip(*batches, strict=True)))
            for name, weight in weights.items():
                weight.grad = found[name]
            optimiser.step()

    return run


def sklearn(kind: str, members: int, data: Data) -> Step:
    fit = _sgd if kind == "linear" else _mlp

    def run(steps: int) -> None:
        for member in range(members):
            fit(data, member, steps)

    return run


def _mlp(data: Data, member: int, steps: int) -> None:
    model = MLPClassifier((HIDDEN,), solver="adam", learning_rate_init=1e-4, alpha=0.0, batch_size=data.batch_size)
    for step in range(steps):
        features, labels = data.batch(member, step)
        model.partial_fit(features.numpy(), labels.numpy(), classes=np.arange(CLASSES) if step == 0 else None)


def _sgd(data: Data, member: int, steps: int) -> None:
    batches = [data.batch(member, step) for step in range(steps)]
    features, labels = (torch.cat(part).numpy() for part in zip(*batches, strict=True))
    for own in labels.T:  # one pass over the same samples
        model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=1e-4, shuffle=False)
        model.partial_fit(features, own, classes=[0, 1])


def ceiling(kind: str, members: int, data: Data) -> Step:
    sizes = [FEATURES, CLASSES] if kind == "linear" else [FEATURES, HIDDEN, CLASSES]
    rows = [torch.randn(members, data.batch_size, size) for size in sizes]
    weights = [torch.randn(members, *pair) for pair in pairwise(sizes)]

    def run(steps: int) -> None:
        for _ in range(steps):
            for layer, weight in enumerate(weights):
                torch.bmm(rows[layer], weight)
                torch.bmm(rows[layer].transpose(1, 2), rows[layer + 1])
                if layer:
                    torch.bmm(rows[layer + 1], weight.transpose(1, 2))

    return run


# What a step consists of, by the names of torch's operators.
OPERATORS = {
    "matrix products": ("mm",),
    "Adam": ("adam",),
    "batches fetched": ("index", "gather", "copy_", "_to_copy", "cat", "stack"),
}
OTHERS = "loss, its gradient, activations"
VARIANTS = {"compiled": partial(ours, compiled=True), "shared": partial(ours, shared=True)}
WAYS = {"ours": ours, **VARIANTS, "loop": loop, "vmap": vmap, "sklearn": sklearn, "ceiling": ceiling}


def timed(run: Step, steps: int, members: int) -> float:
    """Milliseconds per head and step."""
    start = time.perf_counter()
    run(steps)
    return 1000 * (time.perf_counter() - start) / steps / members


def parts(run: Step, steps: int) -> dict[str, float]:
    """Kind of operator -> its share of the seconds that all of torch's operators take."""
    with profile(activities=[ProfilerActivity.CPU]) as found:
        run(steps)
    took: Counter[str] = Counter()
    for event in found.key_averages():
        kind = next((kind for kind, names in OPERATORS.items() if any(name in event.key for name in names)), OTHERS)
        took[kind] += event.self_cpu_time_total
    return {kind: seconds / took.total() for kind, seconds in took.most_common()}


def spread(values: list[float], digits: str) -> str:
    return f"{statistics.median(values):{digits}} ({min(values):{digits}} to {max(values):{digits}})"


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"batch {options.batch_size}, {FEATURES} features, {CLASSES} classes, one thread, {options.repeats} turns")
    for kind in options.heads:
        for members in options.members:
            data = Data(members, options.batch_size)
            if options.parts:
                run = ours(kind, members, data)
                run(2)
                shares = ", ".join(f"{name} {share:.0%}" for name, share in parts(run, options.steps).items())
                print(f"{kind} heads, {members} at once: {shares}", flush=True)
                continue
            ways = {name: way(kind, members, data) for name, way in WAYS.items()
                    if name in {"ours", *options.ways}}  # fmt: skip
            for run in ways.values():
                run(2)
            turns = [{name: timed(run, options.steps, members) for name, run in ways.items()}
                     for _ in range(options.repeats)]  # fmt: skip
            print(f"\n{kind} heads, {members} at once: ms per head and step; the time of the others over ours")
            for name in ways:
                own, ratios = [turn[name] for turn in turns], [turn[name] / turn["ours"] for turn in turns]
                print(f"  {name:8} {spread(own, '.3f'):28} {spread(ratios, '.2f')}", flush=True)


if __name__ == "__main__":
    main()
