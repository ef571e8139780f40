"""``spec.model.encoder``: a pretrained model, and a head on its numbers; both are one graph."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from modelservice.contract.failure import StageError
from modelservice.contract.model import Encoder, EncoderHead
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


class FrozenEncoder:
    """The family ``encoder``."""

    name = "encoder"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - its head says that of the task
        """It reads texts."""
        return None if modality == "Text" else TEXTS_ONLY

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
        encoder = read_pretrained(settings.uri, settings.digest)
        encoder.check_length(dataset.shape[0], field="spec.data.text.maxLength")
        scaling = Scaling.of(encoder.embed(dataset.train.features))
        notes: tuple[str, ...] = (f"the encoder is {encoder.origin} with weights {encoder.digest}",)
        if settings.fine_tune is not None:
            from modelservice.families.lora import fine_tuned  # noqa: PLC0415 - torch takes seconds to import

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
            scaling, notes = Scaling.of(encoder.embed(dataset.train.features)), (*notes, said)
            observe = _nobody  # all progress is told
        fitted = head.fit(
            settings.head.chosen,
            replace(seen_by(dataset, lambda tokens: scaling(encoder.embed(tokens))), modality="Table", codes=None),
            training,
            observe=observe,
            checkpointing=checkpointing,
        )

        def predict(tokens: Features) -> Array:
            # Rows of another batch differ in the last bit, which a head may make much of: so the same rows together.
            return fitted.predict(scaling(encoder.compute(tokens)))

        return Fitted(
            onnx=_joined(encoder, scaling, fitted.onnx, dataset),
            predict=predict,
            parameters=encoder.parameters + fitted.parameters,
            libraries=fitted.libraries,
            curves=fitted.curves,
            best_epoch=fitted.best_epoch,
            notes=(*notes, *fitted.notes),
        )


def _nobody(_: Progress) -> None:
    """Nobody listens."""


def _head(settings: EncoderHead, dataset: Dataset) -> Family:
    head = next(one for one in HEADS if one.name == settings.choice)
    if (why := head.unsuited(modality="Table", task=dataset.task.name)) is not None:
        field = f"spec.model.encoder.head.{head.name}"
        raise StageError("ModelUnsuited", f"{field} {why}", field=field)
    return head


def _joined(encoder: Pretrained, scaling: Scaling, head: bytes, dataset: Dataset) -> bytes:
    """``model.onnx``: tokens in, what the head says of them out."""
    from modelservice.families.onnx_graph import Graph  # noqa: PLC0415 - onnx takes long to import

    graph = Graph()
    numbers = encoder.append_to(graph, length=dataset.shape[0])
    moved = graph.add("Sub", numbers, graph.constant("center", scaling.center))
    graph.add("Mul", moved, graph.constant("scale", np.array(scaling.factor, np.float32)))
    graph.append_model(head)
    return graph.model(shape=dataset.shape, width=len(dataset.labels) or 1)
