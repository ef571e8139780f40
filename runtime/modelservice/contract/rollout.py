"""``spec.serving.rollout``: the way from the pods of one revision to those of the next."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, OneOf, Rule

MAX_REPLICAS = 1000
"""Most pods of one ModelService."""

MAX_WEIGHT = 50
"""Most percent of a canary: with half of the pods it doubles them, and what comes after it is the rollout."""

_SOME_PACE = Rule(
    "(has(self.maxSurge) ? self.maxSurge : 1) + (has(self.maxUnavailable) ? self.maxUnavailable : 0) > 0",
    "maxSurge and maxUnavailable must not both be 0",
)
_RISING = Rule(
    "!has(self.steps) || (self.steps.map(s, s.weight).isSorted()"
    " && self.steps.all(s, self.steps.filter(t, t.weight == s.weight).size() == 1))",
    "the weight of each step must be larger than that of the step before it",
)


class RollingUpdate(Contract):
    """New pods are ready before old ones go."""

    RULES = (_SOME_PACE,)

    max_surge: int = Field(
        default=1, ge=0, le=MAX_REPLICAS, description="Most pods above the number that is asked for. Default 1."
    )
    max_unavailable: int = Field(
        default=0, ge=0, le=MAX_REPLICAS, description="Most pods below it. Default 0: what serves goes on."
    )

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.max_surge == self.max_unavailable == 0:
            raise ValueError(_SOME_PACE.message)
        return self


class Recreate(Contract):
    """All old pods end before new ones start: nothing answers meanwhile."""


class CanaryStep(Contract):
    """A share of the requests, and how long the new pods have to answer them well."""

    weight: int = Field(
        ge=1,
        le=MAX_WEIGHT,
        description="Percent of all pods that are new ones, beside those that serve: as many as make no larger share,"
        " and at least one.",
    )
    hold_seconds: int = Field(
        default=300, ge=0, le=86_400, description="Seconds that all of them have to be ready. Default 300."
    )


_STEPS = tuple(CanaryStep(weight=weight) for weight in (10, 25, 50))


class Canary(Contract):
    """A few new pods beside the old ones, more of them in steps, and the rollout once all steps went well."""

    RULES = (_RISING,)

    steps: Annotated[tuple[CanaryStep, ...], Field(min_length=1, max_length=16)] = Field(
        default=_STEPS, description="Steps, the weights rising. Default: 10, 25 and 50, of 300 seconds each."
    )
    max_error_rate: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="Share of requests, from 0 to 1, that new pods may fail or refuse beyond that of the old ones. What"
        " is surely more fails the canary. Default: not looked at.",
    )
    max_latency_ratio: float | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="How many times as long as the old pods new ones may take for an answer, in the mean. Default: not"
        " looked at.",
    )

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if any(before.weight >= after.weight for before, after in pairwise(self.steps)):
            raise ValueError(_RISING.message)
        return self


class Rollout(OneOf):
    """Exactly one way from the pods of one revision to those of the next."""

    rolling_update: RollingUpdate | None = Field(default=None, description="New pods first.")
    recreate: Recreate | None = Field(
        default=None, description="{}: old pods end first, and nothing answers meanwhile."
    )
    canary: Canary | None = Field(
        default=None,
        description="{}: a few new pods beside all old ones at first, which are not touched before the new ones did"
        " well; then as rollingUpdate.",
    )
