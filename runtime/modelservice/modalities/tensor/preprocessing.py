"""``preprocessing.json`` of tensors: their names, datatypes and shapes."""

from math import prod
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from modelservice.contract.base import Contract
from modelservice.contract.documents import ExactDocument
from modelservice.contract.signature import InputTensor

MAX_TENSORS = 64
MAX_VALUES = 2**24
"""Of a row; also the whole numbers up to which float32 has them all."""

Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64"
]
Sides = Annotated[tuple[Annotated[int, Field(ge=1, le=MAX_VALUES)], ...], Field(min_length=1, max_length=8)]


class TensorInput(Contract):
    """One tensor of a row.

    Attributes:
        name: as the model's author named it.
        datatype: of the Open Inference Protocol.
        shape: of one row.
        example: values of one row, flat; None stands for zeros.
    """

    name: str
    datatype: Datatype
    shape: Sides
    example: tuple[FiniteFloat, ...] | None = Field(default=None, exclude_if=lambda example: example is None)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.example is not None and len(self.example) != self.size:
            raise ValueError(f"an example of {self.size} values is needed, not one of {len(self.example)}")
        return self

    @property
    def size(self) -> int:
        """Values of one row."""
        return prod(self.shape)

    @property
    def input(self) -> InputTensor:
        """The tensor as the signature has it."""
        return InputTensor(name=self.name, datatype=self.datatype, shape=self.shape)


class TensorPreprocessing(ExactDocument):
    """All tensors of a row, in the order in which the model takes them, flat, one after the other."""

    kind: Literal["TensorPreprocessing"] = "TensorPreprocessing"
    tensors: Annotated[tuple[TensorInput, ...], Field(min_length=1, max_length=MAX_TENSORS)]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if len({one.name for one in self.tensors}) != len(self.tensors):
            raise ValueError("names of tensors must differ")
        if self.width > MAX_VALUES:
            raise ValueError(f"a row has {self.width} values, at most {MAX_VALUES} are possible")
        return self

    @property
    def width(self) -> int:
        """Values of a row."""
        return sum(one.size for one in self.tensors)
