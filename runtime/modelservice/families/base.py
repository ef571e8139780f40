"""What a family of models answers: whether it can learn something, and what comes out when it did."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelservice.contract.manifest import INPUT_NAME, OUTPUT_NAME
from modelservice.contract.progress import Progress
from modelservice.contract.report import BlendedModel
from modelservice.contract.training import Hyperparameters
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

__all__ = [
    "INPUT_NAME",
    "OPSET",
    "OUTPUT_NAME",
    "TABLES_ONLY",
    "TEXTS_ONLY",
    "Family",
    "Fitted",
    "Observer",
    "usual_steps",
]

Observer = Callable[[Progress], None]
"""Is told how far a fit is (``eta_seconds`` is filled in by whoever shows it)."""

OPSET = 21

TABLES_ONLY = "takes tables only: choose mlp or cnn for images, rnn or transformer for texts"
"""What ``Family.unsuited`` says of images and texts, for the families of scikit-learn."""
TEXTS_ONLY = "takes texts only: name their column in spec.data.text, or choose mlp"
"""What it says of all else, for families over tokens."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A trained model.

    Attributes:
        onnx: ``model.onnx``: input ``INPUT_NAME``, output ``OUTPUT_NAME``; domains ai.onnx and ai.onnx.ml only.
        predict: the trained model itself, features to raw outputs: what ``onnx`` is checked against.
        parameters: number of trained parameters (support vectors and tree nodes count by their values).
        files: further files of the artifact, such as weights that a later stage starts from.
        libraries: versions of what decided the result, by name.
        curves: what each epoch came to, by name (``epoch`` among them), for families that have epochs.
        best_epoch: the epoch whose weights were kept, from 1.
        notes: sentences for the user.
        models: those that it is blended of.
        sharpened: the same model with all probabilities raised to a power and divided by their sum, by its own weights
            or head; needed of families that torch serves from ``files``.
        recalled: as ``predict``, to the last bits, for rows of texts most of which were read before: what an encoder
            made of them is kept. None where nothing is.
        again: fits to other rows what learned from training and validation rows together, and keeps what did not, such
            as an encoder. None where all of it did.
    """

    onnx: bytes
    predict: Callable[[Features], Array]
    parameters: int
    files: Mapping[str, bytes] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] | None = None
    best_epoch: int | None = None
    notes: tuple[str, ...] = ()
    models: tuple[BlendedModel, ...] | None = None
    sharpened: "Callable[[float], Fitted] | None" = None
    recalled: Callable[[Features], Array] | None = None
    again: "Callable[[Dataset], Fitted] | None" = None


def usual_steps(
    training: Hyperparameters, usual: Hyperparameters, *, sentence: str
) -> tuple[Hyperparameters, tuple[str, ...]]:
    """The steps of a family that learns best by others than the defaults, where nothing is said, and a note on them.

    Args:
        training: ``spec.training``, given back where it says anything.
        usual: those of the family, by adamW along a cosine.
        sentence: what the note begins with, such as ``transformer is trained``.
    """
    kept = {name: getattr(training, name) for name in ("seed", "initialize", "teacher", "precision")}
    untold = {name: Hyperparameters.model_fields[name].default for name in kept}
    if not training.model_copy(update=untold).is_default:
        return training, ()
    note = (
        f"{sentence} for {usual.epochs} epochs in batches of {usual.batch_size} rows with adamW along a cosine:"
        " spec.training decides otherwise"
    )
    return usual.model_copy(update=kept), (note,)


class Family(Protocol):
    """One family of models. Members are stateless values in ``families.FAMILIES``."""

    name: str
    """As ``spec.model`` spells its member, such as decisionTree."""

    def unsuited(self, *, modality: str, task: str) -> str | None:
        """Why this family cannot learn that, None where it can.

        A verb phrase that follows the family's name, with the remedy: ``takes images only: choose mlp for a table``.
        """

    def fit(
        self,
        settings: Any,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """Learn from the training rows; validation rows may choose, test rows are not looked at.

        Args:
            settings: what ``spec.model`` says of this family.
            dataset: the rows.
            training: optimizer, epochs, seed and the like; families without gradient steps look at the seed only.
            observe: is told of progress.
            checkpointing: where it is kept how far the fit is; families without epochs begin anew.

        Raises:
            StageError: it cannot succeed as it was asked for.
        """
