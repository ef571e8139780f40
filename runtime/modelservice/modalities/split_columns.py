"""Splits that a column decides: rows of a group stay together, later rows test, or the cells say the side.

The members of ``COLUMN_SPLITS`` are looked up by the field of ``spec.data.split`` that names their column.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import is_number_text, quoted
from modelservice.contract.failure import DataError
from modelservice.contract.split import Split as Shares
from modelservice.modalities.split import Rows, Split, divide, framed
from modelservice.tasks.base import TargetCells

SPLIT_FIELD = "spec.data.split"
_SIDES = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Deciding:
    """The column that decides, for the rows that have a target: ``rows`` int64 are their places in ``cells``."""

    cells: TargetCells
    rows: Rows

    @property
    def codes(self) -> NDArray[np.int32]:
        """Of each row's cell, -1 where it is missing."""
        return self.cells.codes[self.rows]

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        return f"{self.cells.noun} {self.cells.name}"

    def refuse(self, reason: str, row: int, problem: str, *, field: str) -> NoReturn:
        """Say what is wrong with one row, an index of ``rows``."""
        raise DataError(reason, f"{self.cells.place(int(self.rows[row]))}, {self.name}: {problem}", field=field)


class ColumnSplit(Protocol):
    """One way in which a column decides. Members are stateless values in ``COLUMN_SPLITS``."""

    setting: str
    """The field of ``spec.data.split`` that names the column, as Python spells it."""
    field: str
    """The same as the API spells it, with its path."""

    def divide(self, column: Deciding, strata: NDArray[np.int64], shares: Shares) -> tuple[Split, str]:
        """Divide the rows.

        Args:
            column: what decides.
            strata: the class of each row, or all 0.
            shares: of validation and test, and the seed.

        Returns:
            The sides, any of which may be empty, and what was divided, such as "40 groups of column customer".

        Raises:
            DataError: a cell says nothing that this split goes by.
        """

    def remedy(self) -> str:
        """What to do about a side without rows, as the end of a sentence."""

    def keys(self, column: Deciding, shares: Shares) -> list[bytes] | None:
        """What holds rows together in folds, one for each row; None where there are no folds."""


class ByGroup:
    """All rows of a group are on the same side: by a hash of the group's text and the seed.

    As with single rows, the first three groups of each class, that of a group's first row, have their sides by order.
    """

    setting = "group_by"
    field = f"{SPLIT_FIELD}.groupBy"

    def divide(self, column: Deciding, strata: NDArray[np.int64], shares: Shares) -> tuple[Split, str]:
        """See ``ColumnSplit``."""
        _check_filled(column, "rows of one group must stay on one side: fill in the group", field=self.field)
        digests = self.keys(column, shares)
        split = divide(digests, strata.tolist(), validation=shares.validation, test=shares.test)
        return split, f"{len(set(digests))} groups of {column.name}"

    def keys(self, column: Deciding, shares: Shares) -> list[bytes]:
        """A hash of the group and the seed."""
        seeded = hashlib.blake2b(key=shares.seed.to_bytes(8, "big"), digest_size=16)
        digests = []
        for text in column.cells.texts:
            state = seeded.copy()
            state.update(framed(text))
            digests.append(state.digest())
        return [digests[code] for code in column.codes.tolist()]

    def remedy(self) -> str:
        """More groups."""
        return "add rows of at least three groups of a class, or leave the field out"


class ByTime:
    """The last rows are tested, those before them choose, and all before learn; rows of one time stay together."""

    setting = "time_column"
    field = f"{SPLIT_FIELD}.timeColumn"

    def divide(self, column: Deciding, strata: NDArray[np.int64], shares: Shares) -> tuple[Split, str]:  # noqa: ARG002
        """See ``ColumnSplit``."""
        _check_filled(column, "only a time says on which side a row is: fill it in", field=self.field)
        times = _times(column, field=self.field)
        steps, place = np.unique(times, return_inverse=True)
        counts = np.bincount(place)
        # Of validation and training one time each is left, where there are so many.
        tested = _last_steps(counts, shares.test * len(times), spare=2)
        chosen = _last_steps(counts[:tested], shares.validation * len(times), spare=1)
        split = Split(
            train=np.flatnonzero(place < chosen),
            validation=np.flatnonzero((place >= chosen) & (place < tested)),
            test=np.flatnonzero(place >= tested),
        )
        return split, f"{len(steps)} times of {column.name}"

    def remedy(self) -> str:
        """More times."""
        return "give rows of at least three different times, or leave the field out"

    def keys(self, column: Deciding, shares: Shares) -> None:
        """None."""


class AsGiven:
    """Each cell says train, validation or test, in any case."""

    setting = "column"
    field = f"{SPLIT_FIELD}.column"

    def divide(self, column: Deciding, strata: NDArray[np.int64], shares: Shares) -> tuple[Split, str]:  # noqa: ARG002
        """See ``ColumnSplit``."""
        _check_filled(column, f"write {_listed(_SIDES)}", field=self.field)
        side_of = np.array([_side(text) for text in column.cells.texts], dtype=np.int64)
        sides = side_of[column.codes]
        if (sides < 0).any():
            row = int((sides < 0).argmax())
            cell = quoted(column.cells.texts[column.codes[row]])
            column.refuse("NotASide", row, f"{cell} is no side: write {_listed(_SIDES)}", field=self.field)
        train, validation, test = (np.flatnonzero(sides == number) for number in range(len(_SIDES)))
        return Split(train=train, validation=validation, test=test), f"the words of {column.name}"

    def remedy(self) -> str:
        """Rows that say so."""
        return f"write {_listed(_SIDES)} in some rows each"

    def keys(self, column: Deciding, shares: Shares) -> None:
        """None."""


COLUMN_SPLITS: Final[tuple[ColumnSplit, ...]] = (ByGroup(), ByTime(), AsGiven())


def chosen_column_split(shares: Shares) -> tuple[ColumnSplit, str] | None:
    """The split that a column decides, and the name of the column; None where each row's content decides."""
    named = ((split, getattr(shares, split.setting)) for split in COLUMN_SPLITS)
    return next(((split, name) for split, name in named if name is not None), None)


def divide_by_column(
    chosen: ColumnSplit, column: Deciding, strata: NDArray[np.int64], shares: Shares
) -> tuple[Split, str]:
    """Divide the rows, and say in a sentence how many went where.

    Raises:
        DataError: a cell says nothing that the split goes by, or a side has no rows.
    """
    split, what = chosen.divide(column, strata, shares)
    counts = [len(getattr(split, side)) for side in _SIDES]
    for side, rows in zip(_SIDES, counts, strict=True):
        if not rows:
            message = f"{what} leave no rows for {side}: {chosen.remedy()}"
            raise DataError("SideEmpty", message, field=chosen.field)
    return split, f"split by {what}: {said_of_sides(counts)}"


def said_of_sides(rows: Sequence[int]) -> str:
    """How many rows are on each side, of training, validation and test."""
    return ", ".join(f"{count} rows {side}" for side, count in zip(_SIDES, rows, strict=True))


def _check_filled(column: Deciding, why: str, *, field: str) -> None:
    missing = column.codes < 0
    if missing.any():
        column.refuse("SplitCellEmpty", int(missing.argmax()), f"the cell is empty, and {why}", field=field)


def _last_steps(counts: NDArray[np.int64], wanted: float, *, spare: int) -> int:
    """The first of the last steps that together have as many rows as are wanted, at least one step.

    ``spare`` steps are left before it, as far as there are so many.
    """
    rows_from = np.cumsum(counts[::-1])[::-1]
    enough = int((rows_from >= wanted).sum()) - 1
    return max(0, min(max(enough, spare), len(counts) - 1))


def _times(column: Deciding, *, field: str) -> NDArray[np.float64]:
    """Of each row a number that grows with the time."""
    # Rows without a target are not looked at, so neither are their texts.
    used, place = np.unique(column.codes, return_inverse=True)
    numbers = column.cells.as_numbers()
    if all(is_number_text(numbers.texts[code]) for code in used):
        return np.array([float(numbers.texts[code]) for code in used])[place]
    texts = [column.cells.texts[code] for code in used]
    moments = [_moment(text) for text in texts]

    def refuse_first(wrong: Sequence[bool], problem: str) -> None:
        if any(wrong):
            row = int(np.array(wrong)[place].argmax())
            message = f"{quoted(texts[place[row]])} {problem}: correct the cell"
            column.refuse("NotATime", row, message, field=field)

    refuse_first(
        [moment is None for moment in moments],
        "is neither a date such as 2024-05-31 (ISO 8601) nor, as all cells would be then, a number",
    )
    known = [moment for moment in moments if moment is not None]
    zoned = [moment.tzinfo is not None for moment in known]
    if any(zoned):
        refuse_first([not zone for zone in zoned], "has no time zone, and other cells have one")
    return np.array([(moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() for moment in known])[place]


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _side(text: str) -> int:
    lowered = text.lower()
    return _SIDES.index(lowered) if lowered in _SIDES else -1


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
