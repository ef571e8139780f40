"""``spec.task``: what kind of answer is learned."""

from pydantic import Field

from modelservice.contract.base import Contract, OneOf


class Classification(Contract):
    """Predicts one of the target's classes: two with one sigmoid output, more with a softmax."""


class Regression(Contract):
    """Predicts a number."""


class Task(OneOf):
    """Exactly one task."""

    classification: Classification | None = Field(default=None, description="Predicts a class.")
    regression: Regression | None = Field(default=None, description="Predicts a number.")
