"""What kinds of columns of numbers have in common: z = (x - mean) / std, the mean for a missing x, and an indicator."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from modelservice.cells import number_text
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Features, Variable
from modelservice.modalities.errors import InputError
from modelservice.modalities.split import number_token
from modelservice.modalities.table.kinds.base import (
    FEWEST_ROWS,
    SMALL,
    ULPS,
    ColumnPreprocessing,
    Linear,
    Useless,
    Values,
    is_missing,
    side,
    told_missing,
)
from modelservice.modalities.table.written import Place

FAR: Final = 10.0
"""Standard deviations from the mean of the training rows: fewer than 1 % of these are as far (Chebyshev's inequality),
and of 101 rows or fewer none is (Samuelson's)."""
MAX_NUMBER = 1e100
"""Beyond it squares overflow."""
_EXAMPLE_DIGITS = 4
_FILL_DIGITS = 6
_OFF = 0.01
"""What a number that is told of a column may be off, in the spread of the column."""
_NOISE = 1e-12
_NO_NUMBERS: Final = (str, bytes, np.datetime64, np.timedelta64)
"""What numpy makes a float64 of all the same."""
_DIGITS = 17
"""That tell every float64 from all others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers(ABC):
    """A column of numbers: float64 [rows]; NaN is missing. ``sample`` is a text whose reading is worth a word."""

    name: str
    values: NDArray[np.float64]
    sample: str | None = None

    type = ColumnKind.NUMBER

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return int(np.isnan(self.values).sum())

    @property
    def distinct(self) -> int:
        """Number of different values, missing ones aside."""
        return len(np.unique(self._present))

    @property
    def _present(self) -> NDArray[np.float64]:
        return self.values[~np.isnan(self.values)]

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The column of some of the rows."""
        return replace(self, values=self.values[rows])

    def useless(self) -> Useless | None:
        """It is empty or constant, even with gaps: a client may send any number, and none but one was learned from."""
        distinct = self.distinct
        return None if distinct > 1 else Useless("every value is the same" if distinct else "it is empty")

    def refusal(self) -> DataError | None:
        """Numbers can always be learned from."""
        return None

    def notes(self) -> Iterator[str]:
        """How the sample is read."""
        if self.sample is not None:
            yield f"column {self.name}: {self.sample} is read as the number {number_text(self.read(self.sample))}"

    @property
    def told_apart_by(self) -> str:
        """Its kind."""
        return type(self).__name__

    def tokens(self, rows: slice) -> Iterable[bytes]:
        """The numbers themselves."""
        return (number_token(value) for value in self.values[rows].tolist())

    def example(self) -> float:
        """The median to four digits, or to as many as tell it from others of the column; 0 of none."""
        present = self._present
        if not present.size:
            return 0.0
        low, median, high = np.quantile(present, (0.25, 0.5, 0.75)).tolist()
        close = _OFF * (high - low)
        return next(one for one in _rounded(median, digits=_EXAMPLE_DIGITS) if abs(one - median) <= close)

    def variable(self) -> Variable:
        """The numbers."""
        return Variable(self.values)

    @abstractmethod
    def read(self, text: str) -> float:
        """The number that a text of this column says."""

    @abstractmethod
    def fit(self) -> ColumnPreprocessing:
        """Measure it; the rows are those of training."""

    def measured(self) -> dict[str, Any]:
        """The fields of ``Standardised``."""
        present = self._present
        mean = float(present.mean()) if present.size else 0.0
        std = float(present.std()) if present.size else 0.0
        return self.standardised(mean, std, indicator=FEWEST_ROWS <= self.missing < self.rows)

    def standardised(self, mean: float, std: float, *, indicator: bool) -> dict[str, Any]:
        """The same of a mean and a deviation that are known."""
        # What does not vary in the training rows says nothing, and dividing by rounding noise would make it shout.
        varies = std > _NOISE * abs(mean)
        return {
            "name": self.name,
            "mean": mean,
            "std": std if varies else 1.0,
            "fill": mean,
            "indicator": indicator,
            "example": self.example(),
        }


def check_bounds(name: str, values: NDArray[np.float64], place: Place) -> None:
    """Refuse what cannot be standardised.

    Raises:
        DataError: a number is beyond ``MAX_NUMBER``; names its line.
    """
    excessive = np.abs(values) > MAX_NUMBER
    if excessive.any():
        where = f"{place(int(excessive.argmax()))}, column {name}"
        raise DataError("NotANumber", f"{where}: the number is too large: correct the cell, or leave it empty")


class Standardised(ColumnPreprocessing):
    """Mean and standard deviation (population, never 0) of a column, and what stands in for a missing value.

    ``indicator`` adds a number that says that the value is missing.
    """

    measured = True

    mean: FiniteFloat
    std: Annotated[FiniteFloat, Field(gt=0)]
    fill: FiniteFloat
    indicator: bool = Field(default=False, exclude_if=lambda said: not said)
    example: FiniteFloat

    @property
    def width(self) -> int:
        """One, and one more with the indicator."""
        return 1 + self.indicator

    @property
    def linear(self) -> Linear:
        """What is done to a number."""
        return Linear(self.mean, self.std, self.fill, self.indicator)

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.NUMBER, example=self.example)

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:
        """See ``ColumnPreprocessing``."""
        return told_missing(value) if place else told_number(self.linear, threshold, value=value, said=said)


def told_number(linear: Linear, threshold: float, *, value: float, said: float | str | None) -> str:
    """A condition on a standardised number in the column's unit; for arguments see ``ColumnPreprocessing.condition``.

    The threshold is the shortest decimal that lies within float32's precision of it, with the number on its side.
    """
    missing = is_missing(said)
    number, left = (linear.fill if missing else float(said or 0)), value <= threshold
    exact = threshold * linear.std + linear.mean
    close = ULPS * max(abs(threshold), SMALL if linear.measured else 0.0) + 4 * math.ulp(exact) / linear.std
    found = (
        one
        for one in _rounded(exact)
        if abs((one - linear.mean) / linear.std - threshold) <= close and (number <= one) == left
    )
    # What is nearer to the number than any decimal: float32 tells no other number from this one.
    bound = next(found, number if left else math.nextafter(number, -math.inf))
    condition = f"{side(value, threshold)} {number_text(bound)}"
    if not missing:
        return condition
    fills = (one for one in _rounded(number, digits=_FILL_DIGITS) if abs(one - number) <= _OFF * linear.std)
    return f"is missing, and counts as {number_text(next(one for one in fills if (one <= bound) == left))} {condition}"


def _rounded(number: float, *, digits: int = 1) -> Iterator[float]:
    """A number to so many digits, and to ever more, until it is itself."""
    return (float(f"{number:.{count}g}") for count in range(digits, _DIGITS + 1))


class NumbersEncoder(NamedTuple):
    """Standardises the cells of one column; ``read`` gives the number of a cell, NaN for missing, or a ValueError."""

    name: str
    linear: Linear
    read: Callable[[Any], float]

    def encode(self, values: Values, target: Features) -> int:
        """All at once; what does not convert is looked at cell by cell. What is ``FAR`` counts as unlike training."""
        numbers = self._numbers(values)
        missing = np.isnan(numbers)
        filled = np.where(missing, self.linear.fill, numbers)
        scaled = scale(filled, self.linear.mean, 1.0 / self.linear.std)
        if not (extent := extent_of(scaled)) <= self.linear.largest:
            row = int(np.argmax(np.abs(scaled)))
            if np.isnan(filled[row]):
                raise InputError("is missing, and the model takes no missing values", row=row, column=self.name)
            most = self.linear.largest
            why = (
                "too far from the training data" if self.linear.measured else f"not a number from {-most:g} to {most:g}"
            )
            raise InputError(f"{float(filled[row])!r} is {why}", row=row, column=self.name)
        target[:, 0] = scaled.astype(np.float32)
        if self.linear.indicator:
            target[:, 1] = missing
        return int((np.abs(scaled) > FAR).sum()) if self.linear.measured and extent > FAR else 0

    def check(self, value: Any, row: int) -> None:
        """Whether a cell is a number or missing."""
        self._number_at(value, row)

    def measure(self, values: Values) -> list[float]:
        """The numbers."""
        numbers: list[float] = self._numbers(values).tolist()
        return numbers

    def _numbers(self, values: Values) -> NDArray[np.float64]:
        try:
            numbers = as_floats(values)
        except (TypeError, ValueError, OverflowError):
            numbers = np.empty(0)
        if numbers.shape != (len(values),) or np.isinf(numbers).any():
            return np.array([self._number_at(value, row) for row, value in enumerate(values)])
        return numbers

    def _number_at(self, value: Any, row: int) -> float:
        try:
            return self.read(value)
        except ValueError as error:
            raise InputError(str(error), row=row, column=self.name) from None


def as_floats(values: Any) -> NDArray[np.float64]:
    """Convert at once; text is left to the careful path, since numpy takes more for a number than a table does.

    Raises:
        TypeError: there is text, or a time, among the values.
        ValueError: they are no numbers; OverflowError where one is too large.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        if array.dtype.kind != "O" or any(isinstance(value, _NO_NUMBERS) for value in array.flat):
            raise TypeError("text")
        array = np.asarray(values, dtype=np.float64)
    return array.astype(np.float64, copy=False)


@np.errstate(over="ignore")
def scale(values: NDArray[np.float64], mean: Any, factor: Any) -> NDArray[np.float64]:
    """(values - mean) * factor; what is too large becomes infinite."""
    return np.asarray((values - mean) * factor)


def extent_of(scaled: NDArray[np.float64]) -> float:
    """The largest distance from 0, NaN where one of the numbers is, 0 of none."""
    if not scaled.size:
        return 0.0
    distances = np.abs(scaled)
    return float(distances.item(distances.argmax()))  # a fourth of max and min, of one row; a NaN counts as the largest
