"""``spec.compression``: how a trained model is made smaller, and what that may cost."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from modelservice.contract.base import Contract, OneOf


class WeightType(StrEnum):
    """What a weight is stored as."""

    INT8 = "Int8"


class Quantize(Contract):
    """Weights as small integers, with which linear layers compute; convolutions compute with floats made of them."""

    weights: WeightType = Field(default=WeightType.INT8, description="Int8. Default Int8.")


class Step(OneOf):
    """Exactly one kind of step."""

    quantize: Quantize | None = Field(default=None, description="Weights as small integers.")


class Compression(Contract):
    """Steps in order, judged on the test rows; a change compresses again and trains nothing.

    Runs in a Job of its own, with the pod settings of ``spec.training``.
    """

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
