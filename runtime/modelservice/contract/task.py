"""``spec.task``: what kind of answer is learned."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from modelservice.contract.base import Contract, OneOf, Rule

Label = Annotated[str, StringConstraints(min_length=1, max_length=256)]

_THRESHOLD_OF_A_LABEL = Rule(
    "!has(self.threshold) || has(self.positiveLabel)",
    "threshold needs positiveLabel, the class that it decides about",
)


class Imbalance(StrEnum):
    """What is done about classes of different sizes."""

    NONE = "None"
    CLASS_WEIGHT = "ClassWeight"


class Calibration(StrEnum):
    """What is done about probabilities that are too sure, or not sure enough."""

    NONE = "None"
    TEMPERATURE = "Temperature"
    ISOTONIC = "Isotonic"


class ThresholdMetric(StrEnum):
    """A metric of the positive label."""

    F1 = "F1"


class Threshold(Contract):
    """The probability of the positive label from which on it is the answer, found on validation rows."""

    maximize: ThresholdMetric = Field(
        description="F1: the harmonic mean of precision and recall of the positive label. A change trains again."
    )


class CrossEntropy(Contract):
    """Minus the logarithm of the true class's probability."""

    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="s in -sum over classes of q log p, where q is 1 - s + s / classes for the true class, s / classes"
        " for others (Szegedy et al., 2016); without it the best epoch is chosen. Default 0. A change trains again.",
    )


class Focal(Contract):
    """Cross-entropy in which rows that are predicted well count little."""

    gamma: float = Field(
        default=2.0,
        ge=0,
        le=10,
        description="-(1 - p)^gamma log p of the true class's probability p (Lin et al., 2017); 0 is crossEntropy."
        " Default 2. A change trains again.",
    )


class ClassificationLoss(OneOf):
    """Exactly one loss of classes, whose mean over rows is minimised."""

    cross_entropy: CrossEntropy | None = Field(
        default=None, description="-log p of the true class's probability p. A change trains again."
    )
    focal: Focal | None = Field(
        default=None, description="Focal loss: rows that are predicted well count little. A change trains again."
    )


class SquaredError(Contract):
    """The squared error: what is learned is the mean."""


class AbsoluteError(Contract):
    """The absolute error: what is learned is the median."""


class Huber(Contract):
    """Squared for small errors, absolute for large ones."""

    delta: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="r^2 / 2 of an error r up to delta, delta x (|r| - delta / 2) beyond (Huber, 1964); errors are in"
        " standard deviations of the target. Default 1. A change trains again.",
    )


class RegressionLoss(OneOf):
    """Exactly one loss of numbers, whose mean over rows is minimised; errors r are in the target's deviations."""

    mse: SquaredError | None = Field(default=None, description="r^2 of an error r. A change trains again.")
    mae: AbsoluteError | None = Field(
        default=None, description="|r| of an error r: outliers pull less. A change trains again."
    )
    huber: Huber | None = Field(
        default=None, description="As mse for small errors, as mae for large ones. A change trains again."
    )


class Classification(Contract):
    """Predicts one of the target's classes: two with one sigmoid output, more with a softmax."""

    RULES = (_THRESHOLD_OF_A_LABEL,)

    positive_label: Label | None = Field(
        default=None,
        description="Of two classes the one to find, such as churned; in quotes where YAML takes it for no text, as"
        ' "yes". It stands second in the probabilities, and metrics of one class are of it. Default: the second in the'
        " order of the labels. A change trains again.",
    )
    imbalance: Imbalance = Field(
        default=Imbalance.NONE,
        description="ClassWeight: training rows count by rows / (classes x rows of their class), which makes classes"
        " equally heavy; probabilities are those of classes of one size then, metrics are of rows as they are."
        " Default None. A change trains again.",
    )
    calibration: Calibration = Field(
        default=Calibration.NONE,
        description="Temperature: probabilities are raised to the power, and divided by their sum, that makes the log"
        " loss of validation rows least. Isotonic: each becomes the rising function of itself with the least squared"
        " error on validation rows, at least 500, one class against the others; then they are divided by their sum"
        " (Zadrozny and Elkan, 2002). Default None. A change trains again.",
    )
    loss: ClassificationLoss | None = Field(
        default=None,
        description="What mlp, cnn, rnn and transformer minimise. Default crossEntropy, by the ensemble of mlp with"
        " labelSmoothing 0.1. A"
        " change trains again.",
    )
    threshold: Threshold | None = Field(
        default=None,
        description="Where the answer changes from one class to the other. Default: the more probable one, at 0.5. A"
        " change trains again.",
    )

    @model_validator(mode="after")
    def _decides_about_a_label(self) -> Self:
        if self.threshold is not None and self.positive_label is None:
            raise ValueError(_THRESHOLD_OF_A_LABEL.message)
        return self


class Regression(Contract):
    """Predicts a number."""

    loss: RegressionLoss | None = Field(
        default=None, description="What mlp, cnn, rnn and transformer minimise. Default mse. A change trains again."
    )


Loss = ClassificationLoss | RegressionLoss


class Task(OneOf):
    """Exactly one task."""

    classification: Classification | None = Field(default=None, description="Predicts a class.")
    regression: Regression | None = Field(default=None, description="Predicts a number.")
