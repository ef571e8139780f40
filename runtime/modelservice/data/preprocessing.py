"""``preprocessing.json``: how a row of a table becomes a row of numbers, as data.

Numeric columns are standardised, z = (x - mean) / std, and a missing value is replaced by ``fill`` first. Categorical
columns become one number for each category seen in training; an unseen or missing one is all zeros. Everything here
was measured on training rows only.
"""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, model_validator

from modelservice.contract.base import Tolerant

MAX_COLUMNS = 4096
MAX_CATEGORIES = 1000
"""Categories of one column. More is free text, which one number for each does not describe."""

Floats = NDArray[np.float64]


class NumericPreprocessing(Tolerant):
    """Mean and standard deviation (population, never 0) of a column, and what stands in for a missing value."""

    kind: Literal["Numeric"] = "Numeric"
    name: str
    mean: FiniteFloat
    std: Annotated[FiniteFloat, Field(gt=0)]
    fill: FiniteFloat

    @property
    def width(self) -> int:
        """Numbers that the column becomes."""
        return 1


class CategoricalPreprocessing(Tolerant):
    """The categories of a column, in the order of their codes."""

    kind: Literal["Categorical"] = "Categorical"
    name: str
    categories: Annotated[tuple[str, ...], Field(max_length=MAX_CATEGORIES)]

    @property
    def width(self) -> int:
        """Numbers that the column becomes."""
        return len(self.categories)


ColumnPreprocessing = Annotated[NumericPreprocessing | CategoricalPreprocessing, Field(discriminator="kind")]


class Preprocessing(Tolerant):
    """All columns in the order of the model's inputs."""

    schema_version: str = "1.0"
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


def fit_numeric(name: str, values: Floats) -> NumericPreprocessing:
    """Measure a numeric column.

    Args:
        name: the column's name.
        values: float64 [rows], training rows only; NaN is missing.
    """
    present = values[~np.isnan(values)]
    if present.size == 0:
        return NumericPreprocessing(name=name, mean=0.0, std=1.0, fill=0.0)
    mean = float(present.mean())
    std = float(present.std())
    # A column that does not vary in the training rows says nothing: any positive std leaves it harmless.
    return NumericPreprocessing(name=name, mean=mean, std=std if std > 0 else 1.0, fill=mean)


def fit_categorical(name: str, values: list[str | None]) -> CategoricalPreprocessing:
    """Collect the categories of a column from training rows only; None is missing."""
    categories = sorted({value for value in values if value is not None})
    return CategoricalPreprocessing(name=name, categories=tuple(categories))
