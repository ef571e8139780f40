"""Two classes: one logit, its sigmoid, and binary cross-entropy."""

from modelservice.tasks.base import Head, Loss, TargetProfile
from modelservice.tasks.classification import Classification

_CLASSES = 2


class Binary(Classification):
    """One of two classes; a model gives [1 - p, p], the probabilities of the first and of the second label."""

    name = "Binary"
    loss = Loss.BINARY_CROSS_ENTROPY
    head = Head.SIGMOID

    def suits(self, profile: TargetProfile, *, asked: bool) -> str | None:
        """Two labels; of numbers, without being asked, whole ones only."""
        if profile.distinct != _CLASSES or super().suits(profile, asked=asked) is None:
            return None
        return f"{profile.name} holds two different values"

    def logits(self, labels: tuple[str, ...]) -> int:  # noqa: ARG002 - the seam's signature
        """One, that of the second label."""
        return 1


BINARY = Binary()
