"""One pass over a table that is read piece by piece: which side each row is on, and what its columns hold there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.split import Split as Shares
from modelservice.modalities.dividing import copied_note
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
"""Bytes of the rows of a side that are held, as float32 numbers."""
_AT_ONCE: Final = 2
"""Times as many before those are let go that are too many."""
_COMPARED: Final = 2**17
"""Rows of all sides, about, of which copies are looked for."""
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
        copied: what is said of test rows that equal rows that are learned from, where sides have files of their own.
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
    copied: tuple[str, ...]


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
        found.add(piece.start + rows, reader.read(piece, rows), values[rows], piece.side)
    return found.measured()


class _Pass:
    """What was found so far."""

    def __init__(
        self, rows: int, reader: PieceReader, target: StreamedTarget, hashed: Sequence[str], shares: Shares
    ) -> None:
        self._labels, self._hashed, self._seed = target.target.labels, frozenset(hashed), shares.seed
        self._dividing = Dividing(**shares.shares)
        self._copies = None if shares.files is None else _Copies(rows)
        self._sides = np.full(rows, NO_SIDE, dtype=np.int8)
        self._classes = np.zeros((len(SIDES), max(1, len(self._labels))), dtype=np.int64)
        self._numbers = {name: NumberSurvey() for name in reader.names if name not in reader.coded}
        self._texts = {name: np.zeros(len(one.texts) + 1, dtype=np.int64) for name, one in reader.coded.items()}
        self._blank = dict.fromkeys(reader.names, 0)
        self._range = (np.nan, np.nan)
        self._within, self._between = Moments(), Moments()
        self._held = {side: _Lowest(max(1, size // (_FLOAT32 * len(reader.names)))) for side, size in _HELD.items()}

    def add(self, places: NDArray[np.int64], read: PieceColumns, values: NDArray[Any], side: int) -> None:
        """Look at further rows, of which all have a target, and all are of a file of that side."""
        for name, count in read.blank.items():
            self._blank[name] += count
        hashed = [column for column in read.columns if column.name in self._hashed]
        strata = values if self._labels else np.zeros(len(values), dtype=np.int64)
        given = Target(name="", values=values, present=values == values, strata=strata, labels=self._labels)  # noqa: PLR0124
        digests = row_digests(hashed, target_tokens(given), seed=self._seed)
        if side == TRAIN:
            sides = self._dividing.sides(digests, strata.tolist())
        else:
            sides = np.full(len(values), side, dtype=np.int8)
        if self._copies is not None:
            self._copies.add(digests, sides)
        self._sides[places] = sides
        for at, one in enumerate(SIDES):
            self._classes[at] += np.bincount(strata[sides == one], minlength=self._classes.shape[1])
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
        drawn = _drawn(digests, places)
        for one, held in self._held.items():
            rows = np.flatnonzero(sides == one)
            held.add(drawn[rows], values[rows], {name: array[rows] for name, array in cells.items()})

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
            sample=_sample([self._held[side].taken() for side in SIDES]),
            copied=() if self._copies is None else self._copies.note,
        )

    def _add_order(self, values: NDArray[np.float64]) -> None:
        """Means of runs of rows vary as much as single rows do where rows stand in an order of the target."""
        self._within = self._within.and_of(values)
        runs = values[: len(values) // _RUN * _RUN].reshape(-1, _RUN)
        self._between = self._between.and_of(runs.mean(axis=1))


class _Copies:
    """Test rows that equal rows of other sides, of all rows whose hash is low: equal ones are looked at together."""

    def __init__(self, rows: int) -> None:
        self._share = min(1.0, _COMPARED / max(rows, 1))
        self._learned, self._tested = set[bytes](), list[bytes]()

    def add(self, digests: list[bytes], sides: NDArray[np.int8]) -> None:
        """Look at further rows."""
        for row in np.flatnonzero(_spare(digests) < self._share * 2.0**64).tolist():
            if sides[row] == TEST:
                self._tested.append(digests[row])
            else:
                self._learned.add(digests[row])

    @property
    def note(self) -> tuple[str, ...]:
        """What is said of them, as of all rows."""
        copies = sum(digest in self._learned for digest in self._tested)
        return copied_note(round(copies / self._share), exact=self._share == 1)


class _Some(NamedTuple):
    """Some rows: what was drawn for each, [0, 2**64), its value of the target, and its cells by column."""

    drawn: NDArray[np.uint64]
    values: NDArray[Any]
    cells: Mapping[str, NDArray[Any]]


class _Lowest:
    """So many rows for which the lowest numbers were drawn, or all where there are no more."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._parts, self._limit = wanted, list[_Some](), np.uint64(2**64 - 1)

    def add(self, drawn: NDArray[np.uint64], values: NDArray[Any], cells: Mapping[str, NDArray[Any]]) -> None:
        """Look at further rows."""
        rows = np.flatnonzero(drawn <= self._limit)
        self._parts.append(_Some(drawn[rows], values[rows], {name: array[rows] for name, array in cells.items()}))
        if sum(len(part.drawn) for part in self._parts) > _AT_ONCE * self._wanted:
            kept = self.taken()
            self._parts, self._limit = [kept], kept.drawn.max()

    def taken(self) -> _Some:
        """The rows, in the order in which they came."""
        drawn = np.concatenate([part.drawn for part in self._parts])
        rows = np.sort(np.argsort(drawn, kind="stable")[: self._wanted])
        return _Some(
            drawn[rows],
            np.concatenate([part.values for part in self._parts])[rows],
            {name: np.concatenate([part.cells[name] for part in self._parts])[rows] for name in self._parts[0].cells},
        )


def _drawn(digests: list[bytes], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A number for each row by a part of its hash that decides nothing else, and by its place: copies differ.

    It is the one of SplitMix64 (Steele et al., 2014) at that place, whose seed is the part of the hash.
    """
    mixed: NDArray[np.uint64] = _spare(digests) + places.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _spare(digests: list[bytes]) -> NDArray[np.uint64]:
    """The part of each row's hash that does not decide its side."""
    return np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 2)[:, 1].astype(np.uint64)


def _sample(sides: Sequence[_Some]) -> Sample:
    ends = np.cumsum([len(side.drawn) for side in sides])
    train, validation, test = np.split(np.arange(ends[-1]), ends[:-1])
    return Sample(
        cells={name: np.concatenate([side.cells[name] for side in sides]) for name in sides[0].cells},
        values=np.concatenate([side.values for side in sides]),
        split=Split(train=train, validation=validation, test=test),
    )


def wider(known: tuple[float, float], values: NDArray[np.float64]) -> tuple[float, float]:
    """A range that holds further values, NaN aside; (NaN, NaN) is that of none."""
    found = values[~np.isnan(values)]
    if not len(found):
        return known
    return float(np.fmin(known[0], found.min())), float(np.fmax(known[1], found.max()))
