"""A table as a source: its target, and its columns as examples."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelservice.cells import Missing, column_name, quoted
from modelservice.contract.data import ColumnSettings, ColumnType
from modelservice.contract.documents import Document
from modelservice.contract.failure import DataError
from modelservice.contract.signature import Input
from modelservice.modalities.base import Features, Profile
from modelservice.modalities.errors import InputError
from modelservice.modalities.missing import missing_notes
from modelservice.modalities.scaling import USUAL, NumberRules
from modelservice.modalities.split import target_tokens
from modelservice.modalities.table.columns import blanked, coded, read_column, texts_of
from modelservice.modalities.table.digests import row_digests
from modelservice.modalities.table.encoder import NAME, TableEncoder
from modelservice.modalities.table.encoding import RowEncoder
from modelservice.modalities.table.fitting import fit
from modelservice.modalities.table.kinds.base import Column, TextTokens
from modelservice.modalities.table.separators import NAMES, SEPARATOR_FIELD, name_of
from modelservice.modalities.table.table import Table
from modelservice.modalities.table.written import numbers_of
from modelservice.tasks.base import Target, TargetCells

TARGET_FIELD = "spec.data.target"
FEATURES_FIELD = "spec.data.features"
COLUMNS_FIELD = "spec.data.columns"
_LISTED = 20
_CAUSES = 3


class TableSource:
    """A table that was read."""

    modality = NAME

    def __init__(
        self, table: Table, *, given: NDArray[np.int8] | None = None, reading: TextTokens | None = None
    ) -> None:
        """Take a table.

        Args:
            table: as it was read.
            given: of each row the side of its file, None where no side has files.
            reading: how texts of columns of type Encoded become tokens.
        """
        self.sha256 = table.sha256
        self.given = given
        self._table = table
        self._reading = reading

    @property
    def table(self) -> Table:
        """As it was read."""
        return self._table

    def read_by(self, reading: TextTokens) -> "TableSource":
        """The same, whose texts of columns of type Encoded become these tokens."""
        return TableSource(self._table, given=self.given, reading=reading)

    def target(
        self, name: str, missing: Sequence[str] | None = None, *, unread: NDArray[np.bool_] | None = None
    ) -> TargetCells:
        """The target's cells.

        Raises:
            DataError: there is no such column, or its numbers can be read in two ways.
        """
        return self._cells(self._known(name, reason="TargetNotFound", field=TARGET_FIELD), missing, unread)

    def aside(self, name: str, missing: Sequence[str] | None = None, *, field: str) -> TargetCells:
        """The cells of a column that is neither target nor, by itself, a feature.

        Raises:
            DataError: there is no such column, or its numbers can be read in two ways.
        """
        return self._cells(self._known(name, reason="ColumnNotFound", field=field), missing)

    def _cells(self, name: str, missing: Sequence[str] | None, unread: NDArray[np.bool_] | None = None) -> TargetCells:
        rule, given = Missing.of(missing), self._table.columns[name]
        if unread is not None:
            given = pc.if_else(unread, pa.scalar(None, given.type), given)
        given, blank = blanked(given, rule)
        cells = coded(name, texts_of(given), self._table.place)
        return TargetCells(
            name=name,
            codes=cells.codes,
            texts=cells.texts,
            place=cells.place,
            numbers=numbers_of(
                cells, words=rule.among_numbers, separator=self._table.separator, decimal=self._table.decimal
            ),
            words=rule.among_numbers,
            notes=missing_notes({name: blank}),
        )

    def examples(
        self,
        features: tuple[str, ...],
        target: Target,
        missing: Sequence[str] | None = None,
        columns: Mapping[str, ColumnSettings] | None = None,
        aside: Collection[str] = (),
    ) -> "TableExamples":
        """The columns listed, or all but the target, without those that teach nothing or are to be ignored.

        Raises:
            DataError: there is no such column, none is left, or one cannot be read.
        """
        names, types = self.select(features, target.name, columns, aside)
        read, blank = self._read(names, np.flatnonzero(target.present), Missing.of(missing), types)
        notes = (*self._table.notes, *missing_notes(blank))
        return choose(read, listed=bool(features), target=target.name, notes=notes, missing=missing)

    def select(
        self,
        features: tuple[str, ...],
        target: str,
        columns: Mapping[str, ColumnSettings] | None = None,
        aside: Collection[str] = (),
    ) -> tuple[tuple[str, ...], dict[str, ColumnType]]:
        """Names of the columns that may be features, and the types that are given; for arguments see ``examples``.

        Raises:
            DataError: there is no such column, or one cannot be read.
        """
        known = (self._known(name, reason="FeatureNotFound", field=FEATURES_FIELD) for name in features)
        listed = tuple(dict.fromkeys(known))
        if target in listed:
            message = f"column {target} is the target, and none to predict it from: take it off the features"
            raise DataError("FeatureNotFound", message, field=FEATURES_FIELD)
        types = self._declared(columns or {}, listed=listed, target=target)
        left_out = {target, *aside, *(name for name, type_ in types.items() if type_ is ColumnType.IGNORE)}
        unread = next((name for name in self._table.unreadable if name not in left_out), None)
        if not listed and unread is not None:
            raise self._unreadable(unread, FEATURES_FIELD)
        return listed or tuple(name for name in self._table.columns if name not in left_out), types

    def _declared(
        self, columns: Mapping[str, ColumnSettings], *, listed: Sequence[str], target: str
    ) -> dict[str, ColumnType]:
        """The types that are given, by the table's own names.

        Names that differ only in how Unicode composes them are told apart by the API, and not by a table.
        """
        types: dict[str, ColumnType] = {}
        for spelled, settings in columns.items():
            if settings.type is ColumnType.IGNORE and column_name(spelled) in self._table.unreadable:
                types[column_name(spelled)] = settings.type
                continue
            name = self._known(spelled, reason="ColumnNotFound", field=COLUMNS_FIELD)
            for wrong, words in (
                (name == target, "is the target, which spec.task describes"),
                (name in types, "is given twice"),
                (name in listed and settings.type is ColumnType.IGNORE, f"is one of {FEATURES_FIELD}"),
            ):
                if wrong:
                    message = f"column {name} {words}: take it off {COLUMNS_FIELD}"
                    raise DataError("ColumnNotClear", message, field=COLUMNS_FIELD)
            types[name] = settings.type
        return types

    def _read(
        self, names: Sequence[str], rows: NDArray[np.int64], rule: Missing, types: Mapping[str, ColumnType]
    ) -> tuple[list[Column], dict[str, int]]:
        """Columns of some rows, and how many cells of each are missing by a word for every column."""

        def place(row: int) -> str:
            return self._table.place(int(rows[row]))

        columns, blank, kept = [], {}, pa.array(rows)
        for name in names:
            cells, blank[name] = blanked(self._table.columns[name].take(kept), rule)
            columns.append(
                read_column(
                    name,
                    cells,
                    place=place,
                    separator=self._table.separator,
                    decimal=self._table.decimal,
                    words=rule.among_numbers,
                    declared=types.get(name),
                    reading=self._reading,
                )
            )
        return columns, blank

    def _unreadable(self, name: str, field: str) -> DataError:
        remedy = f"leave it out of the file, list others in {FEATURES_FIELD}, or say type Ignore in {COLUMNS_FIELD}"
        return DataError("NotAColumn", f"{self._table.unreadable[name]}: {remedy}", field=field)

    def _known(self, name: str, *, reason: str, field: str) -> str:
        """The name as the table has it."""
        if (known := column_name(name)) in self._table.unreadable:
            raise self._unreadable(known, field)
        if known not in self._table.columns:
            raise DataError(reason, _not_found(name, self._table, field), field=field)
        return known


@dataclass(frozen=True, kw_only=True, eq=False)
class TableExamples:
    """Columns of the rows that have a target.

    ``hashed`` are those that tell rows apart, ``unused`` names those that have no effect and are inputs all the same,
    ``missing`` is ``spec.data.missing``, ``rules`` say how numbers are scaled.
    """

    columns: tuple[Column, ...]
    hashed: tuple[Column, ...]
    unused: frozenset[str]
    notes: tuple[str, ...]
    missing: Sequence[str] | None = None
    rules: NumberRules = USUAL

    @property
    def features(self) -> int:
        """Number of columns."""
        return len(self.columns)

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        """Columns with how their cells are read."""
        return tuple(sorted(f"{column.told_apart_by} {column.name}" for column in self.hashed))

    def digests(self, target: Target, *, seed: int) -> list[bytes]:
        """A hash of each row's cells and target."""
        return row_digests(self.hashed, target_tokens(target), seed=seed)

    def by_rules(self, rules: NumberRules) -> "TableExamples":
        """The same, with numbers scaled and filled by other rules."""
        return replace(self, rules=rules)

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        """Means, deviations and categories of the training rows.

        Raises:
            DataError: all columns are empty there.
        """
        preprocessing = fit(self.columns, train, unused=self.unused, missing=self.missing, rules=self.rules)
        if preprocessing.width == 0:
            raise DataError("NoFeatures", "all feature columns are empty in the training rows: add rows")
        return preprocessing, TableEncoder(preprocessing).inputs

    def encode(self, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
        """Encode some rows, by the encoder that serving uses.

        Raises:
            DataError: a number is so far from those of the training rows that it is none when standardised.
        """
        return encoded(TableEncoder(preprocessing).rows, [column.take(rows) for column in self.columns])

    def codes(self, preprocessing: Any) -> NDArray[np.bool_] | None:
        """All but the numbers of columns of numbers."""
        codes: NDArray[np.bool_] = preprocessing.codes
        return codes if codes.any() else None

    def profiles(self, preprocessing: Any, rows: NDArray[np.int64]) -> tuple[Profile, ...]:
        """What some rows hold, column by column."""
        return tuple(
            _profile(column, rows, kind=measured.kind, width=measured.width)
            for column, measured in zip(self.columns, preprocessing.columns, strict=True)
        )


def encoded(encoder: RowEncoder, columns: Sequence[Column]) -> Features:
    """Columns that were read, encoded.

    Raises:
        DataError: a number is so far from those of the training rows that it is none when standardised.
    """
    try:
        return encoder.encode_columns({column.name: column.values for column in columns})
    except InputError as error:
        message = f"column {error.column}: {error.message}: correct the cell, or leave it empty if it is not known"
        raise DataError("NotANumber", message) from None


def _profile(column: Column, rows: NDArray[np.int64], *, kind: str, width: int) -> Profile:
    taken = column.take(rows)
    return Profile(
        name=column.name,
        kind=kind,
        width=width,
        missing=taken.missing,
        distinct=taken.distinct,
        variable=lambda: column.take(rows).variable(),
    )


def choose(
    columns: Sequence[Column], *, listed: bool, target: str, notes: tuple[str, ...], missing: Sequence[str] | None
) -> TableExamples:
    """Leave out what teaches nothing; columns that are listed stay inputs, so that no revision has others."""
    useless = {column.name: found for column in columns if (found := column.useless()) is not None}
    if len(useless) == len(columns):
        message = f"no column is left to predict {target} from: add columns that vary"
        causes = [f"{name}: {reason}" for name, (reason, _) in useless.items()]
        why = f" ({'; '.join(causes[:_CAUSES])})" if causes else ""
        raise DataError("NoFeatures", f"{message}{why}", field=FEATURES_FIELD)
    said = [
        f"column {name} has no effect: {reason}" if listed else f"ignored column {name}: {reason}"
        for name, (reason, _) in useless.items()
    ]
    used = [column for column in columns if column.name not in useless]
    for column in used:
        if (refusal := column.refusal()) is not None:
            raise refusal
    # A constant column changes no comparison between rows now, and must not when appended rows make it vary.
    names_rows = {name for name, found in useless.items() if found.names_rows}
    hashed = [column for column in columns if listed or column.name not in names_rows]
    return TableExamples(
        columns=tuple(columns if listed else used),
        hashed=tuple(hashed),
        unused=frozenset(useless),
        notes=(*notes, *said, *(note for column in used for note in column.notes())),
        missing=missing,
    )


def _not_found(name: str, table: Table, field: str) -> str:
    names = list(table.columns)
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    message = f"the table has no column {quoted(name)}; it has {listed}"
    if close := difflib.get_close_matches(name.lower(), [known.lower() for known in names], n=1):
        meant = next(known for known in names if known.lower() == close[0])
        return f"{message}: did you mean {meant}?"
    if any(character in known for known in names for character in NAMES if character != table.separator):
        used = f"columns are separated by {name_of(table.separator)}"
        return f"{message}: {used}; where they are not, set {SEPARATOR_FIELD}"
    return f"{message}: name one of them in {field}"
