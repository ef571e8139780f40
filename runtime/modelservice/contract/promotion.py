"""``spec.promotion``: what a new model must show before it takes the place of the one that serves."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, OneOf, Quantity, Rule
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.quantities import quantity_value

_SOME_BOUND = Rule(
    "has(self.min) || has(self.max) || has(self.notWorseThanCurrent)",
    "a metric needs a bound: set min, max or notWorseThanCurrent",
)
_BOUNDS_IN_ORDER = Rule(
    "!has(self.min) || !has(self.max) || self.min <= self.max", "no number is at least min and at most max: swap them"
)
_SOMETHING = Rule(
    "has(self.require) || (has(self.manual) && self.manual)",
    "promotion asks for nothing: set require, or manual to true",
)
_SOME_SIZE = Rule("quantity(string(self.max)).isGreaterThan(quantity('0'))", "max must be more than 0")


class NotWorse(Contract):
    """How a metric compares with that of the model that serves, on the same test rows."""

    tolerance: float = Field(
        default=0.0,
        ge=0,
        le=1e12,
        description="How much worse it may be, in the metric's units: 0.01 of accuracy is a point. Default 0.",
    )


class MetricBounds(Contract):
    """Where a metric on the test rows must lie."""

    RULES = (_SOME_BOUND, _BOUNDS_IN_ORDER)

    name: KnownMetric = Field(
        description="Name of the metric; status.revisions[].metrics has those of a model, which its task decides."
    )
    min: float | None = Field(default=None, ge=-1e12, le=1e12, description="It must be at least this. Default: any.")
    max: float | None = Field(default=None, ge=-1e12, le=1e12, description="It must be at most this. Default: any.")

    not_worse_than_current: NotWorse | None = Field(
        default=None,
        description="{}: a model that is worse than the one that serves is held back. A Job scores both on test rows"
        " that neither learned from; worse is what the paired 95 % interval of the difference shows to be worse by more"
        " than tolerance. The first model has nothing to be worse than. Default: they are not compared.",
    )

    @model_validator(mode="after")
    def _has_bounds_in_order(self) -> Self:
        if self.min is None and self.max is None and self.not_worse_than_current is None:
            raise ValueError(_SOME_BOUND.message)
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(_BOUNDS_IN_ORDER.message)
        return self


class SizeBound(Contract):
    """How large the artifact may be."""

    RULES = (_SOME_SIZE,)

    max: Quantity = Field(description="Size of all files of the artifact, such as 20Mi.")

    @property
    def bytes(self) -> int:
        """The bound in bytes."""
        return int(quantity_value(self.max))

    @model_validator(mode="after")
    def _is_something(self) -> Self:
        if quantity_value(self.max) <= 0:
            raise ValueError(_SOME_SIZE.message)
        return self


class InputsRule(StrEnum):
    """What may become of the inputs."""

    UNCHANGED = "Unchanged"


class Requirement(OneOf):
    """Exactly one thing that a model must show."""

    metric: MetricBounds | None = Field(default=None, description="A metric on the test rows lies within bounds.")
    inputs: InputsRule | None = Field(
        default=None,
        description="Unchanged: clients send what they send to the model that serves, the same columns of the same"
        " types in the same order, or the same tensors. The first model has nothing to differ from.",
    )
    size: SizeBound | None = Field(default=None, description="The artifact is no larger than this.")


class Promotion(Contract):
    """What must hold, or the model is not served: what served before goes on.

    The model that serves stays promoted whatever is required later. A change trains nothing.
    """

    RULES = (_SOMETHING,)

    require: Annotated[tuple[Requirement, ...], Field(min_length=1, max_length=16)] | None = Field(
        default=None,
        description="Requirements that all must hold. A model that falls short is kept as it is, and looked at again"
        " when this changes. Default: none.",
    )
    manual: bool = Field(
        default=False,
        description="true: a new model waits until serving.pinRevision names it; the condition Promoted says its"
        " digest. Default false.",
    )

    @property
    def compared_metrics(self) -> tuple[KnownMetric, ...]:
        """Metrics that are to be no worse than those of the model that serves, each once, by their names."""
        bounds = (one.metric for one in self.require or () if one.metric is not None)
        return tuple(sorted({one.name for one in bounds if one.not_worse_than_current is not None}))

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.require is None and not self.manual:
            raise ValueError(_SOMETHING.message)
        return self
