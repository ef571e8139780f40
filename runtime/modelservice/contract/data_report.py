"""``data-report.json``: what the data of a training held, and what in it makes metrics too good to be true."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document


class SideRows(Tolerant):
    """A number of rows on each side of the split."""

    train: int
    validation: int
    test: int


class ReportedColumn(Tolerant):
    """One input, over all rows that have a target.

    ``column_kind`` is how it is encoded, as ``preprocessing.json`` names it. ``alone`` says how well the column
    predicts the target without any other: the share of the errors of the best constant answer that it avoids on rows
    that it was not fitted on (Goodman and Kruskal's lambda for classes, R2 of their ranks for numbers); None where
    there are too few rows.
    """

    name: str
    column_kind: str
    missing: int = Field(ge=0)
    distinct: int = Field(ge=0)
    alone: FiniteFloat | None = None


class ClassRows(Tolerant):
    """How many rows of each side have a class."""

    label: str
    rows: SideRows


class TargetNumbers(Tolerant):
    """How the numbers of a target are spread over all rows."""

    low: FiniteFloat
    mean: FiniteFloat
    high: FiniteFloat
    deviation: FiniteFloat


class Duplicates(Tolerant):
    """Rows that a model cannot tell from others, since all their inputs are encoded alike.

    Attributes:
        rows: those that equal an earlier row.
        contradicting: those of them whose target differs from that of the first such row.
        identifiers: columns of whole numbers that differ in each row, which are not compared.
        test_rows: test rows that equal a row of training or validation.
        test_copies: those of them whose target is that of such a row, too.
    """

    rows: int
    contradicting: int
    identifiers: tuple[str, ...] = ()
    test_rows: int
    test_copies: int


class Suspect(Tolerant):
    """Something that may give the answer away; ``column`` is None where it is about rows."""

    column: str | None = None
    message: str


class DataReport(Document):
    """The data as it was learned from. ``columns`` are empty for inputs that are no columns.

    ``sampled`` says of a table that is too large to be held on how many rows of each side all but ``rows`` and
    ``classes`` was found.
    """

    kind: Literal["DataReport"] = "DataReport"
    sha256: str
    target: str
    rows: SideRows
    dropped: int
    sampled: SideRows | None = Field(default=None, exclude_if=lambda rows: rows is None)
    features: int
    columns: tuple[ReportedColumn, ...]
    classes: tuple[ClassRows, ...] | None = None
    numbers: TargetNumbers | None = None
    duplicates: Duplicates
    suspects: Annotated[tuple[Suspect, ...], Field(max_length=4097)] = ()
    notes: tuple[str, ...] = ()
