"""One pass over a table that is read piece by piece: which side each row is on, and what its columns hold there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import Split as Shares
from modelservice.modalities.split import TEST, TRAIN, VALIDATION, Dividing, Split, target_tokens
from modelservice.modalities.table.coded import PieceColumns, PieceReader
from modelservice.modalities.table.digests import row_digests
from modelservice.modalities.table.moments import Moments
from modelservice.modalities.table.parquet_pieces import ParquetPieces
from modelservice.modalities.table.streamed_target import StreamedTarget
from modelservice.tasks.base import Target

SIDES: Final = (TRAIN, VALIDATION, TEST)
"""In the order of all that is counted by side."""
NO_SIDE: Final = -1
"""Of rows without a target."""
_HELD: Final = {TRAIN: 2**22, VALIDATION: 2**23, TEST: 2**22}
"""Bytes of the rows of a side that are held, as float32 numbers, about."""
_MOST: Final = 2
"""Times as many at most: equal rows have one hash, and are chosen together."""
_RUN: Final = 256
"""Rows that follow each other, of which the mean target is looked at."""
_ORDERED: Final = 0.2
"""Share of the target's variance that lies between runs, from which on rows stand in an order of it."""
_FLOAT32: Final = 4

_NONE: Final = Moments()


@dataclass(frozen=True, kw_only=True)
class NumberSurvey:
    """A column of numbers: the range of all rows (NaN, NaN of none), and what is known of the training rows."""

    range: tuple[float, float] = (np.nan, np.nan)
    moments: Moments = _NONE

    def and_of(self, values: NDArray[np.float64], train: NDArray[np.int64]) -> "NumberSurvey":
        """With further rows, of which some are training rows."""
        return NumberSurvey(range=wider(self.range, values), moments=self.moments.and_of(values[train]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """Rows that are held: those of training, then validation, then test.

    Attributes:
        cells: numbers float64 [rows], or codes of texts int64 [rows], by column.
        values: of the target [rows].
        split: places of each side's rows.
    """

    cells: Mapping[str, NDArray[Any]]
    values: NDArray[Any]
    split: Split


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """What a pass found.

    Attributes:
        sides: of each row, ``NO_SIDE`` without a target, int8 [rows].
        rows: how many each side has.
        dropped: how many have no target.
        classes: how many rows of each side each class has, int64 [3, classes]; of numbers [3, 1].
        target_range: of the target in training rows.
        is_ordered: whether rows that follow each other have similar targets.
        numbers: of each column of numbers.
        texts: how often each code comes in training rows, missing ones last, of each column of texts.
        blank: how many cells of each column are missing by a word for every column.
        sample: some rows.
    """

    sides: NDArray[np.int8]
    rows: tuple[int, int, int]
    dropped: int
    classes: NDArray[np.int64]
    target_range: tuple[float, float]
    is_ordered: bool
    numbers: Mapping[str, NumberSurvey]
    texts: Mapping[str, NDArray[np.int64]]
    blank: Mapping[str, int]
    sample: Sample


def measure_pieces(
    pieces: ParquetPieces, reader: PieceReader, target: StreamedTarget, hashed: Sequence[str], shares: Shares
) -> Measured:
    """Look at all rows.

    Args:
        pieces: the table.
        reader: of its columns.
        target: what is predicted.
        hashed: columns that tell rows apart.
        shares: ``spec.data.split``.

    Raises:
        DataError: a cell cannot be read.
        PassingError: the data was changed.
    """
    found = _Pass(pieces.rows, reader, target, hashed, shares)
    for piece in pieces.read((*reader.names, target.target.name)):
        values, present = target.read(piece.columns[target.target.name], piece.start)
        rows = np.flatnonzero(present)
        found.add(piece.start + rows, reader.read(piece, rows), values[rows])
    return found.measured()


class _Pass:
    """What was found so far."""

    def __init__(
        self, rows: int, reader: PieceReader, target: StreamedTarget, hashed: Sequence[str], shares: Shares
    ) -> None:
        self._labels, self._hashed, self._seed = target.target.labels, frozenset(hashed), shares.seed
        self._dividing = Dividing(validation=shares.validation, test=shares.test)
        self._sides = np.full(rows, NO_SIDE, dtype=np.int8)
        self._classes = np.zeros((len(SIDES), max(1, len(self._labels))), dtype=np.int64)
        self._numbers = {name: NumberSurvey() for name in reader.names if name not in reader.coded}
        self._texts = {name: np.zeros(len(one.texts) + 1, dtype=np.int64) for name, one in reader.coded.items()}
        self._blank = dict.fromkeys(reader.names, 0)
        self._range = (np.nan, np.nan)
        self._within, self._between = Moments(), Moments()
        self._sample = _Sampling(rows, columns=len(reader.names), shares=shares)

    def add(self, places: NDArray[np.int64], read: PieceColumns, values: NDArray[Any]) -> None:
        """Look at further rows, of which all have a target."""
        for name, count in read.blank.items():
            self._blank[name] += count
        hashed = [column for column in read.columns if column.name in self._hashed]
        strata = values if self._labels else np.zeros(len(values), dtype=np.int64)
        given = Target(name="", values=values, present=values == values, strata=strata, labels=self._labels)  # noqa: PLR0124
        digests = row_digests(hashed, target_tokens(given), seed=self._seed)
        sides = self._dividing.sides(digests, strata.tolist())
        self._sides[places] = sides
        for at, side in enumerate(SIDES):
            self._classes[at] += np.bincount(strata[sides == side], minlength=self._classes.shape[1])
        train = np.flatnonzero(sides == TRAIN)
        self._range = wider(self._range, values[train].astype(np.float64))
        self._add_order(values.astype(np.float64))
        for name, codes in read.codes.items():
            size = len(self._texts[name])
            self._texts[name] += np.bincount(codes[train] % size, minlength=size)  # -1, a missing one, is the last
        cells: dict[str, NDArray[Any]] = dict(read.codes)
        for column in read.columns:
            if column.name in self._numbers:
                cells[column.name] = numbers = np.asarray(column.values, dtype=np.float64)
                self._numbers[column.name] = self._numbers[column.name].and_of(numbers, train)
        self._sample.add(cells, values, sides, digests)

    def measured(self) -> Measured:
        """What was found in all."""
        counts = self._classes.sum(axis=1).tolist()
        return Measured(
            sides=self._sides,
            rows=(counts[0], counts[1], counts[2]),
            dropped=int((self._sides == NO_SIDE).sum()),
            classes=self._classes,
            target_range=self._range,
            is_ordered=self._between.std**2 > _ORDERED * self._within.std**2,
            numbers=self._numbers,
            texts=self._texts,
            blank=self._blank,
            sample=self._sample.taken(),
        )

    def _add_order(self, values: NDArray[np.float64]) -> None:
        """Means of runs of rows vary as much as single rows do where rows stand in an order of the target."""
        self._within = self._within.and_of(values)
        runs = values[: len(values) // _RUN * _RUN].reshape(-1, _RUN)
        self._between = self._between.and_of(runs.mean(axis=1))


class _Sampling:
    """Rows that are held, chosen by a part of their hash that decides nothing else."""

    def __init__(self, rows: int, *, columns: int, shares: Shares) -> None:
        of_side = {VALIDATION: shares.validation, TEST: shares.test, TRAIN: 1 - shares.validation - shares.test}
        self._wanted = {side: size // (_FLOAT32 * columns) for side, size in _HELD.items()}
        self._shares = {side: wanted / max(1.0, rows * of_side[side]) for side, wanted in self._wanted.items()}
        self._cells: dict[int, list[dict[str, NDArray[Any]]]] = {side: [] for side in SIDES}
        self._values: dict[int, list[NDArray[Any]]] = {side: [] for side in SIDES}

    def add(
        self, cells: Mapping[str, NDArray[Any]], values: NDArray[Any], sides: NDArray[np.int8], digests: list[bytes]
    ) -> None:
        """Choose among further rows."""
        drawn = np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 2)[:, 1] / 2.0**64
        for side in SIDES:
            left = _MOST * self._wanted[side] - sum(map(len, self._values[side]))
            rows = np.flatnonzero((sides == side) & (drawn < self._shares[side]))[: max(0, left)]
            self._cells[side].append({name: array[rows] for name, array in cells.items()})
            self._values[side].append(values[rows])

    def taken(self) -> Sample:
        """All that were chosen."""
        parts = [part for side in SIDES for part in self._cells[side]]
        ends = np.cumsum([sum(map(len, self._values[side])) for side in SIDES])
        train, validation, test = np.split(np.arange(ends[-1]), ends[:-1])
        return Sample(
            cells={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
            values=np.concatenate([values for side in SIDES for values in self._values[side]]),
            split=Split(train=train, validation=validation, test=test),
        )


def wider(known: tuple[float, float], values: NDArray[np.float64]) -> tuple[float, float]:
    """A range that holds further values, NaN aside; (NaN, NaN) is that of none."""
    found = values[~np.isnan(values)]
    if not len(found):
        return known
    return float(np.fmin(known[0], found.min())), float(np.fmax(known[1], found.max()))
