"""Columns of numbers that a model takes as they are: of one that was packed, nobody knows what it was trained on."""

from functools import partial
from typing import Final, Literal

from pydantic import FiniteFloat

from modelservice.cells import as_number
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.table.kinds.base import ColumnEncoder, ColumnPreprocessing, Kind, Linear
from modelservice.modalities.table.kinds.numbers import NumbersEncoder, told_number

_AS_IT_IS: Final = Linear(0.0, 1.0, float("nan"), measured=False)


class PlainPreprocessing(ColumnPreprocessing):
    """A number that is not scaled and may not be missing."""

    kind: Literal["Plain"] = "Plain"
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
        return NumbersEncoder(self.name, _AS_IT_IS, partial(as_number, words=words))


PLAIN: Final = Kind(name="Plain", document=PlainPreprocessing, read=lambda _: None)
"""No column of data is read as one."""
