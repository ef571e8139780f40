"""A table that is too large to be held: measured in one pass, and read anew for each epoch.

Rows are on the sides that they would be on if the table were held, and columns are measured on all training rows. What
else looks at rows, such as reports and the choice of the epoch, looks at some of each side, chosen by their hash.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from modelservice.cells import Missing
from modelservice.contract.data import ColumnType, Data
from modelservice.contract.failure import DataError
from modelservice.contract.split import Split as Shares
from modelservice.contract.task import Imbalance
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, Side
from modelservice.modalities.dataset import Divided, absent_note, encode_by
from modelservice.modalities.dividing import check_files, check_tested, check_training, untested_notes
from modelservice.modalities.missing import missing_notes
from modelservice.modalities.random_access import RandomAccess
from modelservice.modalities.scaling import NumberRules
from modelservice.modalities.split import TEST, TRAIN, Split
from modelservice.modalities.table.coded import CodedColumn, PieceReader, check_counted, is_coded
from modelservice.modalities.table.columns import blanked, texts_of
from modelservice.modalities.table.encoder import NAME, TableEncoder
from modelservice.modalities.table.encoding import RowEncoder
from modelservice.modalities.table.fitting import measure
from modelservice.modalities.table.kinds.base import Column
from modelservice.modalities.table.kinds.number import NumericColumn
from modelservice.modalities.table.measuring import SIDES, Measured, measure_pieces
from modelservice.modalities.table.moments import MeasuredColumn
from modelservice.modalities.table.parquet_pieces import ParquetPieces, open_pieces
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.table.source import COLUMNS_FIELD, TableExamples, TableSource, choose, encoded
from modelservice.modalities.table.streamed_target import StreamedTarget, read_target
from modelservice.modalities.table.survey import TextCounts
from modelservice.modalities.table.table import Table
from modelservice.tasks.base import Target

MAX_HELD: Final = 2**27
"""Bytes of a table as float32 numbers, rows x columns x 4, from which on it is not held."""
_FLOAT32: Final = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class TableStream:
    """A ``modalities.base.Stream``.

    Attributes:
        rows: how many there are of training, validation and test.
        classes: how many of them each class has, int64 [3, classes]; None of numbers.
    """

    rows: tuple[int, int, int]
    classes: NDArray[np.int64] | None
    pieces: ParquetPieces
    reader: PieceReader
    target: StreamedTarget
    sides: NDArray[np.int8]
    encoder: RowEncoder

    def training(self, seed: int) -> Iterator[Side]:
        """The training rows: row groups in an order that the seed decides, each as it stands."""
        order = np.random.default_rng(seed).permutation(len(self.pieces.groups))
        return self._of_side(TRAIN, order.tolist())

    def test(self) -> Iterator[Side]:
        """The test rows as they stand."""
        return self._of_side(TEST, None)

    def _of_side(self, side: int, order: Sequence[int] | None) -> Iterator[Side]:
        name = self.target.target.name
        for piece in self.pieces.read((*self.reader.names, name), order):
            cells = piece.columns[name]
            rows = np.flatnonzero(self.sides[piece.start : piece.start + len(cells)] == side)
            if len(rows):
                values, _ = self.target.read(cells, piece.start)
                columns = self.reader.read(piece, rows).columns
                yield Side(features=encoded(self.encoder, columns), values=values[rows])


class StreamedTable:
    """Parquet files that are read piece by piece; a ``Source`` of which nothing is asked but ``measured``."""

    modality = NAME
    given = None

    def __init__(self, pieces: ParquetPieces) -> None:
        self.sha256 = pieces.sha256
        self._pieces = pieces

    def target(self, *_: Any, **__: Any) -> NoReturn:
        """It cannot be held.

        Raises:
            DataError: always.
        """
        raise _too_large("what was asked for needs all rows at once")

    def refuse(self, field: str) -> NoReturn:
        """Say that a field needs all rows at once.

        Raises:
            DataError: always.
        """
        raise _too_large(f"{field} needs all rows at once", field=field)

    def aside(self, name: str, missing: Sequence[str] | None = None, *, field: str) -> NoReturn:  # noqa: ARG002
        """See ``target``."""
        raise _too_large(f"{field} needs all rows at once")

    def examples(self, *_: Any, **__: Any) -> NoReturn:
        """See ``target``."""
        raise _too_large("what was asked for needs all rows at once")

    def measured(self, data: Data, task: AskedTask | None) -> tuple[Divided, Dataset]:
        """Some rows, divided, and the dataset with the stream of all; for arguments see ``build_dataset``.

        Raises:
            DataError: the data does not hold what ``spec.data`` says, nothing can be learned from it, or something is
                asked for that needs all rows at once.
            PassingError: it was changed while it was read.
            OSError: the file system fails.
        """
        _check_asked(data, task)
        empty = self._head()
        head = TableSource(empty)
        names, types = head.select(data.features, head.target(data.target).name, data.columns)
        target = read_target(self._pieces, head.target(data.target).name, data.missing, task)
        counted = [name for name in names if is_coded(empty.columns[name].type, types.get(name))]
        reader = self._reader(names, counted, types, target, Missing.of(data.missing))
        hashed = [name for name in names if data.features or not _names_rows(reader.coded.get(name))]
        found = measure_pieces(self._pieces, reader, target, hashed, data.split)
        notes = (*self._pieces.layout.notes, *missing_notes(found.blank))
        known = [_surveyed(name, reader.coded, found) for name in names]
        examples = choose(
            known, listed=bool(data.features), target=target.target.name, notes=notes, missing=data.missing
        )
        return self._learnable(reader, target, found, examples, data.split)

    def _head(self) -> Table:
        """The table without rows: its names and types."""
        layout, piece = self._pieces.layout, next(self._pieces.read(tuple(self._pieces.layout.columns)))
        columns = {name: cells[:0] for name, cells in piece.columns.items()}
        return Table(columns=columns, unreadable=layout.unreadable, sha256=self.sha256, notes=layout.notes)

    def _reader(
        self,
        names: tuple[str, ...],
        counted: Sequence[str],
        types: Mapping[str, ColumnType],
        target: StreamedTarget,
        rule: Missing,
    ) -> PieceReader:
        """Look at all cells of columns of texts, which are counted."""
        counts = {name: TextCounts() for name in counted}
        if counts:
            for piece in self._pieces.read((*counts, target.target.name)):
                _, present = target.read(piece.columns[target.target.name], piece.start)
                rows = np.flatnonzero(present)
                for name, texts in counts.items():
                    cells, _ = blanked(piece.columns[name].take(pa.array(rows)), rule)
                    texts.add(texts_of(cells), piece.start + rows)
                    check_counted(name, texts, field=COLUMNS_FIELD)
        coded = {name: CodedColumn.of(name, texts, rule, types.get(name)) for name, texts in counts.items()}
        return PieceReader(names=names, coded=coded, rule=rule)

    def _learnable(
        self, reader: PieceReader, target: StreamedTarget, found: Measured, examples: TableExamples, shares: Shares
    ) -> tuple[Divided, Dataset]:
        held, split = found.sample, found.sample.split
        said = _check_sides(target.target, found, shares)
        sampled = {name: _held(name, reader.coded, found) for name in reader.names}
        examples = replace(
            examples,
            columns=tuple(sampled[column.name] for column in examples.columns),
            hashed=tuple(sampled[column.name] for column in examples.hashed),
        )
        trained = [_trained(column, reader.coded, found, split.train) for column in examples.columns]
        measured = tuple(measure(column, unused=examples.unused) for column in trained)
        missing = None if examples.missing is None else tuple(examples.missing)
        preprocessing = TablePreprocessing(columns=measured, missing=missing)
        if preprocessing.width == 0:
            raise DataError("NoFeatures", "all feature columns are empty in the training rows: add rows")
        encoder = TableEncoder(preprocessing)
        used = tuple(column.name for column in examples.columns)
        stream = TableStream(
            rows=found.rows,
            classes=found.classes if target.target.labels else None,
            pieces=self._pieces,
            reader=replace(reader, names=used),
            target=target,
            sides=found.sides,
            encoder=encoder.rows,
        )
        rows = Target(
            name=target.target.name,
            values=held.values,
            present=np.ones(len(held.values), dtype=np.bool_),
            strata=held.values if target.target.labels else np.zeros(len(held.values), dtype=np.int64),
            labels=target.target.labels,
            notes=target.target.notes,
        )
        dropped = absent_note(found.dropped, rows.name)
        notes = (*target.notes, *examples.notes, *dropped, *said, *_streamed_notes(self._pieces, found))
        divided = Divided(
            modality=NAME,
            sha256=self.sha256,
            task=target.task,
            target=rows,
            examples=examples,
            split=split,
            keys=None,
            weights=None,
            dropped=found.dropped,
            notes=notes,
        )
        dataset = encode_by(preprocessing, encoder.inputs, divided, split)
        return divided, replace(dataset, rows=sum(found.rows), stream=stream)


def stream_parquet(files: Mapping[str, RandomAccess], *, sides: Mapping[str, int], field: str) -> StreamedTable | None:
    """A table that is read piece by piece, where it is too large to be held; None where it is not.

    Args:
        files: by name, at least one.
        sides: of each file's rows, by name; ``TRAIN`` where their content decides.
        field: what errors name as the field to change.

    Raises:
        DataError: the files do not belong together.
        StageError: a store fails, or refuses.
        OSError: the file system fails.
    """
    cells = 0
    for file in files.values():
        try:
            with file.open() as opened:
                found = pyarrow.parquet.read_metadata(opened)
        except (pa.ArrowException, OSError):
            return None  # gzip, or no such file, or none of Parquet: whoever reads it says so
        cells += found.num_rows * found.num_columns
    return StreamedTable(open_pieces(files, sides=sides, field=field)) if cells * _FLOAT32 > MAX_HELD else None


def _check_asked(data: Data, task: AskedTask | None) -> None:
    split = data.split
    classes = None if task is None else task.classification
    rules = NumberRules.of(data)
    for field, asked in (
        (rules.changed or "", rules.changed is not None),
        ("spec.data.sampleWeight", data.sample_weight is not None),
        ("spec.data.text", data.text is not None),
        ("spec.data.encoder", data.encoder is not None),
        ("spec.data.split.groupBy", split.group_by is not None),
        ("spec.data.split.timeColumn", split.time_column is not None),
        ("spec.data.split.column", split.column is not None),
        ("spec.data.split.folds", split.folds is not None),
        ("spec.task.classification.imbalance", classes is not None and classes.imbalance is not Imbalance.NONE),
    ):
        if asked:
            raise _too_large(f"{field} needs all rows at once", field=field)


def _too_large(why: str, *, field: str = "spec.data") -> DataError:
    message = f"the table has more than {MAX_HELD} bytes as numbers, so it is not held, and {why}"
    return DataError("TableNotHeld", f"{message}: leave that out, or give fewer rows", field=field)


def _names_rows(coded: CodedColumn | None) -> bool:
    useless = None if coded is None else coded.column.useless()
    return useless is not None and useless.names_rows


def _surveyed(name: str, coded: Mapping[str, CodedColumn], found: Measured) -> Column:
    """A column that holds what all rows do, as far as that decides whether anything can be learned from it."""
    if name in coded:
        return coded[name].column
    return NumericColumn(name=name, values=np.array(found.numbers[name].range))


def _held(name: str, coded: Mapping[str, CodedColumn], found: Measured) -> Column:
    """The rows of a column that are held."""
    cells = found.sample.cells[name]
    return coded[name].of_rows(cells) if name in coded else NumericColumn(name=name, values=cells)


def _trained(column: Column, coded: Mapping[str, CodedColumn], found: Measured, train: NDArray[np.int64]) -> Column:
    """What a column is measured by."""
    if column.name in coded:
        return coded[column.name].counted(found.texts[column.name])
    held = found.sample.cells[column.name][train]
    return MeasuredColumn(name=column.name, values=held, moments=found.numbers[column.name].moments)


def _check_sides(target: Target, found: Measured, shares: Shares) -> tuple[str, ...]:
    """Refuse sides of all rows as those of a table that is held, and say what they are and cannot promise.

    Raises:
        DataError: a side has no rows, or nothing can be learned from the training rows.
    """
    files = () if shares.files is None else (check_files(found.rows, target, shares),)
    if target.labels:
        side, values = np.nonzero(found.classes)
    else:
        train, *others = (number for number, rows in enumerate(found.rows) if rows)
        side = np.array([train, train, *others])
        values = np.array([*found.target_range, *(0.0 for _ in others)])
    train_rows, validation, test = (np.flatnonzero(side == number) for number in range(len(SIDES)))
    split = Split(train=train_rows, validation=validation, test=test)
    some = replace(target, values=values)
    said = (*files, *untested_notes(split, some), *found.copied) if files else check_tested(split, some)
    check_training(split, some)
    return said


def _streamed_notes(pieces: ParquetPieces, found: Measured) -> tuple[str, ...]:
    split = found.sample.split
    held = f"{len(split.train)}, {len(split.validation)} and {len(split.test)}"
    said = (
        f"the table has more than {MAX_HELD} bytes as numbers and is read anew for each epoch; of its training,"
        f" validation and test rows {held} are held, chosen by their hash: these choose the epoch and are what reports"
        " look at"
    )
    if not found.is_ordered:
        return (said,)
    order = (
        f"rows that follow each other have similar values of the target, and are shuffled within {len(pieces.groups)}"
        " row groups only: write the file in a random order for a better model"
    )
    return (said, order)
