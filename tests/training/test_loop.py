"""The training loop: recipe, schedules, averaging, stacks, determinism, resume, early stopping, images, prediction."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from nlcore.errors import InputError
from nlcore.losses import asymmetric_loss, masked_binary_cross_entropy
from nlcore.training import (
    ASL_RECIPE,
    FeatureBatches,
    ImageBatches,
    Recipe,
    SparseLabels,
    fixed_order,
    mixed,
    predict,
    schedule_at,
    shuffled,
    stacked,
    state_file,
    train,
)
from nlcore.training.batches import fetch_all
from nlcore.training.models import image_model, linear_head, mlp_head, stack_heads, unstack_heads
from nlcore.training.state_file import SECONDS, read_state

CPU = torch.device("cpu")
SAMPLES, FEATURES, CLASSES = 50, 8, 3
RECIPE = Recipe(epochs=3, batch_size=16, learning_rate=0.01, weight_decay=0.01)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small steps are quicker in one thread, and far quicker where other processes want the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(SAMPLES, FEATURES, generator=generator(7))
    return features, (features @ torch.randn(FEATURES, CLASSES, generator=generator(8)) > 0).float()


def asymmetric(model, batch):
    return asymmetric_loss(model(batch[0]), batch[1])


def cross_entropy(model, batch):
    return masked_binary_cross_entropy(model(batch[0]), batch[1])


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this processor keeps them whatever it is told")
def test_weights_that_nothing_moves_do_not_become_numbers_that_take_a_hundred_times_as_long():
    features, targets = data()
    features[:, -1] = 0
    model = linear_head(FEATURES, CLASSES, generator=generator())
    with torch.no_grad():
        model[-1].weight[:, -1] = 1e-39
    assert (model[-1].weight[:, -1] != 0).all()
    fetch = FeatureBatches(features, targets, device=CPU)
    train(model, RECIPE, sampler=fixed_order(torch.arange(SAMPLES), 16), fetch=fetch, loss=cross_entropy)
    assert (model[-1].weight[:, -1] == 0).all()
    assert (torch.tensor([1e-39]) * 1 != 0).all(), "who calls has them again"


def fit(recipe: Recipe = RECIPE, *, model=None, seed: int = 0, loss=asymmetric, **options):
    draws = generator(seed)
    model = model or linear_head(FEATURES, CLASSES, generator=draws)
    sampler = shuffled(torch.arange(SAMPLES), recipe.batch_size, generator=draws)
    options = {"sampler": sampler, "fetch": FeatureBatches(*data(), device=CPU), "generators": [draws], **options}
    return train(model, recipe, loss=loss, **options)


def accuracy(model, epoch: int) -> dict[str, float]:
    features, targets = data()
    return {"accuracy": ((model(features) > 0).float() == targets).float().mean((-2, -1))}


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    own, other = first.state_dict(), second.state_dict()
    return all(torch.equal(own[key], other[key]) for key in own)


# --- recipe and schedule -------------------------------------------------------------------------------------------


def test_published_recipe():
    r = ASL_RECIPE
    assert (r.optimiser, r.learning_rate, r.weight_decay, r.batch_size) == ("adam", 1e-4, 1e-4, 128)
    assert (r.schedule, r.warm_up, r.schedule_epochs, r.epochs) == ("one_cycle", 0.2, 80, 41)
    assert r.average_decay == 0.9997


@pytest.mark.parametrize(("epochs", "steps"), [(80, 7), (5, 3), (1, 10)])
def test_one_cycle_is_torchs(epochs, steps):
    recipe = Recipe(epochs=epochs, batch_size=1, schedule="one_cycle", learning_rate=3e-4)
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=3e-4, steps_per_epoch=steps, epochs=epochs, pct_start=0.2
    )
    for step in range(epochs * steps):
        factor, beta = schedule_at(recipe, step, steps)
        assert factor * 3e-4 == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-9)
        assert beta == pytest.approx(optimiser.param_groups[0]["betas"][0], rel=1e-9)
        optimiser.step()
        if step < epochs * steps - 1:
            scheduler.step()


def test_stopping_early_does_not_change_the_layout():
    short = [schedule_at(ASL_RECIPE, step, 5) for step in range(200)]
    assert short == [schedule_at(replace(ASL_RECIPE, epochs=80), step, 5) for step in range(200)]


def test_linear_step_and_constant_schedules():
    linear = Recipe(epochs=4, batch_size=1, schedule="linear", final_factor=0.01)
    assert [schedule_at(linear, step, 5)[0] for step in (0, 19)] == pytest.approx([1, 0.01])
    middle = [schedule_at(linear, step, 5)[0] for step in (9, 10)]
    assert np.mean(middle) == pytest.approx(0.505)
    step = Recipe(epochs=9, batch_size=1, schedule="step")
    assert [schedule_at(step, s, 10)[0] for s in (0, 19, 20, 45)] == pytest.approx([1, 1, 0.9, 0.81])
    assert schedule_at(Recipe(epochs=2, batch_size=1), 7, 5) == (1.0, None)


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_loop_is_torchs_optimiser_with_own_rates_and_decay_on_matrices(optimiser):
    """Against a plain loop over torch's optimiser, with the rates and the decay of each parameter written out."""
    model = mlp_head(FEATURES, CLASSES, hidden=4, generator=generator())
    twin = mlp_head(FEATURES, CLASSES, hidden=4, generator=generator())
    recipe = replace(
        RECIPE, optimiser=optimiser, schedule="step", step_epochs=1, step_factor=0.5, learning_rates=(("2.", 0.003),)
    )
    fit(recipe, model=model, sampler=fixed_order(torch.arange(SAMPLES), 16), generators=[])
    settings = [(0.01, 0.01), (0.01, 0), (0.003, 0.01), (0.003, 0)]  # rate and decay of each parameter
    groups = [(p, *setting) for p, setting in zip(twin.parameters(), settings, strict=True)]
    plain = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}[optimiser](
        [{"params": [p], "lr": rate, "weight_decay": decay} for p, rate, decay in groups], foreach=False
    )
    features, targets = data()
    for epoch in range(3):
        for group, (_, rate, _) in zip(plain.param_groups, groups, strict=True):
            group["lr"] = rate * 0.5**epoch
        for rows in torch.arange(SAMPLES).split(16):
            plain.zero_grad()
            asymmetric_loss(twin(features[rows]), targets[rows]).backward()
            plain.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_moving_average_by_its_formula():
    weights = []

    def remember(model, batch):
        weights.append(model[0].weight.detach().clone())
        return asymmetric(model, batch)

    run = fit(replace(RECIPE, average_decay=0.9), loss=remember)
    average = weights[0].double()
    for current in [*weights[1:], run.model[0].weight.detach()]:
        average = 0.9 * average + 0.1 * current.double()
    torch.testing.assert_close(run.average[0].weight.double(), average, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(run.average[0].weight, run.model[0].weight)


def test_training_learns_and_evaluates_when_told():
    recipe = replace(RECIPE, epochs=25, evaluate_every=10, average_decay=0.9, learning_rate=0.05, weight_decay=0.0)
    run = fit(recipe, evaluate=accuracy, loss=cross_entropy)
    assert [row["epoch"] for row in run.history] == [10, 20, 25]
    assert run.history[-1]["accuracy"] > 0.9
    assert run.history[-1]["average_accuracy"] > 0.8
    assert run.step == 25 * 4
    assert not run.model.training


def test_weights_go_on_and_the_schedule_restarts():
    """Active learning's use: a second call on more data. Adam's first step is as long as the learning rate."""
    recipe = replace(RECIPE, schedule="linear", weight_decay=0.0)
    first = fit(recipe, sampler=shuffled(torch.arange(20), 16, generator=generator()))
    reached, seen = first.model[0].weight.detach().clone(), []

    def watch(model, batch):
        seen.append(model[0].weight.detach().clone())
        return asymmetric(model, batch)

    second = fit(recipe, model=first.model, loss=watch)
    assert second.step == len(seen) == 3 * 4
    assert torch.equal(seen[0], reached)
    assert (seen[1] - seen[0]).abs().max().item() == pytest.approx(0.01, rel=1e-3)
    assert (second.model[0].weight - seen[-1]).abs().max().item() < 0.001


# --- stacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
@pytest.mark.parametrize("loss", [asymmetric_loss, masked_binary_cross_entropy])
@pytest.mark.parametrize("make", [linear_head, mlp_head])
def test_stack_trains_as_its_members_alone(make, loss, optimiser):
    recipe = replace(RECIPE, optimiser=optimiser, average_decay=0.9, schedule="linear")
    compute = lambda model, batch: loss(model(batch[0]), batch[1])
    own_targets = torch.stack([data()[1].roll(shift, 0) for shift in range(3)])
    own_targets[1, :10] = -1

    def member(seed):
        draws = generator(seed)
        return make(FEATURES, CLASSES, generator=draws), shuffled(torch.arange(SAMPLES), 16, generator=draws)

    alone = []
    for seed in range(3):
        head, sampler = member(seed)
        fetch = FeatureBatches(data()[0], own_targets[seed], device=CPU)
        alone.append(train(head, recipe, sampler=sampler, fetch=fetch, loss=compute))
    heads, samplers = zip(*(member(seed) for seed in range(3)), strict=True)
    fetch = FeatureBatches(data()[0], own_targets, device=CPU)
    together = train(stack_heads(heads), recipe, sampler=stacked(samplers), fetch=fetch, loss=compute)
    for models in ("model", "average"):
        for run, head in zip(alone, unstack_heads(getattr(together, models)), strict=True):
            for expected, ours in zip(getattr(run, models).parameters(), head.parameters(), strict=True):
                torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_stack_stops_early_member_by_member_as_alone():
    scores = {0: [1, 2, 3, 2, 1, 9, 9, 9], 1: [5, 4, 3, 2, 1, 0, 0, 0], 2: [1, 2, 3, 4, 5, 6, 5, 4]}
    recipe = replace(RECIPE, epochs=8, stop_metric="score", patience=2)

    def member(seed):
        draws = generator(seed)
        return linear_head(FEATURES, CLASSES, generator=draws), shuffled(torch.arange(SAMPLES), 16, generator=draws)

    fetch, epochs = FeatureBatches(*data(), device=CPU), []
    alone = []
    for seed in range(3):
        head, sampler = member(seed)
        evaluate = lambda model, epoch, seed=seed: {"score": scores[seed][epoch - 1]}
        alone.append(train(head, recipe, sampler=sampler, fetch=fetch, loss=asymmetric, evaluate=evaluate))
        epochs.append(alone[-1].epoch)
    assert epochs == [5, 3, 8]
    heads, samplers = zip(*(member(seed) for seed in range(3)), strict=True)
    evaluate = lambda model, epoch: {"score": [scores[seed][epoch - 1] for seed in range(3)]}
    run = train(
        stack_heads(heads), recipe, sampler=stacked(samplers), fetch=fetch, loss=asymmetric, evaluate=evaluate
    )
    assert run.epoch == 8
    assert run.best.metric.tolist() == [3, 5, 6]
    for single, head in zip(alone, unstack_heads(run.model), strict=True):
        torch.testing.assert_close(head[0].weight, single.model[0].weight, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(unstack_heads(run.model)[0][0].weight, unstack_heads(run.model)[1][0].weight)


def test_early_stopping_returns_the_best_weights():
    kept = {}

    def evaluate(model, epoch):
        kept[epoch] = model[0].weight.detach().clone()
        return {"score": [0.1, math.nan, 0.3, 0.2, 0.25, 0.9][epoch - 1]}

    run = fit(replace(RECIPE, epochs=6, stop_metric="score", patience=2), evaluate=evaluate)
    assert run.epoch == 5
    assert torch.equal(run.model[0].weight, kept[3])


# --- samplers ------------------------------------------------------------------------------------------------------


def test_shuffled_passes_over_everything_in_a_new_order():
    sample = shuffled(torch.arange(10, 20), 4, generator=generator())
    first, second = sample(0), sample(1)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert torch.cat(first).sort().values.tolist() == list(range(10, 20))
    assert torch.cat(first).tolist() != torch.cat(second).tolist()


def test_mixed_keeps_its_proportion_and_uses_both_sets_evenly():
    small, large = torch.arange(7), torch.arange(100, 160)
    batches = mixed(small, large, (1, 9), generator=generator())(0)
    assert len(batches) == 6
    assert all((batch[:1] < 7).all() and (batch[1:] >= 100).all() and len(batch) == 10 for batch in batches)
    assert torch.cat([batch[1:] for batch in batches]).unique().numel() == 54
    many = torch.cat([batch[:3] for batch in mixed(small, large, (3, 9), generator=generator())(0)])
    assert many.bincount().sort().values.tolist() == [2, 2, 2, 3, 3, 3, 3]
    with pytest.raises(ValueError, match="cannot fill"):
        mixed(small, large[:5], (1, 9), generator=generator())


# --- determinism and resume ----------------------------------------------------------------------------------------


def test_same_seed_same_bytes():
    recipe = replace(RECIPE, average_decay=0.9, schedule="one_cycle")
    first, again, other = (fit(recipe, seed=seed) for seed in (0, 0, 1))
    assert same(first.model, again.model)
    assert same(first.average, again.average)
    assert not same(first.model, other.model)


def test_training_leaves_the_global_generators_alone():
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    fit()
    assert torch.equal(torch.random.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()


@pytest.mark.parametrize("optimiser", ["adam", "rmsprop"])
def test_resume_with_early_stopping_is_exact(tmp_path, optimiser, monkeypatch):
    """The best evaluation lies before the interruption, the stop after it."""
    monkeypatch.setenv(SECONDS, "0")
    recipe = replace(RECIPE, epochs=8, stop_metric="score", patience=3, optimiser=optimiser, average_decay=0.9)
    recipe = replace(recipe, schedule="one_cycle", warm_up=0.5)
    scored = lambda model, epoch: {"score": [1, 3, 2, 2, 2, 2, 2, 2][epoch - 1], **accuracy(model, epoch)}
    undisturbed = fit(recipe, evaluate=scored)
    assert undisturbed.epoch == 5

    def interrupted(model, epoch):
        if epoch == 4:
            raise KeyboardInterrupt
        return scored(model, epoch)

    with pytest.raises(KeyboardInterrupt):
        fit(recipe, evaluate=interrupted, checkpoint=tmp_path / "run")
    for _ in range(2):  # the second time the run is found finished
        resumed = fit(recipe, evaluate=scored, checkpoint=tmp_path / "run")
        assert resumed.history == undisturbed.history
        assert same(resumed.model, undisturbed.model)
        assert same(resumed.average, undisturbed.average)
    assert resumed.optimiser.param_groups[0]["base_rate"] == RECIPE.learning_rate


@pytest.mark.parametrize(
    ("seconds", "saved"),
    [
        ("0", [1, 2, 3, 4, 5, 6]),
        ("20", [2, 4, 6]),
        ("25", [3, 6]),
        ("40", [4, 6]),  # at the end 20 seconds after the last time, but the whole took longer than 40
        ("60", [6]),
        ("61", []),
        ("", [6]),
        (None, [6]),
    ],
)
def test_a_checkpoint_is_saved_by_the_clock(seconds, saved, tmp_path, monkeypatch):
    """Each epoch takes ten seconds; by default a minute must have passed."""
    monkeypatch.delenv(SECONDS, raising=False)
    if seconds is not None:
        monkeypatch.setenv(SECONDS, seconds)
    clock, path, seen = [0.0], tmp_path / "folder" / "run.safetensors", {}

    def evaluate(model, epoch):
        clock[0] += 10
        return {}

    def sampler(epoch):
        seen[epoch] = read_state(path)
        return shuffled(torch.arange(SAMPLES), 16, generator=generator(epoch))(epoch)

    monkeypatch.setattr(state_file, "monotonic", lambda: clock[0])
    fit(replace(RECIPE, epochs=6), evaluate=evaluate, sampler=sampler, checkpoint=path)
    seen[6] = read_state(path)
    epochs = {0 if found is None else found.state["position"][0] for found in seen.values()}
    assert sorted(epochs - {0}) == saved
    assert path.exists() == bool(saved)


def test_checkpoints_of_other_runs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(SECONDS, "0")
    path = tmp_path / "run.safetensors"
    fit(checkpoint=path)
    assert [file.name for file in tmp_path.iterdir()] == ["run.safetensors"]
    content = path.read_bytes()
    with pytest.raises(InputError, match=r"another recipe \(other learning_rate\)"):
        fit(replace(RECIPE, learning_rate=0.5), checkpoint=path)
    with pytest.raises(InputError, match=r"another model; expected the same model/0.bias, model/0.weight"):
        fit(model=linear_head(FEATURES, CLASSES + 1, generator=generator()), checkpoint=path)
    with pytest.raises(InputError, match=r"same model/0.bias, model/0.weight, model/2.bias"):
        fit(model=mlp_head(FEATURES, CLASSES, generator=generator()), checkpoint=path)
    with pytest.raises(InputError, match="holds 1 generators; expected 0"):
        fit(checkpoint=path, generators=[])
    assert path.read_bytes() == content


def test_a_smaller_models_training_does_not_go_on_from_a_larger_ones(tmp_path, monkeypatch):
    monkeypatch.setenv(SECONDS, "0")
    larger = torch.nn.Sequential(*linear_head(FEATURES, CLASSES, generator=generator()), torch.nn.Linear(3, 3))
    fit(model=larger, checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match=r"another model; expected the same model/1.bias, model/1.weight"):
        fit(checkpoint=tmp_path / "run")


def test_a_damaged_checkpoint_is_set_aside_and_training_starts_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(SECONDS, "0")
    path, undisturbed = tmp_path / "run.safetensors", fit()
    fit(checkpoint=path)
    path.write_bytes(path.read_bytes()[:200])
    again = fit(checkpoint=path)
    assert again.step == undisturbed.step
    assert same(again.model, undisturbed.model)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["run.damaged", "run.safetensors"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: damaged (")
    assert line.endswith("): set aside, starting anew")


# --- images --------------------------------------------------------------------------------------------------------


def drawn_images(count: int = 12, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Red or blue squares on noise; the targets say which colours are there."""
    random = np.random.default_rng(0)
    images = random.integers(0, 60, (count, size, size, 3), dtype=np.uint8)
    targets = np.stack([np.arange(count) % 2, np.arange(count) // 2 % 2], axis=1)
    images[targets[:, 0] == 1, : size // 2, :, 0] = 250
    images[targets[:, 1] == 1, size // 2 :, :, 2] = 250
    return images, targets


def test_image_batches_are_the_caches_rows_normalised():
    images, targets = drawn_images()
    fetch = ImageBatches(images, targets, device=CPU, mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    inputs, wanted = fetch(torch.tensor([5, 0]))
    expected = (images[[5, 0]] / 255 - [0.5, 0.4, 0.3]) / [0.1, 0.2, 0.3]
    np.testing.assert_allclose(inputs.permute(0, 2, 3, 1).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert wanted.tolist() == targets[[5, 0]].tolist()


def test_memory_mapped_prefetched_and_resident_batches_agree(tmp_path):
    images, targets = drawn_images()
    mapped = np.memmap(tmp_path / "cache", np.uint8, "w+", shape=images.shape)
    mapped[:] = images
    batches = list(torch.randperm(12, generator=generator()).split(5))

    def fetched(prefetch: int, source: np.ndarray, resident: bool):
        fetch = ImageBatches(source, targets, device=CPU, generator=generator(3), resident=resident)
        fetch.prefetch = prefetch
        return [inputs for inputs, _ in fetch_all(fetch, batches)]

    plain = fetched(0, images, False)
    for other in (fetched(2, mapped, False), fetched(0, mapped, True)):
        assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))


@pytest.mark.parametrize("default", [0, -1])
def test_sparse_targets_give_the_batches_that_dense_ones_give(default):
    images, targets = drawn_images()
    targets[:3] = default
    sparse = SparseLabels.from_dense(targets, default=default)
    features = torch.randn(12, 4, generator=generator())
    makers = [
        lambda given: FeatureBatches(features, given, device=CPU),
        lambda given: ImageBatches(images, given, device=CPU),
    ]
    for make in makers:
        for rows in (torch.tensor([5, 0, 5, 11]), torch.tensor([], dtype=torch.int64)):
            for found, wanted in zip(make(sparse)(rows), make(targets)(rows), strict=True):
                assert found.dtype == wanted.dtype and torch.equal(found, wanted)
    stack = torch.tensor([[0, 7], [3, 3]])
    assert torch.equal(makers[0](sparse)(stack)[1], makers[0](targets)(stack)[1])


def test_a_head_learns_the_same_from_sparse_targets():
    features, targets = data()
    sparse = SparseLabels.from_dense(targets.numpy().astype(np.int8))
    assert same(fit().model, fit(fetch=FeatureBatches(features, sparse, device=CPU)).model)


def test_errors_of_the_prefetching_thread_arrive_and_leaving_early_ends_it():
    def fetch(item):
        if item == 3:
            raise InputError("image 3")
        return item

    fetch.prefetch = 2
    with pytest.raises(InputError, match="image 3"):
        list(fetch_all(fetch, range(5)))
    taken = []
    fetch_endless = lambda item: taken.append(item) or item
    fetch_endless.prefetch = 2
    left = fetch_all(fetch_endless, iter(range(10**9)))
    assert next(left) == 0
    left.close()
    count = len(taken)
    assert count < 10
    assert len(taken) == count


def test_small_network_learns_from_drawn_images():
    images, targets = drawn_images()
    model, draws = image_model("test_resnet", 2, generator=generator(), weights="random"), generator(1)
    train(
        model,
        Recipe(epochs=15, batch_size=6, learning_rate=3e-3, channels_last=True),
        sampler=shuffled(torch.arange(12), 6, generator=draws),
        fetch=ImageBatches(images, targets, device=CPU),
        loss=cross_entropy,
        generators=[draws],
    )
    # Batch statistics: after thirty steps the running ones of evaluation mode are still far off.
    logits = model.train()(ImageBatches(images, targets, device=CPU)(torch.arange(12))[0])
    assert ((logits > 0).int().numpy() == targets).mean() > 0.9


@pytest.mark.slow
def test_tresnet_takes_a_few_steps_at_224():
    images = np.random.default_rng(0).integers(0, 256, (4, 224, 224, 3), dtype=np.uint8)
    targets = torch.randint(2, (4, 80), generator=generator())
    model, draws, values = image_model("tresnet_m", 80, generator=generator(), weights="random"), generator(1), []

    def loss(model, batch):
        assert batch[0].shape == (2, 3, 224, 224)
        value = asymmetric_loss(model(batch[0]), batch[1])
        values.append(value.item())
        return value

    run = train(
        model,
        replace(ASL_RECIPE, epochs=3, batch_size=2),
        sampler=shuffled(torch.arange(4), 2, generator=draws),
        fetch=ImageBatches(images, targets, device=CPU, generator=draws),
        loss=loss,
    )
    assert run.step == 6
    assert all(math.isfinite(value) for value in values)
    assert min(values[-2:]) < values[0]


# --- prediction ----------------------------------------------------------------------------------------------------


def test_predictions_in_batches_with_features():
    features, targets = data()
    fetch = FeatureBatches(features, targets, device=CPU)
    model = mlp_head(FEATURES, CLASSES, hidden=5, generator=generator()).train()
    found = predict(model, fetch, torch.arange(10, 40), batch_size=7, features=True)
    torch.testing.assert_close(found.logits, model(features[10:40]).detach())
    torch.testing.assert_close(found.probabilities, torch.sigmoid(found.logits))
    torch.testing.assert_close(found.features @ model[2].weight.detach().T + model[2].bias.detach(), found.logits)
    assert model.training
    assert predict(model, fetch, torch.arange(3)).features is None
    linear_head(5, 2, generator=generator())(found.features).sum().backward()  # what comes back can be trained on


def test_predictions_of_a_stack():
    features, targets = data()
    heads = [linear_head(FEATURES, CLASSES, generator=generator(seed)) for seed in range(3)]
    fetch = FeatureBatches(features, targets, device=CPU)
    found = predict(stack_heads(heads), fetch, torch.arange(SAMPLES), batch_size=7)
    torch.testing.assert_close(found.logits, torch.stack([head(features).detach() for head in heads]))


def test_predictions_of_an_image_model():
    images, targets = drawn_images()
    model = image_model("test_resnet", 2, generator=generator(), weights="random")
    found = predict(model, ImageBatches(images, targets, device=CPU), torch.arange(12), batch_size=5, features=True)
    weight, bias = model.fc.weight.detach(), model.fc.bias.detach()
    torch.testing.assert_close(found.features @ weight.T + bias, found.logits)
