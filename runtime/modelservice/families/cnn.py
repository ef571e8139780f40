"""``spec.model.cnn``: convolutional networks, for images."""

from modelservice.contract.failure import StageError
from modelservice.contract.networks import ConvolutionalNetwork, Normalization
from modelservice.contract.networks import Pooling as PoolingFunction
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import (
    Architecture,
    Convolution,
    Elementwise,
    Flatten,
    Layer,
    OutputHead,
    Pooling,
    Shape,
    linear_layers,
)
from modelservice.families.base import Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


def design_cnn(settings: ConvolutionalNetwork, shape: Shape, logits: int, head: OutputHead) -> Architecture:
    """Convolutions with activation and pooling, then linear layers, between an image and the logits.

    Raises:
        StageError: the image is too small for so many poolings.
        ValidationError: there would be too many parameters.
    """
    _check_poolings(settings, shape)
    layers: list[Layer] = []
    channels = shape[0]
    for outputs in settings.channels:
        layers += [
            Convolution(inputs=channels, outputs=outputs, kernel_size=settings.kernel_size),
            Elementwise(function=settings.activation),
        ]
        if settings.pooling is not PoolingFunction.NONE:
            layers.append(Pooling(function=settings.pooling))
        channels = outputs
    layers.append(Flatten())
    width = shape
    for layer in layers:
        width = layer.shape_after(width)
    layers += linear_layers(
        settings.hidden_layers,
        inputs=width[0],
        outputs=logits,
        activation=settings.activation,
        dropout=settings.dropout,
    )
    return Architecture(shape=shape, layers=tuple(layers), head=head)


class Cnn:
    """The family ``cnn``."""

    name = "cnn"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """Convolutions need neighbours."""
        return None if modality == "Image" else "takes images only: choose mlp for a table"

    def fit(
        self,
        settings: ConvolutionalNetwork,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families import gradient  # noqa: PLC0415 - torch takes seconds to import

        return gradient.fit(
            design_cnn,
            settings,
            dataset,
            training,
            field="spec.model.cnn",
            observe=observe,
            checkpointing=checkpointing,
            normalizes=settings.normalization is Normalization.BATCH,
        )


def _check_poolings(settings: ConvolutionalNetwork, shape: Shape) -> None:
    if settings.pooling is PoolingFunction.NONE:
        return
    possible = min(shape[1:]).bit_length() - 1
    if len(settings.channels) > possible:
        rows, columns = shape[1:]
        message = (
            f"{len(settings.channels)} convolutions with pooling halve images of {rows} x {columns} once too often:"
            f" use at most {possible} channels, or pooling None"
        )
        raise StageError("ImageTooSmall", message, field="spec.model.cnn.channels")
