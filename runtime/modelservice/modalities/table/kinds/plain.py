"""Columns of numbers that a model takes as they are: of one that was packed, nobody knows what it was trained on."""

from functools import partial
from typing import Final, Literal

import numpy as np
from pydantic import Field, FiniteFloat

from modelservice.cells import as_number
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.table.kinds.base import ColumnEncoder, ColumnPreprocessing, Kind, Linear
from modelservice.modalities.table.kinds.numbers import NumbersEncoder, told_number

_AS_IT_IS: Final = Linear(0.0, 1.0, float("nan"), measured=False)
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)


class PlainPreprocessing(ColumnPreprocessing):
    """A number that is not scaled and may not be missing; the model takes it as ``datatype``."""

    kind: Literal["Plain"] = "Plain"
    datatype: Literal["FP32", "FP16"] = Field(default="FP32", exclude_if=lambda said: said == "FP32")
    example: FiniteFloat

    @property
    def width(self) -> int:
        """One."""
        return 1

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.NUMBER, example=self.example, required=True)

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:  # noqa: ARG002
        """See ``ColumnPreprocessing``."""
        return told_number(_AS_IT_IS, threshold, value=value, said=said)

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        """Texts in requests are read as those of a file."""
        linear = _AS_IT_IS._replace(largest=_FLOAT16_MAX) if self.datatype == "FP16" else _AS_IT_IS
        return NumbersEncoder(self.name, linear, partial(as_number, words=words))


PLAIN: Final = Kind(name="Plain", document=PlainPreprocessing, read=lambda _: None)
"""No column of data is read as one."""
