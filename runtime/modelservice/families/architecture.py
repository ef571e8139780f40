"""``architecture.json``: the final module, layer by layer, as data.

It describes what the weights belong to, whatever the ModelService said: a later stage may make layers narrower.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelservice.contract.base import Tolerant
from modelservice.contract.model import Activation, MultilayerPerceptron

MAX_LAYERS = 128
MAX_PARAMETERS = 2**31
Width = Annotated[int, Field(ge=1, le=2**24)]


class Linear(Tolerant):
    """An affine layer, y = W x + b."""

    kind: Literal["Linear"] = "Linear"
    inputs: Width
    outputs: Width


class Elementwise(Tolerant):
    """A non-linearity."""

    kind: Literal["Activation"] = "Activation"
    function: Activation


class Dropout(Tolerant):
    """Dropout (Srivastava et al., 2014); does nothing when serving."""

    kind: Literal["Dropout"] = "Dropout"
    share: Annotated[float, Field(ge=0, lt=1)]


Layer = Annotated[Linear | Elementwise | Dropout, Field(discriminator="kind")]


class Architecture(Tolerant):
    """A chain of layers from ``inputs`` numbers to ``outputs`` logits."""

    schema_version: str = "1.0"
    inputs: Width
    outputs: Width
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=MAX_LAYERS)]

    @model_validator(mode="after")
    def _chained(self) -> Self:
        width = self.inputs
        for position, layer in enumerate(self.layers):
            if isinstance(layer, Linear):
                if layer.inputs != width:
                    raise ValueError(f"layer {position} takes {layer.inputs} inputs, but gets {width}")
                width = layer.outputs
        if width != self.outputs:
            raise ValueError(f"the last layer gives {width} outputs, expected {self.outputs}")
        if self.parameters > MAX_PARAMETERS:
            raise ValueError(f"{self.parameters} parameters, at most {MAX_PARAMETERS} are possible")
        return self

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum((layer.inputs + 1) * layer.outputs for layer in self.layers if isinstance(layer, Linear))


def design_mlp(model: MultilayerPerceptron, *, inputs: int, outputs: int) -> Architecture:
    """The chain that ``spec.model.mlp`` asks for, between a table's width and its number of classes."""
    layers: list[Linear | Elementwise | Dropout] = []
    width = inputs
    for hidden in model.hidden_layers:
        layers += [Linear(inputs=width, outputs=hidden), Elementwise(function=model.activation)]
        if model.dropout > 0:
            layers.append(Dropout(share=model.dropout))
        width = hidden
    layers.append(Linear(inputs=width, outputs=outputs))
    return Architecture(inputs=inputs, outputs=outputs, layers=tuple(layers))
