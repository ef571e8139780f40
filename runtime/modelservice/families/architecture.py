"""``architecture.json``: the final network, layer by layer, as data.

It describes what the weights belong to, whatever the ModelService said: a later stage may make layers narrower.
"""

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from modelservice.contract.base import Contract
from modelservice.contract.documents import ExactDocument
from modelservice.contract.networks import Activation, Cell
from modelservice.contract.networks import Pooling as PoolingFunction

MAX_LAYERS = 128
MAX_PARAMETERS = 500_000_000
"""``model.onnx`` is one file, and protobuf holds at most 2 GiB in a message."""

Width = Annotated[int, Field(ge=1, le=2**24)]
Shape = tuple[int, ...]


class Flatten(Contract):
    """All values of a row in one axis, the last axis of an image running fastest."""

    kind: Literal["Flatten"] = "Flatten"

    def shape_after(self, shape: Shape) -> Shape:
        """One axis."""
        return (math.prod(shape),)


class Linear(Contract):
    """An affine layer, y = W x + b."""

    kind: Literal["Linear"] = "Linear"
    inputs: Width
    outputs: Width

    def shape_after(self, shape: Shape) -> Shape:
        """As many values as there are outputs."""
        if shape != (self.inputs,):
            raise ValueError(f"takes {self.inputs} inputs, but gets {_words(shape)}")
        return (self.outputs,)


class Convolution(Contract):
    """A convolution over rows and columns of an image: stride 1, zeros around it, so that its size stays."""

    kind: Literal["Convolution"] = "Convolution"
    inputs: Width
    outputs: Width
    kernel_size: Literal[1, 3, 5, 7]

    def shape_after(self, shape: Shape) -> Shape:
        """Another number of channels of the same size."""
        if len(shape) != _IMAGE_AXES or shape[0] != self.inputs:
            raise ValueError(f"takes {self.inputs} channels of an image, but gets {_words(shape)}")
        return (self.outputs, *shape[1:])


class Pooling(Contract):
    """The largest or the mean of two by two neighbours; an odd last row or column is left out."""

    kind: Literal["Pooling"] = "Pooling"
    function: Literal[PoolingFunction.MAX, PoolingFunction.AVERAGE]

    def shape_after(self, shape: Shape) -> Shape:
        """Half the rows and columns."""
        if len(shape) != _IMAGE_AXES or min(shape[1:]) < _POOLED:
            raise ValueError(f"halves an image of at least 2 x 2, but gets {_words(shape)}")
        return (shape[0], shape[1] // _POOLED, shape[2] // _POOLED)


class Elementwise(Contract):
    """A non-linearity."""

    kind: Literal["Activation"] = "Activation"
    function: Activation

    def shape_after(self, shape: Shape) -> Shape:
        """The same."""
        return shape


class Dropout(Contract):
    """Dropout (Srivastava et al., 2014); does nothing when serving."""

    kind: Literal["Dropout"] = "Dropout"
    share: Annotated[float, Field(ge=0, lt=1)]

    def shape_after(self, shape: Shape) -> Shape:
        """The same."""
        return shape


Members = Annotated[int, Field(ge=1, le=1024)]


class SmoothClip(Contract):
    """Inputs that are scaled and softly bounded: z = (x - center) factor, then z / sqrt(1 + (z / limit)^2)."""

    kind: Literal["SmoothClip"] = "SmoothClip"
    inputs: Width
    limit: Annotated[FiniteFloat, Field(gt=0)]

    @property
    def weights(self) -> int:
        """Their number: a center and a factor for each input."""
        return 2 * self.inputs

    def shape_after(self, shape: Shape) -> Shape:
        """The same."""
        if shape != (self.inputs,):
            raise ValueError(f"takes {self.inputs} inputs, but gets {_words(shape)}")
        return shape


class MemberScale(Contract):
    """A factor for each input of each member of an ensemble."""

    kind: Literal["MemberScale"] = "MemberScale"
    members: Members
    inputs: Width

    @property
    def weights(self) -> int:
        """Their number."""
        return self.members * self.inputs

    def shape_after(self, shape: Shape) -> Shape:
        """A row for each member."""
        if shape != (self.inputs,):
            raise ValueError(f"takes {self.inputs} inputs, but gets {_words(shape)}")
        return (self.members, self.inputs)


class MemberLinear(Contract):
    """An affine layer of each member of an ensemble, y = x W + b."""

    kind: Literal["MemberLinear"] = "MemberLinear"
    members: Members
    inputs: Width
    outputs: Width

    def shape_after(self, shape: Shape) -> Shape:
        """As many values as there are outputs, for each member."""
        if shape != (self.members, self.inputs):
            raise ValueError(f"takes {self.members} x {self.inputs} values, but gets {_words(shape)}")
        return (self.members, self.outputs)


class TokenRecurrence(Contract):
    """A recurrent network over tokens, numbers from 1 on with 0 behind the last, and the mean of what it says of each.

    ``vocabulary`` tokens are known; each layer has ``units`` in each direction.
    """

    kind: Literal["TokenRecurrence"] = "TokenRecurrence"
    cell: Cell
    vocabulary: Width
    embedding: Width
    units: Width
    layers: Annotated[int, Field(ge=1, le=8)]
    bidirectional: bool

    @property
    def directions(self) -> int:
        """In which a text is read."""
        return 2 if self.bidirectional else 1

    @property
    def weights(self) -> int:
        """Their number, biases among them."""
        gates = 4 if self.cell is Cell.LSTM else 3
        inputs = [self.embedding, *[self.units * self.directions] * (self.layers - 1)]
        each = (gates * self.units * (width + self.units + 2) for width in inputs)
        return self.embedded + self.directions * sum(each)

    @property
    def embedded(self) -> int:
        """Those of the weights that are looked up."""
        return (self.vocabulary + 1) * self.embedding

    @property
    def widest(self) -> int:
        """Most values that a token becomes inside."""
        return max(self.embedding, 4 * self.units * self.directions)

    def shape_after(self, shape: Shape) -> Shape:
        """The units of the last layer, of both directions."""
        if len(shape) != 1:
            raise ValueError(f"takes the tokens of a text, but gets {_words(shape)}")
        return (self.units * self.directions,)


class TokenAttention(Contract):
    """A transformer encoder over tokens, as above, of ``length`` at most, and the mean of what it says of each."""

    kind: Literal["TokenAttention"] = "TokenAttention"
    vocabulary: Width
    length: Width
    width: Width
    heads: Annotated[int, Field(ge=1, le=32)]
    layers: Annotated[int, Field(ge=1, le=24)]
    feed_forward: Width
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @property
    def weights(self) -> int:
        """Their number, biases among them."""
        attention = 4 * self.width * (self.width + 1)
        feed_forward = 2 * self.width * self.feed_forward + self.width + self.feed_forward
        return self.embedded + self.layers * (attention + feed_forward + 4 * self.width) + 2 * self.width

    @property
    def embedded(self) -> int:
        """Those of the weights that are looked up, of tokens and of places."""
        return (self.vocabulary + 1 + self.length) * self.width

    @property
    def widest(self) -> int:
        """Most values that a token becomes inside."""
        return max(3 * self.width, self.feed_forward, self.heads * self.length)

    def shape_after(self, shape: Shape) -> Shape:
        """The width."""
        if shape != (self.length,):
            raise ValueError(f"takes {self.length} tokens of a text, but gets {_words(shape)}")
        if self.width % self.heads:
            raise ValueError(f"of width {self.width} cannot be divided among {self.heads} heads")
        return (self.width,)


Layer = Annotated[
    Flatten
    | Linear
    | Convolution
    | Pooling
    | Elementwise
    | Dropout
    | SmoothClip
    | MemberScale
    | MemberLinear
    | TokenRecurrence
    | TokenAttention,
    Field(discriminator="kind"),
]


class Softmax(Contract):
    """Logits of at least two classes to their probabilities."""

    kind: Literal["Softmax"] = "Softmax"

    def width(self, logits: int) -> int:
        """Raw outputs for so many logits."""
        if logits < 2:  # noqa: PLR2004
            raise ValueError(f"a softmax takes at least 2 logits, but gets {logits}")
        return logits


class Sigmoid(Contract):
    """One logit to the probabilities of two classes, [1 - p, p]."""

    kind: Literal["Sigmoid"] = "Sigmoid"

    def width(self, logits: int) -> int:
        """Raw outputs for so many logits."""
        if logits != 1:
            raise ValueError(f"a sigmoid takes 1 logit, but gets {logits}")
        return 2


class Scale(Contract):
    """One standardised number to the target's own unit, ``z * std + mean``."""

    kind: Literal["Scale"] = "Scale"
    mean: FiniteFloat
    std: Annotated[FiniteFloat, Field(gt=0)]

    def width(self, logits: int) -> int:
        """Raw outputs for so many numbers of the last layer."""
        if logits != 1:
            raise ValueError(f"a scale takes 1 number, but gets {logits}")
        return 1


PlainHead = Annotated[Softmax | Sigmoid | Scale, Field(discriminator="kind")]
"""Of one network."""


class MemberMean(Contract):
    """The mean over members of what a head makes of each one's logits.

    Probabilities are raised to the power ``sharpness`` then, and divided by their sum: temperature scaling (Guo et al.,
    2017) of what the members say together. It is 1 for numbers.
    """

    kind: Literal["MemberMean"] = "MemberMean"
    members: Members
    head: PlainHead
    sharpness: Annotated[FiniteFloat, Field(gt=0)] = 1.0

    def width(self, logits: int) -> int:
        """Raw outputs for so many logits of each member."""
        if isinstance(self.head, Scale) and self.sharpness != 1:
            raise ValueError("numbers have no sharpness, which is for probabilities")
        return self.head.width(logits)


class Curve(Contract):
    """A rising function: linear from knot to knot, and constant beyond the first and the last."""

    knots: Annotated[tuple[FiniteFloat, ...], Field(min_length=2, max_length=2**20)]
    values: Annotated[tuple[Annotated[FiniteFloat, Field(gt=0, lt=1)], ...], Field(min_length=2, max_length=2**20)]

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if len(self.knots) != len(self.values):
            raise ValueError(f"a curve has {len(self.knots)} knots and {len(self.values)} values")
        if any(later <= knot for knot, later in pairwise(self.knots)):
            raise ValueError("the knots of a curve must rise")
        if any(later < value for value, later in pairwise(self.values)):
            raise ValueError("the values of a curve must not fall")
        return self


class Isotonic(Contract):
    """Probabilities that another head makes, each by a rising curve; then they are divided by their sum.

    Of two classes one curve says the probability of the second, and that of the first is the rest (Zadrozny and Elkan,
    2002).
    """

    kind: Literal["Isotonic"] = "Isotonic"
    head: Annotated[Softmax | Sigmoid | MemberMean, Field(discriminator="kind")]
    curves: Annotated[tuple[Curve, ...], Field(min_length=1, max_length=1024)]

    def width(self, logits: int) -> int:
        """Raw outputs for so many logits."""
        width = self.head.width(logits)
        if len(self.curves) != (width if width > 2 else width - 1):  # noqa: PLR2004 - of two classes one is the rest
            raise ValueError(f"{len(self.curves)} curves do not fit {width} outputs")
        return width


OutputHead = Annotated[Softmax | Sigmoid | Scale | MemberMean | Isotonic, Field(discriminator="kind")]


class Architecture(ExactDocument):
    """A chain of layers from a row's ``shape`` to logits, and the head that makes the model's raw outputs of them."""

    kind: Literal["Architecture"] = "Architecture"
    shape: Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1, max_length=MAX_LAYERS)]
    head: OutputHead

    @model_validator(mode="after")
    def _chained(self) -> Self:
        last = self.shapes[-1]
        inner = self.head.head if isinstance(self.head, Isotonic) else self.head
        if isinstance(inner, MemberMean):
            if last[:-1] != (inner.members,):
                raise ValueError(f"the last layer gives {_words(last)}, expected {inner.members} members")
        elif len(last) != 1:
            raise ValueError(f"the last layer gives {_words(last)}, expected one axis")
        self.head.width(last[-1])
        if self.parameters > MAX_PARAMETERS:
            raise ValueError(f"{self.parameters} parameters, at most {MAX_PARAMETERS} are possible")
        return self

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes of a row before the first layer and after each.

        Raises:
            ValueError: a layer does not fit what comes before it.
        """
        found: list[Shape] = [self.shape]
        for position, layer in enumerate(self.layers):
            try:
                found.append(layer.shape_after(found[-1]))
            except ValueError as error:
                raise ValueError(f"layer {position} ({layer.kind}) {error}") from None
        return tuple(found)

    @property
    def width(self) -> int:
        """Raw outputs of a row."""
        return self.head.width(self.shapes[-1][-1])

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(_weights(layer) for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Of one row, forward; a convolution uses its weights once for each pixel, a layer of tokens for each token."""
        return sum(
            _multiply_adds(layer, before, after)
            for layer, (before, after) in zip(self.layers, pairwise(self.shapes), strict=True)
        )

    @property
    def widest(self) -> int:
        """Most values that a row becomes on its way, which bounds memory."""
        inside = (_widest(layer, before) for layer, before in zip(self.layers, self.shapes, strict=False))
        return max(*(math.prod(shape) for shape in self.shapes), *inside)


def linear_layers(
    widths: tuple[int, ...], *, inputs: int, outputs: int, activation: Activation, dropout: float
) -> list[Layer]:
    """Hidden linear layers of these widths, each followed by the activation and dropout, and the last one."""
    layers: list[Layer] = []
    for hidden in widths:
        layers += [Linear(inputs=inputs, outputs=hidden), Elementwise(function=activation)]
        if dropout > 0:
            layers.append(Dropout(share=dropout))
        inputs = hidden
    return [*layers, Linear(inputs=inputs, outputs=outputs)]


_IMAGE_AXES = 3
"""Channels, rows, columns."""
_POOLED = 2


def _weights(layer: Layer) -> int:
    match layer:
        case Linear():
            return (layer.inputs + 1) * layer.outputs
        case Convolution():
            return (layer.inputs * layer.kernel_size**2 + 1) * layer.outputs
        case MemberLinear():
            return layer.members * (layer.inputs + 1) * layer.outputs
        case SmoothClip() | MemberScale() | TokenRecurrence() | TokenAttention():
            return layer.weights
        case _:
            return 0


def _multiply_adds(layer: Layer, before: Shape, after: Shape) -> int:
    match layer:
        case Convolution():
            return _weights(layer) * math.prod(after[1:])
        case TokenRecurrence() | TokenAttention():
            return (layer.weights - layer.embedded) * before[0]
        case _:
            return _weights(layer)


def _widest(layer: Layer, before: Shape) -> int:
    """Most values that a row becomes inside of a layer."""
    match layer:
        case TokenRecurrence() | TokenAttention():
            return before[0] * layer.widest
        case _:
            return 0


def _words(shape: Shape) -> str:
    return " x ".join(map(str, shape)) + (" values" if len(shape) == 1 else "")
