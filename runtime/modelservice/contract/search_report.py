"""``search.json``: what was tried to find the settings of a model, and what came of it; and a trial that is stored."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, StringConstraints, model_validator

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.documents import Document
from modelservice.contract.failure import MAX_MESSAGE, Reason
from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.contract.search import PlainValue


class Outcome(StrEnum):
    """How a trial ended: with all its epochs, with few where others were better, or not well."""

    FINISHED = "Finished"
    STOPPED = "Stopped"
    FAILED = "Failed"


class Trial(Tolerant):
    """One trial; number 0 is the spec as it is written.

    Attributes:
        number: from 0.
        parameters: the values by their paths, without those that the spec leaves to the family.
        outcome: how it ended.
        epochs: how many it was trained for at last, None for families without.
        value: the metric on validation rows, None where it failed.
        reason: why it failed, as a report would say it.
        message: the same as a sentence.
    """

    number: int = Field(ge=0)
    parameters: dict[str, PlainValue]
    outcome: Outcome
    epochs: int | None = Field(default=None, ge=0)
    value: FiniteFloat | None = None
    reason: Reason | None = None
    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE)] | None = None

    @model_validator(mode="after")
    def _has_a_value(self) -> Self:
        if (self.value is None) != (self.outcome is Outcome.FAILED):
            raise ValueError("a trial has a value unless it failed")
        return self


class SearchReport(Document):
    """All trials of a search; ``best`` is the number of the one whose settings were taken.

    Only validation rows decided. ``asked`` is how many trials there were to be: a small space has fewer.
    """

    kind: Literal["Search"] = "Search"
    metric: KnownMetric
    rows: int
    asked: int
    best: int
    trials: tuple[Trial, ...]

    @property
    def lower_is_better(self) -> bool:
        """The direction of the metric."""
        return self.metric in LOWER_IS_BETTER

    @property
    def winner(self) -> Trial:
        """The trial that was taken."""
        return self.trials[self.best]


class StoredTrial(Document):
    """A trial that has ended, kept until its search has: by whom it was made, of which data, and with which epochs.

    ``modelservice`` is the release that made it: another one may judge in another way. ``budget`` is how many epochs it
    had, None where those of the spec.
    """

    kind: Literal["Trial"] = "Trial"
    modelservice: str
    key: str
    data: Sha256
    metric: KnownMetric
    budget: int | None = None
    trial: Trial
