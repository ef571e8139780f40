"""``spec.model.rnn``: recurrent networks, for texts."""

from functools import partial

from modelservice.contract.networks import RecurrentNetwork
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Architecture, Dropout, Layer, Linear, OutputHead, Shape, TokenRecurrence
from modelservice.families.base import TEXTS_ONLY, Fitted, Observer
from modelservice.families.tokens import vocabulary_of
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


def design_rnn(
    settings: RecurrentNetwork, shape: Shape, logits: int, head: OutputHead, *, vocabulary: int
) -> Architecture:
    """The recurrent layers, then a linear one, between tokens and logits.

    Raises:
        ValidationError: there would be too many parameters.
    """
    recurrence = TokenRecurrence(
        cell=settings.cell,
        vocabulary=vocabulary,
        embedding=settings.embedding,
        units=settings.units,
        layers=settings.layers,
        bidirectional=settings.bidirectional,
    )
    dropout: list[Layer] = [Dropout(share=settings.dropout)] if settings.dropout > 0 else []
    last = Linear(inputs=recurrence.shape_after(shape)[0], outputs=logits)
    return Architecture(shape=shape, layers=(recurrence, *dropout, last), head=head)


class Rnn:
    """The family ``rnn``."""

    name = "rnn"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It reads tokens."""
        return None if modality == "Text" else TEXTS_ONLY

    def fit(
        self,
        settings: RecurrentNetwork,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,
    ) -> Fitted:
        """See ``Family.fit``."""
        from modelservice.families import gradient  # noqa: PLC0415 - torch takes seconds to import

        return gradient.fit(
            partial(design_rnn, vocabulary=vocabulary_of(dataset)),
            settings,
            dataset,
            training,
            field="spec.model.rnn",
            observe=observe,
            checkpointing=checkpointing,
        )
