"""``preprocessing.json``: how a row of a table becomes a row of numbers, as data.

Numeric columns are standardised, z = (x - mean) / std, and a missing value is replaced by ``fill`` first. Categorical
columns become one number for each category seen in training; an unseen or missing one is all zeros. An unused column
is given by clients, and becomes nothing. Everything here was measured on training rows only, ``example`` too: a median
or a mode, never a real row.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from modelservice.contract.base import Contract
from modelservice.contract.documents import ExactDocument
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.table.notation import Notation

MAX_COLUMNS = 4096
MAX_CATEGORIES = 1000
"""Categories of one column. More is free text, which one number for each does not describe."""


class _Standardised(Contract):
    kind: str
    name: str
    mean: FiniteFloat
    std: Annotated[FiniteFloat, Field(gt=0)]
    fill: FiniteFloat
    example: FiniteFloat

    @property
    def width(self) -> int:
        """Numbers that the column becomes."""
        return 1

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.NUMBER, example=self.example)


class NumericPreprocessing(_Standardised):
    """Mean and standard deviation (population, never 0) of a column, and what stands in for a missing value."""

    kind: Literal["Number"] = "Number"


class WrittenPreprocessing(_Standardised):
    """A numeric column whose numbers are written in a notation of its own: a text in a request is read by it."""

    kind: Literal["WrittenNumber"] = "WrittenNumber"
    notation: Notation


class CategoricalPreprocessing(Contract):
    """The categories of a column, in the order of their codes."""

    kind: Literal["Category"] = "Category"
    name: str
    categories: Annotated[tuple[str, ...], Field(max_length=MAX_CATEGORIES)]
    example: str

    @property
    def width(self) -> int:
        """Numbers that the column becomes."""
        return len(self.categories)

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, categories=self.categories, example=self.example)


class UnusedPreprocessing(Contract):
    """A column that ``spec.data.features`` lists and from which nothing can be learned; ``type`` is what it held."""

    kind: Literal["Unused"] = "Unused"
    name: str
    type: ColumnKind
    example: FiniteFloat | str

    @property
    def width(self) -> int:
        """Numbers that the column becomes."""
        return 0

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=self.type, example=self.example)


ColumnPreprocessing = Annotated[
    NumericPreprocessing | WrittenPreprocessing | CategoricalPreprocessing | UnusedPreprocessing,
    Field(discriminator="kind"),
]


class TablePreprocessing(ExactDocument):
    """All columns in the order of the model's inputs."""

    kind: Literal["TablePreprocessing"] = "TablePreprocessing"
    columns: Annotated[tuple[ColumnPreprocessing, ...], Field(min_length=1, max_length=MAX_COLUMNS)]

    @model_validator(mode="after")
    def _distinct_names(self) -> Self:
        if len({column.name for column in self.columns}) != len(self.columns):
            raise ValueError("column names must differ")
        return self

    @property
    def width(self) -> int:
        """Numbers that a row becomes."""
        return sum(column.width for column in self.columns)
