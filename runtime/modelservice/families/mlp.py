"""``spec.model.mlp``: multilayer perceptrons, for tables and, value by value, for images."""

from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Shape
from modelservice.families.base import Fitted, Observer
from modelservice.families.perceptron import FIELD, design_mlp, fit_stream
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


def is_ensemble(settings: MultilayerPerceptron, training: Hyperparameters, shape: Shape) -> bool:
    """Whether several networks are asked for, or suit: a table, and nothing that says how one is to be.

    A value that equals its default says nothing, as in the keys of revisions.
    """
    if settings.ensemble is not None:
        return settings.ensemble > 1
    return len(shape) == 1 and settings == MultilayerPerceptron() and training.is_default


class Mlp:
    """The family ``mlp``."""

    name = "mlp"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes numbers, whatever they are of."""
        return "takes tables and images: choose rnn or transformer for texts" if modality == "Text" else None

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
            return fit_stream(settings, dataset, training, observe, checkpointing)
        if is_ensemble(settings, training, dataset.shape):
            return _fit_ensemble(settings, dataset, training, observe, checkpointing)
        return gradient.fit(
            design_mlp, settings, dataset, training, field=FIELD, observe=observe, checkpointing=checkpointing
        )


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
        groups=rows.groups,
    ).as_fitted()
