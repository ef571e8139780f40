"""``signature.json``: what goes into a model and what comes out."""

import json
from enum import StrEnum
from math import prod
from typing import Annotated, Literal

from pydantic import Field

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.digests import sha256
from modelservice.contract.documents import Document

SIGNATURE_FILE = "signature.json"


class ColumnKind(StrEnum):
    """How a column is read."""

    NUMBER = "Number"
    CATEGORY = "Category"


class ColumnContent(StrEnum):
    """What the texts of a column say, where they are no categories."""

    BOOLEAN = "Boolean"
    DATE = "Date"
    TEXT = "Text"


class InputColumn(Tolerant):
    """One column of a table, in the order in which rows given as arrays list it.

    ``example`` is a median or a mode, never a real row; ``categories`` are the texts seen in training. ``content``
    refines ``type``; who does not know it takes the column for one of texts, which it is. ``required``: whether a value
    that is missing is refused, since nobody knows what would stand for it.
    """

    kind: Literal["Column"] = "Column"
    name: str
    type: ColumnKind
    content: ColumnContent | None = Field(default=None, exclude_if=lambda content: content is None)
    categories: tuple[str, ...] = ()
    example: bool | float | str
    required: bool = Field(default=False, exclude_if=lambda required: not required)

    @property
    def datatype(self) -> str:
        """Of a tensor of the column, in the Open Inference Protocol."""
        if self.content is ColumnContent.BOOLEAN:
            return "BOOL"
        return "FP64" if self.type is ColumnKind.NUMBER else "BYTES"

    @property
    def wire(self) -> tuple[str, str]:
        """What clients must know of it: name and kind, but neither example nor categories."""
        return self.name, str(self.content or self.type)


class InputTensor(Tolerant):
    """One tensor for each row; ``shape`` and ``datatype`` (Open Inference Protocol) are those of one row."""

    kind: Literal["Tensor"] = "Tensor"
    name: str
    datatype: str
    shape: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, max_length=8)]

    @property
    def wire(self) -> tuple[str, str]:
        """What clients must know of it: name, datatype and shape."""
        return self.name, f"{self.datatype} {' x '.join(map(str, self.shape))}"


class Output(Tolerant):
    """One named output; ``shape`` is that of one row, [] a single value. ``labels`` name the values of a row.

    ``threshold`` is the probability from which on a label is the second of two, of tasks that have one.
    """

    name: str
    datatype: str
    shape: tuple[Annotated[int, Field(ge=1)], ...] = ()
    labels: tuple[str, ...] | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)


Input = Annotated[InputColumn | InputTensor, Field(discriminator="kind")]


class Signature(Document):
    """What goes into the model and what comes out, in order.

    ``modality`` names the member of ``modalities`` that reads requests, ``task`` the member of ``tasks`` that turns
    the model's numbers into the outputs. ``target`` is what is predicted, None where nobody said.
    """

    kind: Literal["Signature"] = "Signature"
    modality: str
    task: str
    target: str | None = None
    inputs: Annotated[tuple[Input, ...], Field(min_length=1)]
    outputs: Annotated[tuple[Output, ...], Field(min_length=1)]

    @property
    def labels(self) -> tuple[str, ...]:
        """The class labels in order, none for a regression."""
        return next((output.labels for output in self.outputs if output.labels is not None), ())

    @property
    def width(self) -> int:
        """Numbers that the model gives for a row: a probability for each label, or those of all outputs."""
        return len(self.labels) or sum(prod(output.shape) for output in self.outputs)

    @property
    def inputs_digest(self) -> Sha256:
        """sha256 of what clients must send: the ``wire`` of each input, in order."""
        told = json.dumps([one.wire for one in self.inputs], ensure_ascii=True, separators=(",", ":"))
        return sha256(told.encode())
