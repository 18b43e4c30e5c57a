"""Models: any timm backbone for images, linear and multi-layer heads for features, and stacks of heads.

A stack holds M independent heads that are trained together in one batched pass: each parameter gets a leading member
axis, inputs are (M, B, D), or (B, D) shared by all, and logits (M, B, K). Nothing mixes the members, so each comes out
as if trained alone, at a fraction of the cost: for small heads the time of a step is mostly fixed overhead.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nlcore.errors import InputError, require
from nlcore.training.wheels import PIXELS, wheel_file, wheel_name

TIMM_WEIGHTS = "timm"  # as `weights`: those that timm publishes for the model; "timm:TAG": under that tag
RANDOM_WEIGHTS = "random"


class StackedLinear(nn.Module):
    """M linear layers side by side.

    Args:
        weight: (M, D, K), the transpose of M layers of torch.
        bias: (M, K).

    >>> layer = StackedLinear(torch.ones(2, 3, 1), torch.zeros(2, 1))
    >>> layer(torch.ones(4, 3)).shape
    torch.Size([2, 4, 1])
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (M, B, D), or (B, D) that all members see, to outputs (M, B, K)."""
        if inputs.ndim == 2:
            inputs = inputs.expand(len(self.weight), *inputs.shape)
        return torch.baddbmm(self.bias.unsqueeze(1), inputs, self.weight)


def linear_head(inputs: int, classes: int, *, generator: torch.Generator) -> nn.Sequential:
    """One linear layer from (B, inputs) features to (B, classes) logits.

    Args:
        inputs: number of features.
        classes: number of classes.
        generator: a generator of the CPU, for the weights: U(-1/sqrt(inputs), 1/sqrt(inputs)), as torch draws them.

    >>> linear_head(256, 80, generator=torch.Generator())(torch.zeros(4, 256)).shape
    torch.Size([4, 80])
    """
    return nn.Sequential(_linear(inputs, classes, generator))


def mlp_head(
    inputs: int,
    classes: int,
    *,
    generator: torch.Generator,
    hidden: int = 512,
    activation: type[nn.Module] | None = nn.ReLU,
) -> nn.Sequential:
    """Linear, activation, linear: from (B, inputs) features to (B, classes) logits.

    Args:
        inputs, classes, generator: as for `linear_head`.
        hidden: width in between (paper 5 gives none; 512 is ours).
        activation: a class of torch, such as `torch.nn.Sigmoid`; None leaves two linear layers (paper 5, Table 4).
    """
    middle = [] if activation is None else [activation()]
    return nn.Sequential(_linear(inputs, hidden, generator), *middle, _linear(hidden, classes, generator))


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """torch's usual initialisation, U(-1/sqrt(inputs), 1/sqrt(inputs)), drawn from `generator`."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
    return layer


def stack_heads(heads: Sequence[nn.Sequential]) -> nn.Sequential:
    """One model that computes all the heads at once (see the module's text).

    Args:
        heads: M of them, built alike; their weights are copied.

    Returns:
        From (M, B, D), or (B, D) for all, to logits (M, B, K).

    Raises:
        InputError: no head, or heads of several architectures.

    >>> heads = [linear_head(6, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    >>> stack_heads(heads)(torch.zeros(4, 6)).shape
    torch.Size([5, 4, 3])
    """
    architectures = len({str(head) for head in heads})
    require(architectures == 1, "heads to stack", architectures, "one architecture")
    return nn.Sequential(*(_stack_layers(layers) for layers in zip(*heads, strict=True)))


def _stack_layers(layers: Sequence[nn.Module]) -> nn.Module:
    if not isinstance(layers[0], nn.Linear):
        return layers[0]
    weight = torch.stack([layer.weight.detach().T for layer in layers])
    return StackedLinear(weight.contiguous(), torch.stack([layer.bias.detach() for layer in layers]))


def unstack_heads(stack: nn.Sequential) -> list[nn.Sequential]:
    """The members of a stack as heads of their own (copies), in their order; none of a model that is no stack.

    >>> heads = [linear_head(6, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(5)]
    >>> torch.equal(unstack_heads(stack_heads(heads))[4][0].weight, heads[4][0].weight)
    True
    """
    return [
        nn.Sequential(*(_member(layer, index) for layer in stack)) for index in range(member_count(stack) or 0)
    ]


def _member(layer: nn.Module, index: int) -> nn.Module:
    if not isinstance(layer, StackedLinear):
        return layer
    single = nn.utils.skip_init(nn.Linear, *layer.weight.shape[1:], device=layer.weight.device)
    single.load_state_dict({"weight": layer.weight[index].T, "bias": layer.bias[index]})
    return single


def member_count(model: nn.Module) -> int | None:
    """How many members a stack has; None for a model that is no stack.

    >>> head = linear_head(6, 3, generator=torch.Generator())
    >>> member_count(stack_heads([head, head])), member_count(head)
    (2, None)
    """
    return next((len(m.weight) for m in model.modules() if isinstance(m, StackedLinear)), None)


def decaying_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """(name, parameter, whether it decays) of all trained parameters: those of more than one dimension decay.

    A member axis does not count as a dimension. That is the rule of ASL's public script.

    >>> head = linear_head(6, 3, generator=torch.Generator())
    >>> [(name, decays) for name, _, decays in decaying_parameters(head)]
    [('0.weight', True), ('0.bias', False)]
    """
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                dimensions = parameter.ndim - isinstance(module, StackedLinear)
                yield f"{prefix}.{name}".lstrip("."), parameter, dimensions > 1


def last_layer(model: nn.Module) -> nn.Linear | StackedLinear:
    """The layer that makes the logits: its input is the feature vector, its weights are those of CBIM (paper 1, Eq. 3).

    Args:
        model: a timm model, a head or a stack of heads.

    Raises:
        InputError: the model has no linear layer, or a timm model ends in something else.

    >>> last_layer(mlp_head(6, 3, hidden=5, generator=torch.Generator()))
    Linear(in_features=5, out_features=3, bias=True)
    """
    linears = [module for module in model.modules() if isinstance(module, nn.Linear | StackedLinear)]
    if hasattr(model, "get_classifier"):
        linears = [model.get_classifier()]
    if not linears or not isinstance(linears[-1], nn.Linear | StackedLinear):
        raise InputError(f"{type(model).__name__}: no linear last layer; expected one that makes the logits")
    return linears[-1]


def image_model(
    name: str,
    classes: int | None,
    *,
    generator: torch.Generator,
    weights: str | Path,
    deterministic: bool = False,
    **timm_options: object,
) -> nn.Module:
    """A timm model by name (the papers': `tresnet_m`) from (B, 3, H, W) images to (B, classes) logits.

    Args:
        name: timm's, without a tag.
        classes: number of classes; 0 gives features in place of logits, None the model's own (ImageNet's, mostly).
        generator: a generator of the CPU, for random weights and a random last layer.
        weights: a .safetensors or .pth file, "wheel:NAME" for those in an installed package, "timm" or "timm:TAG" for
            published ones, or "random": there is no default, so that nobody trains from random weights without knowing.
            A last layer of another shape stays random.
        deterministic: for recipes that are so (see `_mirror_by_slices`).
        timm_options: of `timm.create_model`.

    Returns:
        The model, on the CPU, in training mode.

    Raises:
        InputError: an unknown model, weights that cannot be read or had, or weights that do not fit (naming the keys).

    >>> model = image_model("mobilenetv3_small_050", 80, generator=torch.Generator(), weights="random")
    >>> model.eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 80])
    """
    from nlcore.torchvision_compat import ensure_torchvision

    ensure_torchvision()
    import timm

    if not timm.is_model(name):
        raise InputError(f"model {name!r}: timm {timm.__version__} has no such model; expected one of timm's")
    source, _, tag = str(weights).partition(":")
    published = source == TIMM_WEIGHTS
    # timm draws from torch's global generator: seed it from ours for this moment, then put it back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        try:
            model = timm.create_model(
                f"{name}.{tag}" if published and tag else name,
                pretrained=published,
                **({} if classes is None else {"num_classes": classes}),
                **timm_options,
            )
        except Exception as error:  # timm passes on whatever the hub's client raises
            if not published:
                raise
            raise InputError(f"published weights of {name}: cannot be had ({error}); expected a file") from error
    if not published and weights != RANDOM_WEIGHTS:
        load_weights(model, weights)
    if deterministic:
        _mirror_by_slices(model)
    return model


def _mirror_by_slices(model: nn.Module) -> None:
    """Lets timm's blurs (TResNet has them) mirror their borders by slicing: the same values, with identical gradients.

    The gradient of torch's own reflection padding adds up in any order on a GPU, and torch's deterministic mode refuses
    it.
    """
    from timm.layers import BlurPool2d

    def pad(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
        width, (mirrored,) = module.mirrored, inputs
        for axis in (-2, -1):
            size = mirrored.shape[axis]
            before = mirrored.narrow(axis, 1, width).flip(axis)
            after = mirrored.narrow(axis, size - 1 - width, width).flip(axis)
            mirrored = torch.cat([before, mirrored, after], dim=axis)
        return mirrored

    for module in model.modules():
        if isinstance(module, BlurPool2d) and module.pad_mode == "reflect":
            module.mirrored, module.padding, module.pad_mode = module.padding[0], [0] * 4, "constant"
            module.register_forward_pre_hook(pad)


def normalisation(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel that a timm model expects of images in [0, 1] (TResNet: 0 and 1).

    >>> model = image_model("mobilenetv3_small_050", 80, generator=torch.Generator(), weights="random")
    >>> normalisation(model)
    ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    """
    settings = model.pretrained_cfg
    return tuple(settings["mean"]), tuple(settings["std"])


def load_weights(model: nn.Module, weights: str | Path) -> None:
    """Loads weights into `model`, except a last layer of another shape.

    Args:
        model: a timm model, changed in place; as it was where anything is raised.
        weights: .safetensors, or a .pth of tensors, which is read without running any code it may hold; or wheel:NAME,
            for such a file in an installed package.

    Raises:
        InputError: the file or package is absent or unreadable, or any other key is missing, unexpected or of another
            shape.
    """
    own, given = model.state_dict(), _weights_for(model, weights)
    head = next((name for name, module in model.named_modules() if module is last_layer(model)), "")
    other_shape = [key for key in given if key in own and given[key].shape != own[key].shape]
    for key in [key for key in other_shape if key.rpartition(".")[0] == head]:
        given[key] = own[key]
        other_shape.remove(key)
    problems = {
        "missing": [key for key in own if key not in given and not key.endswith("num_batches_tracked")],
        "unexpected": [key for key in given if key not in own],
        "of another shape": other_shape,
    }
    found = "; ".join(f"{len(keys)} {what}: {_some(keys)}" for what, keys in problems.items() if keys)
    if found:
        raise InputError(f"{weights}: {found}; expected weights that fit {type(model).__name__}")
    model.load_state_dict(given, strict=False)
    if (wheel := wheel_name(weights)) in PIXELS:
        mean, deviation = PIXELS[wheel]
        model.pretrained_cfg = model.pretrained_cfg | {"mean": (mean,) * 3, "std": (deviation,) * 3}


def _weights_for(model: nn.Module, weights: str | Path) -> dict[str, Tensor]:
    """The tensors of a file or a package under the model's own names.

    The authors of a package may have named them otherwise: then they go by their order, which the shapes must bear out.
    """
    wheel = wheel_name(weights)
    if wheel is None:
        return _in_names_of(model, _read_weights(Path(weights)))
    own, given = model.state_dict(), _read_weights(wheel_file(wheel))
    return dict(zip(own, given.values(), strict=True)) if len(given) == len(own) else given


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth file, read without running any code it may hold."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected weights, as .safetensors or .pth")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except Exception as error:  # each reader has its own exceptions for a damaged file
        problem = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({problem}); expected weights, as .safetensors or .pth") from error
    for key in ("model", "state_dict"):
        content = content.get(key, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: found something else; expected named tensors (a state_dict)")
    return dict(content)


def _in_names_of(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys as timm names them: timm knows how the original checkpoints of a model are called (ASL's, for TResNet)."""
    translate = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    return tensors if translate is None else translate(tensors, model)


def _some(keys: list[str], shown: int = 5) -> str:
    return ", ".join(keys[:shown]) + (", ..." if len(keys) > shown else "")
