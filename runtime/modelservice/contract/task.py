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


class ThresholdMetric(StrEnum):
    """A metric of the positive label."""

    F1 = "F1"


class Threshold(Contract):
    """The probability of the positive label from which on it is the answer, found on validation rows."""

    maximize: ThresholdMetric = Field(
        description="F1: the harmonic mean of precision and recall of the positive label. A change trains again."
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
        " loss of validation rows least. Default None. A change trains again.",
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


class Task(OneOf):
    """Exactly one task."""

    classification: Classification | None = Field(default=None, description="Predicts a class.")
    regression: Regression | None = Field(default=None, description="Predicts a number.")
