"""``spec.compression``: how a trained model is made smaller, and what that may cost."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelservice.contract.base import Contract, OneOf, Rule


class WeightType(StrEnum):
    """What a weight is stored as."""

    INT8 = "Int8"


class Quantize(Contract):
    """Weights as small integers, with which linear layers compute; convolutions compute with floats made of them."""

    weights: WeightType = Field(default=WeightType.INT8, description="Int8. Default Int8.")


class Step(OneOf):
    """Exactly one kind of step."""

    quantize: Quantize | None = Field(default=None, description="Weights as small integers.")


_EACH_STEP_ONCE = Rule(
    " && ".join(
        f"self.steps.filter(step, has(step.{kind})).size() <= 1"
        for kind in (Step.model_fields[name].alias for name in Step.members())
    ),
    "each kind of step may stand once: take the second out",
)


class Compression(Contract):
    """Steps in order, judged on the test rows; a change compresses again and trains nothing.

    Runs in a Job of its own, with the pod settings of ``spec.training``.
    """

    RULES = (_EACH_STEP_ONCE,)

    max_accuracy_drop: float = Field(
        default=0.005,
        ge=0,
        le=1,
        description="How much of the primary metric (accuracy, R2) may be lost: the upper end of the paired 95 %"
        " interval on the test rows must not be above it, else the uncompressed model is kept and the condition"
        " Compressed says so. Few rows show little: of n rows that are all classified as before, the upper end is"
        " 3.84 / (n + 3.84). Default 0.005.",
    )
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=8)] = Field(description="Steps, in order.")

    @model_validator(mode="after")
    def _each_step_once(self) -> Self:
        kinds = [step.choice for step in self.steps]
        if len(set(kinds)) != len(kinds):
            raise ValueError(_EACH_STEP_ONCE.message)
        return self
