"""``spec.model.mlp``: multilayer perceptrons, for tables and, value by value, for images."""

from modelservice.contract.model import MultilayerPerceptron
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Architecture, Flatten, Layer, OutputHead, Shape, linear_layers
from modelservice.families.base import Fitted, Observer
from modelservice.modalities.base import Dataset


def design_mlp(settings: MultilayerPerceptron, shape: Shape, logits: int, head: OutputHead) -> Architecture:
    """The layers that the settings ask for, between a row's shape and the logits.

    Raises:
        ValidationError: there would be too many parameters.
    """
    flatten: list[Layer] = [] if len(shape) == 1 else [Flatten()]
    inputs = Flatten().shape_after(shape)[0]
    layers = linear_layers(
        settings.hidden_layers,
        inputs=inputs,
        outputs=logits,
        activation=settings.activation,
        dropout=settings.dropout,
    )
    return Architecture(shape=shape, layers=(*flatten, *layers), head=head)


class Mlp:
    """The family ``mlp``."""

    name = "mlp"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes all there is."""
        return None

    def fit(
        self, settings: MultilayerPerceptron, dataset: Dataset, training: Hyperparameters, *, observe: Observer
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families import gradient  # noqa: PLC0415 - torch takes seconds to import

        field = "spec.model.mlp.hiddenLayers"
        return gradient.fit(design_mlp, settings, dataset, training, field=field, observe=observe)
