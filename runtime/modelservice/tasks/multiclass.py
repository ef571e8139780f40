"""Many classes: a logit for each, their softmax, and cross-entropy."""

from modelservice.tasks.base import Head, Loss
from modelservice.tasks.classification import Classification


class Multiclass(Classification):
    """One of several classes; a model gives the probabilities of all labels."""

    name = "Multiclass"
    loss = Loss.CROSS_ENTROPY
    head = Head.SOFTMAX

    def logits(self, labels: tuple[str, ...]) -> int:
        """One for each label."""
        return len(labels)


MULTICLASS = Multiclass()
