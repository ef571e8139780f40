"""``spec.model``: the architecture that is trained."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelservice.contract.base import Contract, OneOf


class Activation(StrEnum):
    """Elementwise non-linearity between two layers."""

    RELU = "ReLU"
    GELU = "GELU"
    TANH = "Tanh"


HiddenLayers = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(max_length=16)]


class MultilayerPerceptron(Contract):
    """A multilayer perceptron: linear layers, each followed by the activation and dropout."""

    hidden_layers: HiddenLayers = Field(
        default=(64, 64),
        description="Width of each hidden layer; [] is a linear model. Default [64, 64]. A change trains again.",
    )
    activation: Activation = Field(default=Activation.RELU, description="Default ReLU. A change trains again.")
    dropout: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="Share of activations dropped while training. Default 0.1. A change trains again.",
    )


class Model(OneOf):
    """Exactly one architecture."""

    mlp: MultilayerPerceptron | None = Field(default=None, description="A multilayer perceptron for tables.")
