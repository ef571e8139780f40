"""What a kind of column answers: how it is recognised, measured and encoded, and how requests give it.

A member is one file: the column as it was read (training), its preprocessing (stored in an artifact), an encoder made
of that (training and serving), and a ``Kind`` that holds them together. numpy only, since servers load all of it.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import as_text
from modelservice.contract.base import Contract
from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Features, Variable
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.notation import Decimal
from modelservice.modalities.table.written import Cells, Place

FEWEST_ROWS = 3
"""Training rows from which a number of its own is learned: for a category, or that a value is missing."""

FLOAT32_MAX: Final = float(np.finfo(np.float32).max)

Values = Sequence[Any] | NDArray[Any]
"""The cells of one column, in rows of a request or of a table that was read."""


class TextTokens(NamedTuple):
    """How texts become tokens: the JSON of the library ``tokenizers``, and how many tokens of a text are read."""

    tokenizer: str
    max_length: int


class Useless(NamedTuple):
    """Why nothing can be learned from a column; one that ``names_rows`` does not tell equal rows apart."""

    reason: str
    names_rows: bool = False


class Linear(NamedTuple):
    """One number for each cell, z = (x - mean) / std, where a missing x is ``fill``, and NaN means that none may be.

    With an ``indicator``, a second one is 1 where x is missing and 0 elsewhere. ``measured``: whether mean and
    deviation are those of training, so that it can be said what is far from it. ``largest``: how far z may be from 0.
    """

    mean: float
    std: float
    fill: float
    indicator: bool = False
    measured: bool = True
    largest: float = FLOAT32_MAX


class ColumnEncoder(Protocol):
    """Cells of one column to numbers; immutable."""

    @property
    def linear(self) -> Linear | None:
        """What it does to numbers, where that is all: such columns are encoded side by side, in one step."""

    def encode(self, values: Values, target: Features) -> int:
        """Write float32 [rows, width] into ``target``, which is zero.

        Returns:
            How many of the cells hold something unlike what training saw, missing ones aside.

        Raises:
            InputError: names row and column of the first cell that is none of this kind.
        """

    def check(self, value: Any, row: int) -> None:
        """Look at one cell; errors as above."""

    def measure(self, values: Values) -> Sequence[float] | Sequence[str | None]:
        """What cells say, for statistics, as ``Column.variable`` says it of training's: each was taken before.

        Numbers, NaN where one is missing, or texts, None where one is; texts that mean the same are the same.
        """


class ColumnPreprocessing(Contract):
    """What was measured of one column on training rows; subclasses say their ``kind`` as a ``Literal``."""

    kind: str
    name: str

    takes_both: ClassVar[bool] = False
    """Whether a tensor of it may hold texts as well as numbers."""
    measured: ClassVar[bool] = False
    """Whether the first of its numbers is a standardised measurement, any value near which means about the same."""

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers that the column becomes."""

    @property
    def layout(self) -> str:
        """What these are, in words: weights that were learned of others mean nothing for them."""
        return f"{self.kind} of width {self.width}"

    @property
    @abstractmethod
    def input(self) -> InputColumn:
        """The column as the signature has it."""

    @abstractmethod
    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        """What encodes it, given the words that mean a missing value among numbers."""

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:  # noqa: ARG002
        """A condition that a row meets, in the column's own words and units.

        Args:
            place: of one of the numbers that the column becomes.
            threshold: what it was compared with.
            value: the number; the condition is that it is at most the threshold, if it is, and else that it is more.
            said: what the cell says, see ``ColumnEncoder.measure``.
        """
        return f"number {place + 1} of {self.width} {side(value, threshold)} {threshold:.6g}"


SMALL: Final = 0.1
"""Standard deviations: numbers that differ by float32's precision of it are not told apart by scikit-learn's trees."""
ULPS: Final = 4 * float(np.finfo(np.float32).eps)
"""Of a standardised number: what two that are the same to float32 may differ by, after a few operations."""


def is_missing(said: float | str | None) -> bool:
    """Whether what a cell says is no number."""
    return not isinstance(said, float) or math.isnan(said)


def side(value: float, threshold: float) -> str:
    """On which side of a threshold a number is."""
    return "<=" if value <= threshold else ">"


def told_missing(value: float) -> str:
    """What an indicator says."""
    return "is missing" if value > 0 else "is not missing"


class Column(Protocol):
    """A column that was read, for training."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def type(self) -> ColumnKind:
        """How clients give it."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def missing(self) -> int:
        """Number of missing values."""

    @property
    def distinct(self) -> int:
        """Number of different values, missing ones aside."""

    @property
    def values(self) -> Values:
        """The cells as ``ColumnEncoder.encode`` takes them."""

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The column of some of the rows."""

    def useless(self) -> Useless | None:
        """Why nothing can be learned from it, if so."""

    def refusal(self) -> DataError | None:
        """Why it cannot be learned from as it is, if so."""

    def notes(self) -> Iterator[str]:
        """Sentences about how it was read, and what it will not tell of new rows."""

    @property
    def told_apart_by(self) -> str:
        """What decides the token of a cell besides the cell, in words: in another file it may be something else."""

    def tokens(self, rows: slice) -> Iterable[bytes]:
        """What identifies the content of each cell, for the split: what a model gets of it, however it is written.

        A number is the same number in every kind of column, so that rows appended later move no others; but where a
        model gets no number of it: of dates it is the moment, and free text tells 1 from 1.0.
        """

    def example(self) -> bool | float | str:
        """A value that is no row's in particular: a median or a mode."""

    def variable(self) -> Variable:
        """What its cells say, for statistics."""

    def fit(self) -> ColumnPreprocessing:
        """Measure it; the rows are those of training."""


class RawColumn(Protocol):
    """The cells of a column before anything is known of them. Texts have no blanks around them; empty is missing."""

    name: str
    place: Place
    separator: str
    """What stands between the cells of the file; beside semicolons commas may be decimal marks."""
    decimal: Decimal | None
    """The mark before the fraction of all numbers of the file, where that is said."""
    words: frozenset[str]
    """What means a missing value among numbers."""
    declared: ColumnType | None
    """What ``spec.data.columns`` says of it; then its kind must take it, or refuse a cell."""
    reading: TextTokens | None
    """How texts become tokens, where ``spec.data.encoder`` says it."""

    @property
    def floats(self) -> NDArray[np.float64] | None:
        """float64 [rows] of a column that was given as numbers, NaN is missing; None for texts."""

    @property
    def cells(self) -> Cells:
        """The texts by code."""

    @property
    def plain(self) -> int:
        """How many cells are numbers such as 1234.5."""

    @property
    def others(self) -> int:
        """How many cells are neither numbers nor missing."""

    def numbers(self) -> NDArray[np.float64]:
        """float64 [rows]: those of the cells that are plain numbers, NaN for the rest."""

    def code(self) -> str | None:
        """One of the plain numbers that begin with a zero, as 0101 does: it may be a code."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A member of ``KINDS``.

    Attributes:
        name: as ``preprocessing.json`` spells it.
        document: its preprocessing.
        read: takes a column that is of this kind; None where it is not.
            Raises ``DataError`` where it is, but for a cell that has to be corrected.
        type: what ``spec.data.columns`` calls it; None where it cannot be asked for.
    """

    name: str
    document: type[ColumnPreprocessing]
    read: Callable[[RawColumn], Column | None]
    type: ColumnType | None = None


def text_at(value: Any, row: int, column: str) -> str | None:
    """The text of a cell of a request, None if it is missing.

    Raises:
        InputError: it is a structure.
    """
    try:
        return as_text(value)
    except ValueError as error:
        raise InputError(str(error), row=row, column=column) from None


def check_digits(value: Any, row: int, column: str) -> None:
    """Refuse a number whose digits are lost, where each of them counts: files keep them all.

    Readers of JSON make floats of whole numbers beyond 64 bits.

    Raises:
        InputError: it is such a float.
    """
    if isinstance(value, float) and (value >= 2.0**64 or value <= -(2.0**63)):
        raise InputError(
            f"{value!r} has lost digits, as a number beyond 64 bits: send it as text", row=row, column=column
        )
