"""Small runs that can be interrupted where a test wants it: in this process, or in one that gets a SIGKILL."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nlcore.generators import generator, torch_generator
from nlcore.losses import asymmetric_loss
from nlcore.torchvision_compat import ensure_torchvision
from nlcore.training import ImageBatches, Recipe, shuffled, train
from nlcore.training.active import Budget, SafeMode, run_active_learning
from nlcore.training.learners import Learner, head_learner, image_learner, map_on
from nlcore.training.models import image_model

ensure_torchvision()
import timm  # noqa: E402, F401 (so that the processes of `killed` need not load it)

CPU = torch.device("cpu")
IMAGES, CLASSES = 72, 4
RNG = np.random.default_rng(0)
TRUE = (RNG.random((IMAGES, CLASSES)) < 0.4).astype(np.int8)
GIVEN = np.where(RNG.random(TRUE.shape) < 0.2, 1 - TRUE, TRUE)
FEATURES = (TRUE @ RNG.normal(size=(CLASSES, 8)) + RNG.normal(scale=0.3, size=(IMAGES, 8))).astype(np.float32)
PICTURES = RNG.integers(0, 60, (IMAGES, 32, 32, 3), dtype=np.uint8)
for corner in range(CLASSES):  # a bright square where the class is
    y, x = 16 * (corner // 2), 16 * (corner % 2)
    PICTURES[TRUE[:, corner] == 1, y : y + 16, x : x + 16] += np.uint8(150)

Event = Callable[[str], None]  # called at each "step", "evaluation" and "choice"
Outcome = dict[str, np.ndarray]
RECIPE = Recipe(epochs=3, batch_size=4, learning_rate=3e-3, weight_decay=1e-4, schedule="one_cycle", average_decay=0.8)


def heads(event: Event) -> Learner:
    """A stack of two."""
    names = [("heads", seed) for seed in range(2)]
    return head_learner(FEATURES, CLASSES, RECIPE, head="mlp", names=names, device=CPU, loss=_loss(event))


def images(event: Event) -> Learner:
    """A small network on augmented pictures."""
    model = image_model("test_resnet", CLASSES, generator=torch_generator("weights"), weights="random")
    options = {"mean": (0.2,) * 3, "std": (0.3,) * 3, "device": CPU, "loss": _loss(event)}
    return image_learner(model, PICTURES, RECIPE, name=("images", 0), **options)


LEARNERS = {"heads": heads, "images": images}


def _loss(event: Event) -> Callable:
    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        event("step")
        return asymmetric_loss(logits, targets)

    return loss


def learn_actively(kind: str, folder: Path | None = None, event: Event = lambda kind: None, **changes) -> Outcome:
    """A whole run, all of it made anew, with strategies that draw, a price and Safe mode: all that a loop can be."""
    learner, score = LEARNERS[kind](event), map_on(np.arange(52, IMAGES), TRUE)

    def strategy(view, number):
        draws = view.rng.random(len(view.rows))
        event("choice")
        return np.argsort(view.probabilities.max(axis=1) + 0.1 * draws)[:number]

    def evaluate(learner, model):
        event("evaluation")
        return score(learner, model)

    repeat = lambda array: np.repeat(array[None], learner.members, axis=0)
    options = {"budget": Budget(12, 4), "given": repeat(GIVEN), "initial": repeat(np.arange(8)), **changes}
    history = run_active_learning(
        learner,
        true=TRUE,
        pool=repeat(np.arange(8, 52)),
        strategies=[strategy] * learner.members,
        rngs=[generator("strategy", seed) for seed in range(learner.members)],
        evaluate=evaluate,
        safe=SafeMode(2, kept=True),
        at_end=lambda learner: learner.predict(np.arange(8)).logits.numpy(),
        checkpoint=folder,
        **options,
    )
    outcome = {"chosen": history.chosen, "safe": np.concatenate(history.safe, axis=1), "ends": history.ends}
    return outcome | history.metrics | {name: t.numpy() for name, t in learner.model.state_dict().items()}


def train_images(file: Path | None = None, event: Event = lambda kind: None) -> Outcome:
    """One training of eight epochs of six steps, whose batches come in an order of NumPy's besides."""
    draws, choices = torch_generator("train"), generator("train")
    model = image_model("test_resnet", CLASSES, generator=draws, weights="random")
    plain = ImageBatches(PICTURES, TRUE, device=CPU)
    order, loss = shuffled(torch.arange(24), 4, generator=draws), _loss(event)

    def sampler(epoch):
        batches = order(epoch)
        return [batches[i] for i in choices.permutation(len(batches))]

    def evaluate(model, epoch):
        event("evaluation")
        return {"logit": model(plain(torch.arange(24))[0])[0, 0]}

    run = train(
        model.to(memory_format=torch.channels_last),
        replace(RECIPE, epochs=8),
        sampler=sampler,
        fetch=ImageBatches(PICTURES, TRUE, device=CPU, generator=draws),
        loss=lambda model, batch: loss(model(batch[0]), batch[1]),
        evaluate=evaluate,
        generators=[draws, choices],
        checkpoint=file,
    )
    history = {name: np.array([row[name] for row in run.history]) for name in run.history[0]}
    return history | {name: t.numpy() for name, t in run.average.state_dict().items()}


class Interruption:
    """An `Event` that counts, and strikes at the `number`-th of its kind (0: never)."""

    def __init__(self, kind: str = "step", number: int = 0, strike: Callable[[], None] | None = None) -> None:
        self.kind, self.number, self.counts = kind, number, {"step": 0, "evaluation": 0, "choice": 0}
        self.strike = strike or _raise

    def __call__(self, kind: str) -> None:
        self.counts[kind] += 1
        if kind == self.kind and self.counts[kind] == self.number:
            self.strike()


class Interrupted(Exception):
    pass


def _raise() -> None:
    raise Interrupted


def same(first: Outcome, second: Outcome) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(first[name].tobytes() == second[name].tobytes() for name in first)


# --- in another process ---------------------------------------------------------------------------------------------


def killed(work: Callable[..., Outcome], *arguments, at: tuple[str, int]) -> None:
    """Do `work` in a process of its own, which is killed when it has come to that event."""
    with _process(work, arguments, at) as (process, messages):
        assert messages.poll(120)
        assert messages.recv() == "there"
        process.kill()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL


def finished(work: Callable[..., Outcome], *arguments) -> tuple[Outcome, dict[str, int]]:
    """Do `work` in a process of its own: what came of it, and how many events there were."""
    with _process(work, arguments, ("step", 0)) as (_, messages):
        assert messages.poll(120)
        return messages.recv()


@contextmanager
def _process(work: Callable, arguments: tuple, at: tuple[str, int]) -> Iterator[tuple]:
    """Forked from a server that has loaded this module, so that each takes no time to begin."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    messages, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work, arguments, at), daemon=True)
    process.start()
    sender.close()  # here: if the process fails, reading ends with an error
    try:
        yield process, messages
    finally:
        process.kill()
        process.join()


def _work(messages, work: Callable, arguments: tuple, at: tuple[str, int]) -> None:
    torch.set_num_threads(1)
    os.environ["NLCORE_CHECKPOINT_SECONDS"] = "0"

    def wait_for_the_end() -> None:
        messages.send("there")
        time.sleep(600)

    event = Interruption(*at, wait_for_the_end)
    messages.send((work(*arguments, event), event.counts))
