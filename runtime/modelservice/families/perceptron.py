"""The networks of ``spec.model.mlp``, and how one learns from rows that are not held; for ``mlp`` and ``auto``."""

from dataclasses import replace
from typing import Final

from modelservice.contract.failure import StageError
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.optimizers import AdamW, Cosine, Optimizer, Schedule
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Architecture, Flatten, Layer, OutputHead, Shape, linear_layers
from modelservice.families.base import Fitted, Observer, usual_steps
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import Checkpointing

STREAMED: Final = Hyperparameters(
    optimizer=Optimizer(adam_w=AdamW(learning_rate=0.003)),
    schedule=Schedule(cosine=Cosine()),
    l2=0.0,
    epochs=8,
    batch_size=1024,
)
"""What is done to rows that are not held where nothing is said: there are many, so each is seen a few times."""
FIELD: Final = "spec.model.mlp.hiddenLayers"


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


def fit_stream(
    settings: MultilayerPerceptron,
    dataset: Dataset,
    training: Hyperparameters,
    observe: Observer,
    checkpointing: Checkpointing,
) -> Fitted:
    """One network on rows that are not held, for arguments see ``Family.fit``: each member of an ensemble has others.

    Raises:
        StageError: several are asked for; see also ``gradient.fit``.
    """
    from modelservice.families import gradient  # noqa: PLC0415 - torch takes seconds to import

    if settings.ensemble is not None and settings.ensemble > 1:
        field = "spec.model.mlp.ensemble"
        message = f"the table is too large to be held, so it trains one network: leave {field} out, or give fewer rows"
        raise StageError("ModelUnsuited", message, field=field)
    training, notes = usual_steps(training, STREAMED, sentence="mlp is one network, trained")
    fitted = gradient.fit(
        design_mlp, settings, dataset, training, field=FIELD, observe=observe, checkpointing=checkpointing
    )
    return replace(fitted, notes=(*notes, *fitted.notes))
