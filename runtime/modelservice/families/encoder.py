"""``spec.model.encoder``: a pretrained model, and a head on its numbers.

Both are one graph where the encoder is read here. Where it is a service of its own, the rows are its numbers already,
and the graph is that of the head alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from modelservice.contract.encoders import Encoder, EncoderHead
from modelservice.contract.failure import StageError
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import Family, Fitted, Observer
from modelservice.families.decision_tree import Tree
from modelservice.families.kernel_ridge import Ridge
from modelservice.families.logistic import Logistic
from modelservice.families.mlp import Mlp
from modelservice.families.pretrained import read_pretrained, seen_by, texts_alone
from modelservice.families.pretrained.base import MODEL_SECTION, Reading
from modelservice.families.svm import Svm
from modelservice.modalities.base import Dataset, Features
from modelservice.modalities.image.embedded import NAME as EMBEDDED_IMAGE
from modelservice.modalities.image.encoder import NAME as IMAGE
from modelservice.modalities.shared import shared_by
from modelservice.modalities.text.embedded import NAME as EMBEDDED_TEXT
from modelservice.modalities.text.encoder import NAME as TEXT
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

_NARROW: Final = 1e-12
"""The least deviation that is divided by."""
READABLE: Final = frozenset({TEXT, IMAGE, EMBEDDED_TEXT, EMBEDDED_IMAGE})
UNREADABLE: Final = "reads texts and images: name a column in spec.data.text, give images, or choose mlp"
"""What ``EncoderFamily.unsuited`` says of all else."""
HEADS: Final[tuple[Family, ...]] = (Logistic(), Svm(), Tree(), Ridge(), Mlp())
"""In the order of ``EncoderHead``'s members, whose names they have."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scaling:
    """Centers an encoder's numbers, and scales them by one factor so that their deviation is 1 on the mean.

    A penalty of a head then means what it means for a table.

    Attributes:
        center: float32 [width].
        factor: of all numbers.
    """

    center: Features
    factor: np.float32

    @classmethod
    def of(cls, numbers: Features) -> "Scaling":
        """That of training rows, float32 [rows, width]."""
        center = numbers.mean(axis=0)
        return cls(center=center, factor=np.float32(1 / max(float((numbers - center).std()), _NARROW)))

    def __call__(self, numbers: Features) -> Features:
        """What a head sees of float32 [rows, width]."""
        return np.asarray((numbers - self.center) * self.factor, dtype=np.float32)


class EncoderFamily:
    """The family ``encoder``."""

    name = "encoder"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - its head says that of the task
        """It reads what an encoder can, or what a service made of that."""
        return None if modality in READABLE else UNREADABLE

    def fit(
        self,
        settings: Encoder,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """See ``Family.fit``."""
        head = _head(settings.head, dataset)
        reads, observe = _reads(settings, dataset, training, observe, checkpointing)

        def fit_head(rows: Dataset, observe: Observer, checkpointing: Checkpointing) -> Fitted:
            return _behind(
                reads,
                rows,
                lambda numbers: head.fit(
                    settings.head.chosen, numbers, training, observe=observe, checkpointing=checkpointing
                ),
            )

        fitted = fit_head(dataset, observe, checkpointing)
        # Validation rows teach an encoder nothing, but choose its epoch: without them it would be another one.
        return replace(fitted, again=lambda rows: fit_head(rows, _nobody, BEGINS_ANEW))


def _behind(reads: "_Reads", dataset: Dataset, fit: Callable[[Dataset], Fitted]) -> Fitted:
    """What reads the rows, and what ``fit`` makes of its numbers, as one model."""
    scaling = Scaling.of(reads.reading.embed(dataset.train.features))
    numbers = seen_by(dataset, lambda rows: scaling(reads.reading.embed(rows)))
    fitted = fit(replace(numbers, modality="Table", codes=None))

    def predict(rows: Features) -> Array:
        # Rows of another batch differ in the last bit, which a head may make much of: so the same rows together.
        return fitted.predict(scaling(reads.reading.compute(rows)))

    return Fitted(
        onnx=_joined(reads, scaling, fitted.onnx, dataset),
        predict=predict,
        parameters=reads.parameters + fitted.parameters,
        libraries=fitted.libraries,
        curves=fitted.curves,
        best_epoch=fitted.best_epoch,
        notes=(*reads.notes, *fitted.notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Reads:
    """What makes numbers of rows.

    Attributes:
        reading: does it.
        parameters: how many weights of it become part of the model.
        notes: which encoder it is, and what it learned.
    """

    reading: Reading
    parameters: int
    notes: tuple[str, ...]


def _reads(
    settings: Encoder, dataset: Dataset, training: Hyperparameters, observe: Observer, checkpointing: Checkpointing
) -> tuple[_Reads, Observer]:
    """What reads the rows of a dataset, and who is told what the head comes to; for errors see ``read_pretrained``."""
    if settings.uri is None:
        return _of_service(dataset), observe
    encoder = read_pretrained(settings.uri, settings.digest)
    if encoder.modality != dataset.modality:
        message = (
            f"{encoder.origin} reads {encoder.modality.lower()}s, and the data holds {dataset.modality.lower()}s: name"
            " an encoder of these"
        )
        raise StageError("ModelUnsuited", message, field=f"{MODEL_SECTION}.uri")
    reading = encoder.reading(dataset.preprocessing)
    notes: tuple[str, ...] = (f"the encoder is {encoder.origin} with weights {encoder.digest}", *reading.notes)
    if settings.fine_tune is not None:
        from modelservice.families.lora import fine_tuned  # noqa: PLC0415 - torch takes seconds to import

        field = f"{MODEL_SECTION}.fineTune"
        scaling = Scaling.of(reading.embed(dataset.train.features))
        encoder, said = fine_tuned(
            texts_alone(encoder, what=f"{field} changes encoders of texts", field=field),
            settings.fine_tune,
            dataset,
            center=scaling.center,
            factor=float(scaling.factor),
            seed=training.seed,
            observe=observe,
            checkpointing=checkpointing,
        )
        reading = encoder.reading(dataset.preprocessing)
        observe, notes = _nobody, (*notes, said)  # all progress is told
    return _Reads(reading=reading, parameters=encoder.parameters, notes=notes), observe


def _of_service(dataset: Dataset) -> _Reads:
    asked = shared_by(dataset.preprocessing)
    assert asked is not None  # noqa: S101 - rows that can be read, by a service
    note = f"the encoder is the service {asked.name} of {asked.digest}, {asked.width} numbers of a row"
    return _Reads(reading=_AsTheyAre(), parameters=0, notes=(note,))


class _AsTheyAre:
    """See ``Reading``: the rows are numbers already."""

    notes = ()

    def embed(self, rows: Features) -> Features:
        """See ``Reading``."""
        return rows

    def compute(self, rows: Features) -> Features:
        """See ``Reading``."""
        return rows

    def append_to(self, graph: Any) -> str:
        """See ``Reading``."""
        return str(graph.value)


def _nobody(_: Progress) -> None:
    """Nobody listens."""


def _head(settings: EncoderHead, dataset: Dataset) -> Family:
    head = next(one for one in HEADS if one.name == settings.choice)
    if (why := head.unsuited(modality="Table", task=dataset.task.name)) is not None:
        field = f"spec.model.encoder.head.{head.name}"
        raise StageError("ModelUnsuited", f"{field} {why}", field=field)
    return head


def _joined(reads: _Reads, scaling: Scaling, head: bytes, dataset: Dataset) -> bytes:
    """``model.onnx``: rows in, what the head says of them out."""
    from modelservice.families.onnx_graph import Graph  # noqa: PLC0415 - onnx takes long to import

    graph = Graph()
    moved = graph.add("Sub", reads.reading.append_to(graph), graph.constant("center", scaling.center))
    graph.add("Mul", moved, graph.constant("scale", np.array(scaling.factor, np.float32)))
    graph.append_model(head)
    return graph.model(shape=dataset.shape, width=len(dataset.labels) or 1)
