"""``spec.training.search``: which hyperparameters are tried, and how the best of them are found.

Random search (Bergstra and Bengio, 2012), and successive halving over epochs (Jamieson and Talwalkar, 2016; Li et al.,
2018) where that is asked for. The words are those of the field: trial, metric, uniform, reduction factor.
"""

import math
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema, model_validator

from modelservice.contract.base import Contract, OneOf, Rule, Worded
from modelservice.contract.metric_names import KnownMetric

_ORDERED = Rule("self.min < self.max", "min must be less than max")
_EPOCHS_OF_HALVING = Rule(
    "!has(self.halving) || self.parameters.all(one, one.path != 'training.epochs')",
    "halving decides how many epochs a trial gets: leave training.epochs out of parameters, or halving",
)
_DIGITS = 4
"""Of a number that is drawn: what a report shows is what was trained, on any machine, and can be copied."""
_MAX_TEXT, _MAX_LENGTH = 64, 16

Value = bool | int | float | str | tuple[int, ...]
"""What a hyperparameter may be: a number, a text, yes or no, or whole numbers such as the widths of layers."""


def _plain_value(given: Any) -> Value:
    """A value as YAML has it; whether the field takes it is found out by making the trial's settings."""
    if isinstance(given, bool | int) or (isinstance(given, float) and math.isfinite(given)):
        return given
    if isinstance(given, str) and len(given) <= _MAX_TEXT:
        return given
    if isinstance(given, list | tuple) and len(given) <= _MAX_LENGTH and all(type(one) is int for one in given):
        return tuple(given)
    raise ValueError(
        f"must be a number, true or false, a text of up to {_MAX_TEXT} characters, or up to {_MAX_LENGTH} whole numbers"
    )


# A structural schema has no unions, so the apiserver takes any value, and what no field can be is said in the status.
PlainValue = Annotated[
    Any, PlainValidator(_plain_value), WithJsonSchema({"x-kubernetes-preserve-unknown-fields": True})
]
"""A ``Value`` in a contract."""


class _Ordered(Contract):
    RULES = (_ORDERED,)

    min: float
    max: float

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.min >= self.max:
            raise ValueError(_ORDERED.message)
        return self


class Uniform(_Ordered):
    """Numbers that are all alike likely, with four digits."""

    min: float = Field(description="The least number. A change trains again.")
    max: float = Field(description="The largest number. A change trains again.")

    def at(self, share: float) -> Value:
        """The number at a share, from 0 up to 1, of the way."""
        return _within(self.min + share * (self.max - self.min), self)


class LogUniform(_Ordered):
    """Numbers whose logarithms are all alike likely, with four digits: for rates and penalties."""

    min: float = Field(gt=0, description="The least number. A change trains again.")
    max: float = Field(gt=0, description="The largest number. A change trains again.")

    def at(self, share: float) -> Value:
        """The number at a share, from 0 up to 1, of the way."""
        low, high = math.log(self.min), math.log(self.max)
        return _within(math.exp(low + share * (high - low)), self)


class Integers(_Ordered):
    """Whole numbers that are all alike likely."""

    min: int = Field(description="The least number. A change trains again.")
    max: int = Field(description="The largest number, which is drawn, too. A change trains again.")

    def at(self, share: float) -> Value:
        """The number at a share, from 0 up to 1, of the way."""
        return self.min + int(share * (self.max - self.min + 1))


def _attach_alternatives(schema: dict[str, Any], cls: type["Parameter"]) -> None:
    """Exactly one of the alternatives, said by the schema: rules do not see a field that may hold anything."""
    schema["oneOf"] = [{"required": [cls.model_fields[name].alias]} for name in cls.members()]


class Parameter(OneOf):
    """A field of the spec, and exactly one way to draw a value for it."""

    model_config = ConfigDict(json_schema_extra=_attach_alternatives)

    COMMON = frozenset({"path"})

    path: Annotated[
        str,
        StringConstraints(min_length=1, max_length=128),
        Worded(
            r"^(model|training)([.][A-Za-z0-9]+)+$",
            "must be the path of a field below model or training, such as training.optimizer.adam.learningRate",
        ),
    ] = Field(
        description="A field below model, or one of training that decides the result, such as model.mlp.dropout. The"
        " objects that it lies in must be in the spec. A change trains again."
    )
    values: Annotated[tuple[PlainValue, ...], Field(min_length=1, max_length=32)] | None = Field(
        default=None, description="Values that are all alike likely. A change trains again."
    )
    uniform: Uniform | None = Field(default=None, description="Any number between two.")
    log_uniform: LogUniform | None = Field(default=None, description="Any number between two, by its logarithm.")
    integers: Integers | None = Field(default=None, description="Any whole number between two.")

    @property
    def ends(self) -> tuple[Value, ...]:
        """All values, or the least and the largest number: what the field has to take."""
        return self.values if self.values is not None else (self.chosen.min, self.chosen.max)

    def at(self, share: float) -> Value:
        """The value at a share, from 0 up to 1, of the way."""
        drawn: Value = self.values[int(share * len(self.values))] if self.values else self.chosen.at(share)
        return drawn


class Halving(Contract):
    """Successive halving: all trials get a few epochs, the best of them more, and the best of these all."""

    reduction_factor: int = Field(
        default=3,
        ge=2,
        le=10,
        description="One trial in so many goes on, with so many times the epochs. Default 3. A change trains again.",
    )
    min_epochs: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Epochs that each trial gets. Default: what lets the best of all trials have training.epochs."
        " A change trains again.",
    )


class Search(Contract):
    """Trains with other hyperparameters, too, and keeps the model that is best on validation rows."""

    RULES = (_EPOCHS_OF_HALVING,)

    trials: int = Field(
        default=20,
        ge=2,
        le=100,
        description="Trials in all, the spec as it is written among them. Default 20. A change trains again.",
    )
    parameters: Annotated[tuple[Parameter, ...], Field(min_length=1, max_length=16)] = Field(
        description="What is varied. A change trains again.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["path"]},
    )
    metric: KnownMetric | None = Field(
        default=None,
        description="What decides, on validation rows. Default: accuracy of classes, r2 of numbers. A change trains"
        " again.",
    )
    halving: Halving | None = Field(
        default=None,
        description="For mlp, cnn, rnn and transformer. Default: each trial gets all epochs. A change trains again.",
    )

    @model_validator(mode="after")
    def _is_clear(self) -> Self:
        paths = [one.path for one in self.parameters]
        if len(set(paths)) < len(paths):
            raise ValueError("Duplicate value: each path of parameters may be there once")
        if self.halving is not None and "training.epochs" in paths:
            raise ValueError(_EPOCHS_OF_HALVING.message)
        return self


def _within(number: float, bounds: Uniform | LogUniform) -> float:
    """A number with few digits, between the bounds."""
    return min(max(float(f"{number:.{_DIGITS}g}"), bounds.min), bounds.max)
