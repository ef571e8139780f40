"""Columns that ``spec.data.features`` lists and from which nothing can be learned: given by clients, without effect."""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import FiniteFloat

from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Features
from modelservice.modalities.table.kinds.base import ColumnEncoder, ColumnPreprocessing, Kind, Values, text_at


class UnusedPreprocessing(ColumnPreprocessing):
    """A column without effect; ``type`` is what it held."""

    kind: Literal["Unused"] = "Unused"
    type: ColumnKind
    example: FiniteFloat | str

    takes_both = True

    @property
    def width(self) -> int:
        """None."""
        return 0

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=self.type, example=self.example)

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:  # noqa: ARG002 - the seam's signature
        """Looks whether cells are cells."""
        return _Nothing(self.name)


class _Nothing(NamedTuple):
    name: str
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:  # noqa: ARG002 - the seam's signature
        if not (isinstance(values, np.ndarray) and values.dtype.kind in "fiub"):
            for row, value in enumerate(values):
                self.check(value, row)
        return 0

    def check(self, value: Any, row: int) -> None:
        text_at(value, row, self.name)

    def measure(self, values: Values) -> list[str | None]:
        return [text_at(value, row, self.name) for row, value in enumerate(values)]


UNUSED: Final = Kind(name="Unused", document=UnusedPreprocessing, read=lambda _: None)
"""No column is read as one: ``fitting`` decides it for columns of all kinds."""
