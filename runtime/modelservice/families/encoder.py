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
from modelservice.families.base import TEXTS_ONLY, Family, Fitted, Observer
from modelservice.families.decision_tree import Tree
from modelservice.families.kernel_ridge import Ridge
from modelservice.families.logistic import Logistic
from modelservice.families.mlp import Mlp
from modelservice.families.pretrained import Pretrained, read_pretrained, seen_by
from modelservice.families.svm import Svm
from modelservice.modalities.base import Dataset, Features
from modelservice.modalities.text.embedded import NAME as EMBEDDED_TEXT
from modelservice.modalities.text.embedded import EmbeddedPreprocessing
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

_NARROW: Final = 1e-12
"""The least deviation that is divided by."""
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
        """It reads texts, or what a service made of them."""
        return None if modality in {"Text", EMBEDDED_TEXT} else TEXTS_ONLY

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
        scaling = Scaling.of(reads.embed(dataset.train.features))
        fitted = head.fit(
            settings.head.chosen,
            replace(seen_by(dataset, lambda rows: scaling(reads.embed(rows))), modality="Table", codes=None),
            training,
            observe=observe,
            checkpointing=checkpointing,
        )

        def predict(rows: Features) -> Array:
            # Rows of another batch differ in the last bit, which a head may make much of: so the same rows together.
            return fitted.predict(scaling(reads.compute(rows)))

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
        embed: rows to float32 [rows, width]; what was read before is kept.
        compute: the same, bit for bit as the graph does it.
        append: writes the nodes from the newest value of a graph, the rows, to numbers, and gives their name back.
        parameters: how many weights of it become part of the model.
        notes: which encoder it is, and what it learned.
    """

    embed: Callable[[Features], Features]
    compute: Callable[[Features], Features]
    append: Callable[[Any], str]
    parameters: int
    notes: tuple[str, ...]


def _reads(
    settings: Encoder, dataset: Dataset, training: Hyperparameters, observe: Observer, checkpointing: Checkpointing
) -> tuple[_Reads, Observer]:
    """What reads the rows of a dataset, and who is told what the head comes to; for errors see ``read_pretrained``."""
    if settings.uri is None:
        return _of_service(dataset), observe
    encoder = read_pretrained(settings.uri, settings.digest)
    encoder.check_length(dataset.shape[0], field="spec.data.text.maxLength")
    notes: tuple[str, ...] = (f"the encoder is {encoder.origin} with weights {encoder.digest}",)
    if settings.fine_tune is not None:
        from modelservice.families.lora import fine_tuned  # noqa: PLC0415 - torch takes seconds to import

        scaling = Scaling.of(encoder.embed(dataset.train.features))
        encoder, said = fine_tuned(
            encoder,
            settings.fine_tune,
            dataset,
            center=scaling.center,
            factor=float(scaling.factor),
            seed=training.seed,
            observe=observe,
            checkpointing=checkpointing,
        )
        observe, notes = _nobody, (*notes, said)  # all progress is told
    return _of_folder(encoder, dataset.shape[0], notes), observe


def _of_service(dataset: Dataset) -> _Reads:
    preprocessing = dataset.preprocessing
    assert isinstance(preprocessing, EmbeddedPreprocessing)  # noqa: S101 - a service makes no other rows
    asked = preprocessing.shared
    return _Reads(
        embed=_as_they_are,
        compute=_as_they_are,
        append=lambda graph: str(graph.value),
        parameters=0,
        notes=(f"the encoder is the service {asked.name} of {asked.digest}, {asked.width} numbers of a text",),
    )


def _of_folder(encoder: Pretrained, length: int, notes: tuple[str, ...]) -> _Reads:
    return _Reads(
        embed=encoder.embed,
        compute=encoder.compute,
        append=lambda graph: encoder.append_to(graph, length=length),
        parameters=encoder.parameters,
        notes=notes,
    )


def _as_they_are(rows: Features) -> Features:
    return rows


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
    moved = graph.add("Sub", reads.append(graph), graph.constant("center", scaling.center))
    graph.add("Mul", moved, graph.constant("scale", np.array(scaling.factor, np.float32)))
    graph.append_model(head)
    return graph.model(shape=dataset.shape, width=len(dataset.labels) or 1)
