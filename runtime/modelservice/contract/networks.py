"""Families of ``spec.model`` that are networks."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, Rule


class Activation(StrEnum):
    """Elementwise non-linearity between two layers."""

    RELU = "ReLU"
    GELU = "GELU"
    TANH = "Tanh"
    SILU = "SiLU"


class Pooling(StrEnum):
    """How two by two neighbouring values become one."""

    MAX = "Max"
    AVERAGE = "Average"
    NONE = "None"


class Normalization(StrEnum):
    """What is done to the channels of a convolution while it is trained."""

    NONE = "None"
    BATCH = "Batch"


HiddenLayers = Annotated[tuple[Annotated[int, Field(ge=1, le=8192)], ...], Field(max_length=16)]
Channels = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=1, max_length=16)]


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
    ensemble: int | None = Field(
        default=None,
        ge=1,
        le=64,
        description="Networks that are trained side by side, by a recipe for small tables, and averaged; 1 is the one"
        " network of the other settings. Default: 16 (8 with many rows) for a table where neither the network nor"
        " training, but for its seed, differs from the defaults; else 1. A change trains again.",
    )


class ConvolutionalNetwork(Contract):
    """A convolutional network for images.

    Convolutions of stride 1 that keep the size, each followed by the activation and the pooling, then linear layers as
    in a multilayer perceptron.
    """

    channels: Channels = Field(
        default=(16, 32), description="Channels of each convolution. Default [16, 32]. A change trains again."
    )
    kernel_size: Literal[1, 3, 5, 7] = Field(
        default=3, description="Width of the square kernels: 1, 3, 5 or 7. Default 3. A change trains again."
    )
    pooling: Pooling = Field(
        default=Pooling.MAX,
        description="Max, Average or None: halves the size after each convolution. Default Max. A change trains again.",
    )
    normalization: Normalization = Field(
        default=Normalization.NONE,
        description="Batch or None: whether each channel is standardised over the rows of a step while training. It is"
        " folded into the kernels then, so serving costs nothing more. Default None. A change trains again.",
    )
    hidden_layers: HiddenLayers = Field(
        default=(64,), description="Width of each linear layer before the last. Default [64]. A change trains again."
    )
    activation: Activation = Field(default=Activation.RELU, description="Default ReLU. A change trains again.")
    dropout: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="Share of activations of linear layers dropped while training. Default 0.1. A change trains again.",
    )


class Cell(StrEnum):
    """What a recurrent network keeps from token to token, and how."""

    LSTM = "LSTM"
    GRU = "GRU"


_HEADS_DIVIDE = Rule(
    "!has(self.width) && !has(self.heads) || (has(self.width) ? self.width : 64)"
    " % (has(self.heads) ? self.heads : 4) == 0",
    "width must be a multiple of heads",
)


class RecurrentNetwork(Contract):
    """A recurrent network that reads the tokens of a text in turn; the mean of what it says of each counts.

    LSTM: Hochreiter and Schmidhuber (1997); GRU: Cho et al. (2014).
    """

    cell: Cell = Field(default=Cell.LSTM, description="LSTM or GRU. Default LSTM. A change trains again.")
    embedding: int = Field(
        default=64, ge=1, le=2048, description="Numbers that stand for a token. Default 64. A change trains again."
    )
    units: int = Field(
        default=64,
        ge=1,
        le=2048,
        description="Numbers that are kept from token to token, in each direction. Default 64. A change trains again.",
    )
    layers: int = Field(
        default=1,
        ge=1,
        le=8,
        description="Each reads what the one before it says. Default 1. A change trains again.",
    )
    bidirectional: bool = Field(
        default=True,
        description="Whether the text is also read from its end. Default true. A change trains again.",
    )
    dropout: float = Field(
        default=0.2,
        ge=0,
        le=0.9,
        description="Share of the numbers before the last layer dropped while training. Default 0.2. A change trains"
        " again.",
    )


class Transformer(Contract):
    """A transformer encoder over the tokens of a text (Vaswani et al., 2017), normalised before each part.

    The mean of what it says of each token counts.
    """

    RULES = (_HEADS_DIVIDE,)

    width: int = Field(
        default=64,
        ge=4,
        le=2048,
        description="Numbers that stand for a token, a multiple of heads. Default 64. A change trains again.",
    )
    heads: int = Field(default=4, ge=1, le=32, description="Heads of attention. Default 4. A change trains again.")
    layers: int = Field(
        default=2, ge=1, le=24, description="Of attention and feed-forward. Default 2. A change trains again."
    )
    feed_forward: int = Field(
        default=128,
        ge=1,
        le=8192,
        description="Width inside of the feed-forward part. Default 128. A change trains again.",
    )
    dropout: float = Field(
        default=0.1,
        ge=0,
        le=0.9,
        description="Share of the numbers dropped while training, after each part. Default 0.1. A change trains again.",
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(_HEADS_DIVIDE.message)
        return self


NETWORK_OF_MLP = tuple(name for name in MultilayerPerceptron.model_fields if name != "ensemble")
"""What says how one network is to be."""
