"""From cells to a row of numbers, as data: what was measured of each column on training rows, and nothing else."""

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializeAsAny, model_validator
from pydantic.functional_validators import BeforeValidator

from modelservice.cells import Missing
from modelservice.contract.data import MissingWords
from modelservice.contract.documents import ExactDocument
from modelservice.modalities.table import kinds
from modelservice.modalities.table.kinds.base import ColumnPreprocessing

MAX_COLUMNS = 4096


def _column(stored: Any) -> Any:
    """A stored column as the document of its kind."""
    if not isinstance(stored, dict):
        return stored
    for kind in kinds.KINDS:
        if kind.name == stored.get("kind"):
            return kind.document.model_validate(stored)
    known = ", ".join(kind.name for kind in kinds.KINDS)
    raise ValueError(f"a column of kind {str(stored.get('kind'))[:64]!r} is not known here, but {known}")


class TablePreprocessing(ExactDocument):
    """All columns in the order of the model's inputs; ``missing`` is ``spec.data.missing`` where that was given."""

    kind: Literal["TablePreprocessing"] = "TablePreprocessing"
    columns: Annotated[
        tuple[Annotated[SerializeAsAny[ColumnPreprocessing], BeforeValidator(_column)], ...],
        Field(min_length=1, max_length=MAX_COLUMNS),
    ]
    missing: MissingWords | None = Field(default=None, exclude_if=lambda words: words is None)

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError("column names must differ")
        return self

    @property
    def width(self) -> int:
        """Numbers that a row becomes."""
        return sum(column.width for column in self.columns)

    def unlike(self, before: "TablePreprocessing") -> str | None:
        """In what a row becomes other numbers than by one of the same columns; None where each means the same.

        Returns:
            The end of a sentence about what has the preprocessing of before.
        """
        for then, now in zip(before.columns, self.columns, strict=True):
            if then.layout != now.layout:
                return f"makes {then.layout[:200]} of column {now.name}, which is {now.layout[:200]} now"
        return None

    @property
    def codes(self) -> NDArray[np.bool_]:
        """Which of the numbers that a row becomes are no standardised measurements, bool [width]."""
        return np.array(
            [place > 0 or not column.measured for column in self.columns for place in range(column.width)], np.bool_
        )

    @property
    def rule(self) -> Missing:
        """What is missing in a request."""
        return Missing.of(self.missing)
