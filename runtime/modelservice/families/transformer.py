"""``spec.model.transformer``: transformer encoders that are trained from nothing, for texts."""

from dataclasses import replace
from functools import partial
from typing import Final

from modelservice.contract.networks import Transformer
from modelservice.contract.optimizers import AdamW, Cosine, Optimizer, Schedule
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Architecture, Linear, OutputHead, Shape, TokenAttention
from modelservice.families.base import TEXTS_ONLY, Fitted, Observer, usual_steps
from modelservice.families.tokens import vocabulary_of
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

USUAL: Final = Hyperparameters(
    optimizer=Optimizer(adam_w=AdamW(learning_rate=0.001)),
    schedule=Schedule(cosine=Cosine(warm_up_epochs=2)),
    l2=0.0,
    epochs=30,
    batch_size=32,
)
"""How it is trained where nothing is said: attention does not learn at the rate of other networks."""


def design_transformer(
    settings: Transformer, shape: Shape, logits: int, head: OutputHead, *, vocabulary: int
) -> Architecture:
    """The layers of attention, then a linear one, between tokens and logits.

    Raises:
        ValidationError: there would be too many parameters.
    """
    attention = TokenAttention(
        vocabulary=vocabulary,
        length=shape[0],
        width=settings.width,
        heads=settings.heads,
        layers=settings.layers,
        feed_forward=settings.feed_forward,
        dropout=settings.dropout,
    )
    return Architecture(shape=shape, layers=(attention, Linear(inputs=settings.width, outputs=logits)), head=head)


class TransformerEncoder:
    """The family ``transformer``."""

    name = "transformer"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It reads tokens."""
        return None if modality == "Text" else TEXTS_ONLY

    def fit(
        self,
        settings: Transformer,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families import gradient  # noqa: PLC0415 - torch takes seconds to import

        training, notes = usual_steps(training, USUAL, sentence="transformer is trained")
        fitted = gradient.fit(
            partial(design_transformer, vocabulary=vocabulary_of(dataset)),
            settings,
            dataset,
            training,
            field="spec.model.transformer",
            observe=observe,
            checkpointing=checkpointing,
        )
        return replace(fitted, notes=(*notes, *fitted.notes))
