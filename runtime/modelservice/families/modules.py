"""Architecture to torch module and back, and initial weights."""

import torch
from torch import nn

from modelservice.contract.model import Activation
from modelservice.models.architecture import Architecture, Dropout, Elementwise, Layer, Linear

_ACTIVATIONS: dict[Activation, type[nn.Module]] = {
    Activation.RELU: nn.ReLU,
    Activation.GELU: nn.GELU,
    Activation.TANH: nn.Tanh,
}
_FUNCTIONS = {module: function for function, module in _ACTIVATIONS.items()}


def build(architecture: Architecture, *, device: str = "cpu") -> nn.Sequential:
    """A module whose parameters are named after their layer's position: ``0.weight``, ``0.bias``.

    On the device "meta" it allocates nothing, which is how a stored model is loaded.
    """
    return nn.Sequential(*(_module(layer, device) for layer in architecture.layers))


def describe(module: nn.Sequential) -> Architecture:
    """The inverse of ``build``.

    Raises:
        ValueError: the module holds a layer that no architecture describes.
    """
    layers = [_layer(child) for child in module]
    linear = [layer for layer in layers if isinstance(layer, Linear)]
    if not linear:
        raise ValueError("a module without a linear layer has no architecture")
    return Architecture(inputs=linear[0].inputs, outputs=linear[-1].outputs, layers=tuple(layers))


def initialize(module: nn.Sequential, generator: torch.Generator) -> None:
    """Draw initial weights in place; biases are 0.

    Weights before a ReLU or GELU are drawn after He et al. (2015), all others after Glorot and Bengio (2010).
    """
    children = list(module)
    for child, following in zip(children, [*children[1:], None], strict=True):
        if isinstance(child, nn.Linear):
            if isinstance(following, nn.ReLU | nn.GELU):
                nn.init.kaiming_uniform_(child.weight, nonlinearity="relu", generator=generator)
            else:
                nn.init.xavier_uniform_(child.weight, generator=generator)
            nn.init.zeros_(child.bias)


def _module(layer: Layer, device: str) -> nn.Module:
    match layer:
        case Linear():
            return nn.Linear(layer.inputs, layer.outputs, device=device)
        case Elementwise():
            return _ACTIVATIONS[layer.function]()
        case Dropout():
            return nn.Dropout(layer.share)


def _layer(module: nn.Module) -> Linear | Elementwise | Dropout:
    if isinstance(module, nn.Linear):
        return Linear(inputs=module.in_features, outputs=module.out_features)
    if isinstance(module, nn.Dropout):
        return Dropout(share=module.p)
    if type(module) in _FUNCTIONS:
        return Elementwise(function=_FUNCTIONS[type(module)])
    raise ValueError(f"no architecture describes a {type(module).__name__}")
