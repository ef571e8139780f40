"""``spec.model.mlp``: multilayer perceptrons, for tables and, value by value, for images."""

from dataclasses import replace
from typing import Final

from modelservice.contract.model import MultilayerPerceptron
from modelservice.contract.training import AdamW, Cosine, Hyperparameters, Optimizer, Schedule
from modelservice.families.architecture import Architecture, Flatten, Layer, OutputHead, Shape, linear_layers
from modelservice.families.base import Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

STREAMED: Final = Hyperparameters(
    optimizer=Optimizer(adam_w=AdamW(learning_rate=0.003)),
    schedule=Schedule(cosine=Cosine()),
    l2=0.0,
    epochs=8,
    batch_size=1024,
)
"""What is done to rows that are not held where nothing is said: there are many, so each is seen a few times."""
_FIELD: Final = "spec.model.mlp.hiddenLayers"


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


def is_ensemble(settings: MultilayerPerceptron, training: Hyperparameters, shape: Shape) -> bool:
    """Whether several networks are asked for, or suit: a table, and nothing that says how one is to be.

    A value that equals its default says nothing, as in the keys of revisions.
    """
    if settings.ensemble is not None:
        return settings.ensemble > 1
    network = settings == MultilayerPerceptron()
    steps = training.model_copy(update={"seed": 0}) == Hyperparameters()
    return len(shape) == 1 and network and steps


class Mlp:
    """The family ``mlp``."""

    name = "mlp"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes all there is."""
        return None

    def fit(
        self,
        settings: MultilayerPerceptron,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families import gradient  # noqa: PLC0415 - torch takes seconds to import

        if dataset.stream is not None:
            return _fit_stream(settings, dataset, training, observe, checkpointing)
        if is_ensemble(settings, training, dataset.shape):
            return _fit_ensemble(settings, dataset, training, observe, checkpointing)
        return gradient.fit(
            design_mlp, settings, dataset, training, field=_FIELD, observe=observe, checkpointing=checkpointing
        )


def _fit_stream(
    settings: MultilayerPerceptron,
    dataset: Dataset,
    training: Hyperparameters,
    observe: Observer,
    checkpointing: Checkpointing,
) -> Fitted:
    """One network: members of an ensemble would each read other rows.

    Raises:
        StageError: several are asked for; see also ``gradient.fit``.
    """
    from modelservice.contract.failure import StageError  # noqa: PLC0415
    from modelservice.families import gradient  # noqa: PLC0415

    if settings.ensemble is not None and settings.ensemble > 1:
        field = "spec.model.mlp.ensemble"
        message = f"the table is too large to be held, so it trains one network: leave {field} out, or give fewer rows"
        raise StageError("ModelUnsuited", message, field=field)
    notes: tuple[str, ...] = ()
    if training.model_copy(update={"seed": 0}) == Hyperparameters():
        training = STREAMED.model_copy(update={"seed": training.seed})
        notes = (
            f"mlp is one network, trained for {training.epochs} epochs in batches of {training.batch_size} rows with"
            " adamW along a cosine: spec.training decides otherwise",
        )
    fitted = gradient.fit(
        design_mlp, settings, dataset, training, field=_FIELD, observe=observe, checkpointing=checkpointing
    )
    return replace(fitted, notes=(*notes, *fitted.notes))


def _fit_ensemble(
    settings: MultilayerPerceptron,
    dataset: Dataset,
    training: Hyperparameters,
    observe: Observer,
    checkpointing: Checkpointing,
) -> Fitted:
    """An ensemble of training and validation rows together, for its members keep rows of their own back.

    Raises:
        StageError: the rows are images; see also ``fit_ensemble``.
    """
    from modelservice.contract.failure import StageError  # noqa: PLC0415
    from modelservice.families.ensemble import fit_ensemble, plan_for  # noqa: PLC0415
    from modelservice.modalities.base import together  # noqa: PLC0415

    if len(dataset.shape) != 1:
        message = "an ensemble takes tables only: set spec.model.mlp.ensemble to 1, or choose cnn for images"
        raise StageError("ModelUnsuited", message, field="spec.model.mlp.ensemble")
    rows = together(dataset.train, dataset.validation)
    return fit_ensemble(
        plan_for(len(rows.values), members=settings.ensemble),
        rows.features,
        rows.values,
        classes=len(dataset.labels),
        seed=training.seed,
        observe=observe,
        checkpointing=checkpointing,
        weights=rows.relative_weights,
        loss=dataset.loss,
    ).as_fitted()
