"""Architecture to torch module and back, initial weights, and the head."""

from typing import Any

import torch
from torch import nn

from modelservice.contract.networks import Activation
from modelservice.contract.networks import Pooling as PoolingFunction
from modelservice.families import member_layers, token_layers
from modelservice.families.architecture import (
    Architecture,
    Convolution,
    Curve,
    Dropout,
    Elementwise,
    Flatten,
    Isotonic,
    Layer,
    Linear,
    MemberLinear,
    MemberMean,
    MemberScale,
    OutputHead,
    Pooling,
    Scale,
    Shape,
    Sigmoid,
    SmoothClip,
    Softmax,
    TokenAttention,
    TokenRecurrence,
)

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.RELU: nn.ReLU,
    Activation.GELU: nn.GELU,
    Activation.TANH: nn.Tanh,
    Activation.SILU: nn.SiLU,
}
_FUNCTIONS = {module: function for function, module in _ACTIVATIONS.items()}


def build(architecture: Architecture, *, device: str = "cpu") -> nn.Sequential:
    """The layers up to the logits; parameters are named after their layer's position: ``0.weight``, ``0.bias``.

    On the device "meta" it allocates nothing, which is how a stored model is loaded.
    """
    return laid_out(nn.Sequential(*(_module(layer, device) for layer in architecture.layers)))


def laid_out(module: nn.Sequential) -> nn.Sequential:
    """The same layers, kernels of convolutions in memory with their channels last, as images are from there on.

    A step takes a tenth to a third less of a CPU; sums have another order, so all that is to be repeated bit for bit
    is laid out.
    """
    if not any(isinstance(layer, nn.Conv2d) for layer in module):
        return module
    return module.to(memory_format=torch.channels_last)


def describe(module: nn.Sequential, *, shape: Shape, head: OutputHead) -> Architecture:
    """The inverse of ``build``.

    Args:
        module: the layers.
        shape: of a row that the first layer takes.
        head: what the architecture shall end with.

    Raises:
        ValueError: the module holds a layer that no architecture describes, or the layers do not fit together.
    """
    return Architecture(shape=shape, layers=tuple(_layer(child) for child in module), head=head)


def initialize(module: nn.Sequential, generator: torch.Generator) -> None:
    """Draw initial weights in place; biases are 0.

    Weights before a ReLU, GELU or SiLU are drawn after He et al. (2015), all others after Glorot and Bengio (2010).
    """
    children = list(module)
    for child, following in zip(children, [*children[1:], None], strict=True):
        if isinstance(child, nn.Linear | nn.Conv2d):
            if isinstance(following, nn.ReLU | nn.GELU | nn.SiLU):
                nn.init.kaiming_uniform_(child.weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.xavier_uniform_(child.weight, generator=generator)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


def apply_head(head: OutputHead, logits: torch.Tensor) -> torch.Tensor:
    """Logits [rows, logits], of an ensemble [members, rows, logits], to raw outputs [rows, width]."""
    match head:
        case MemberMean():
            mean = apply_head(head.head, logits).mean(dim=0)
            return mean if head.sharpness == 1 else torch.softmax(mean.log() * head.sharpness, dim=1)
        case Softmax():
            return torch.softmax(logits, dim=-1)
        case Sigmoid():
            positive = torch.sigmoid(logits)
            return torch.cat([1 - positive, positive], dim=-1)
        case Scale():
            return logits * head.std + head.mean
        case Isotonic():
            return _follow(head.curves, apply_head(head.head, logits).double()).float()


def _follow(curves: tuple[Curve, ...], probabilities: torch.Tensor) -> torch.Tensor:
    """``isotonic.follow`` in torch, as ``Graph.add_isotonic`` writes it."""
    risen = []
    for place, curve in enumerate(curves):
        column = probabilities[:, 1 if len(curves) == 1 else place, None]
        knots, values = (column.new_tensor(numbers) for numbers in (curve.knots, curve.values))
        shares = ((column - knots[:-1]) / knots.diff()).clamp(0, 1)
        risen.append(shares @ values.diff()[:, None] + values[0])
    if len(risen) == 1:
        return torch.cat([1 - risen[0], risen[0]], dim=1)
    together = torch.cat(risen, dim=1)
    return together / together.sum(dim=1, keepdim=True)


def _module(layer: Layer, device: str) -> nn.Module:
    module: nn.Module
    match layer:
        case Flatten():
            module = nn.Flatten()
        case Linear():
            module = nn.Linear(layer.inputs, layer.outputs, device=device)
        case Convolution(kernel_size=size):
            module = nn.Conv2d(layer.inputs, layer.outputs, size, padding=size // 2, device=device)
        case Pooling(function=function):
            module = nn.MaxPool2d(2) if function is PoolingFunction.MAX else nn.AvgPool2d(2)
        case Elementwise(function=activation):
            module = _ACTIVATIONS[activation]()
        case Dropout():
            module = nn.Dropout(layer.share)
        case SmoothClip() | MemberScale() | MemberLinear():
            module = _member_module(layer, device)
        case TokenRecurrence() | TokenAttention():
            module = token_layers.build(layer, device=device)
    return module


def _member_module(layer: SmoothClip | MemberScale | MemberLinear, device: str) -> nn.Module:
    match layer:
        case SmoothClip():
            return member_layers.SmoothClip(layer.inputs, layer.limit, device=device)
        case MemberScale():
            return member_layers.MemberScale(layer.members, layer.inputs, device=device)
        case MemberLinear():
            return member_layers.MemberLinear(layer.members, layer.inputs, layer.outputs, device=device)


def _layer(module: nn.Module) -> Layer:
    """Of a module that ``_module`` could have made; one with other settings than those is refused."""
    layer: Layer | None = None
    match module:
        case nn.Flatten():
            layer = Flatten()
        case nn.Linear():
            layer = Linear(inputs=module.in_features, outputs=module.out_features)
        case nn.Conv2d(kernel_size=((1 | 3 | 5 | 7) as size, _)):
            layer = Convolution(inputs=module.in_channels, outputs=module.out_channels, kernel_size=size)
        case nn.MaxPool2d() | nn.AvgPool2d():
            layer = Pooling(
                function=PoolingFunction.MAX if isinstance(module, nn.MaxPool2d) else PoolingFunction.AVERAGE
            )
        case nn.Dropout():
            layer = Dropout(share=module.p)
        case member_layers.SmoothClip() | member_layers.MemberScale() | member_layers.MemberLinear():
            layer = _member_layer(module)
        case token_layers.Recurrence() | token_layers.Attention():
            layer = module.layer
        case _ if type(module) in _FUNCTIONS:
            layer = Elementwise(function=_FUNCTIONS[type(module)])
    if layer is None or _settings(_module(layer, "meta")) != _settings(module):
        raise ValueError(f"no architecture describes {module!r}")
    return layer


def _member_layer(
    module: member_layers.SmoothClip | member_layers.MemberScale | member_layers.MemberLinear,
) -> Layer:
    match module:
        case member_layers.SmoothClip():
            return SmoothClip(inputs=len(module.center), limit=module.limit)
        case member_layers.MemberScale():
            members, _, inputs = module.weight.shape
            return MemberScale(members=members, inputs=inputs)
        case member_layers.MemberLinear():
            members, inputs, outputs = module.weight.shape
            return MemberLinear(members=members, inputs=inputs, outputs=outputs)


def _settings(module: nn.Module) -> dict[str, Any]:
    """Everything that a layer computes by, its parameters by name only."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_") and name != "training"}
    return {**public, "parameters": [name for name, _ in module.named_parameters()]}
