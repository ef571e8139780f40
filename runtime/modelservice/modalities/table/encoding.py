"""Rows to numbers: the encoder that training and serving share.

The fast paths convert whole batches at once and decide nothing about errors: whatever does not convert goes to
``_explain``, which looks at each cell and names the first wrong one.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import Missing
from modelservice.modalities.base import Features, Measure, Rows
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.kinds.numbers import FAR, as_floats, extent_of, scale
from modelservice.modalities.table.names import Names
from modelservice.modalities.table.preprocessing import TablePreprocessing

Row = Sequence[Any] | Mapping[str, Any]


class Encoded(NamedTuple):
    """float32 [rows, width], and how many values of each column are unlike those of training, where some are.

    Those are categories that it never saw, and numbers that are ``FAR`` from its mean.
    """

    features: Features
    unlike: dict[str, int]


class RowEncoder:
    """Encodes rows after a ``TablePreprocessing``; immutable and safe to share between threads.

    Where all columns are numbers, one matrix is standardised in one step; else each column's own encoder is asked.
    """

    def __init__(self, preprocessing: TablePreprocessing) -> None:
        columns = preprocessing.columns
        self.names = tuple(column.name for column in columns)
        self.width = preprocessing.width
        words = preprocessing.rule.among_numbers
        self._columns = {column.name: (column.width, column.encoder(words)) for column in columns}
        self._pick = _picker(self.names)
        self._spelled = Names(self.names)
        encoders = [encoder for _, encoder in self._columns.values()]
        linear = [encoder.linear for encoder in encoders if encoder.linear is not None]
        used = [at for at, encoder in enumerate(encoders) if encoder.linear is not None]
        self._linear_names = tuple(self.names[at] for at in used)
        self._all_linear = all(encoder.linear is not None or width == 0 for width, encoder in self._columns.values())
        self._used = used if len(used) < len(columns) else None
        self._mean = np.array([one.mean for one in linear])
        self._scale = np.array([1.0 / one.std for one in linear])
        self._fill = np.array([one.fill for one in linear])
        self._limits = np.array([FAR if one.measured else np.inf for one in linear])
        self._largest = min((one.largest for one in linear), default=0.0)
        self._flagged = [at for at, one in enumerate(linear) if one.indicator]
        starts = np.cumsum([0, *(1 + one.indicator for one in linear)])
        self._at, self._flags = starts[:-1], starts[1:][self._flagged] - 1

    def encode_rows(self, rows: Sequence[Row] | NDArray[Any]) -> Features:
        """The features of ``encode_counted``."""
        return self.encode_counted(rows).features

    def encode_counted(self, rows: Sequence[Row] | NDArray[Any]) -> Encoded:
        """Encode rows given as arrays in the order of the columns, or as objects by column name.

        Args:
            rows: the rows; None and NaN are missing values.

        Raises:
            InputError: a row has too few, too many or unknown columns, or a value that is none; names the first.
        """
        if len(rows) == 0:
            return Encoded(np.zeros((0, self.width), dtype=np.float32), {})
        picked: Any = rows
        try:
            if isinstance(rows[0], Mapping):
                picked = self._pick_all(rows)
            if self._all_linear:
                return self._standardise(as_floats(picked))
            if set(map(len, picked)) == {len(self.names)} and not any(isinstance(row, str | Mapping) for row in picked):
                return self._encode(dict(zip(self.names, zip(*picked, strict=True), strict=True)), len(picked))
        except (TypeError, ValueError, KeyError, OverflowError):
            pass  # explained below, with the place
        return self._explain(rows)

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Features:
        """Encode a batch given column by column.

        Args:
            columns: for each column of the model its values, all of one length; None and NaN are missing values.

        Returns:
            float32 [rows, width].

        Raises:
            InputError: a column is missing, unknown or of another length, or a value is none of its kind.
        """
        self._check_names(columns.keys(), row=None)
        lengths = {name: len(values) for name, values in columns.items()}
        rows = lengths[self.names[0]]
        for name, length in lengths.items():
            if length != rows:
                raise InputError(f"has {length} values, but {self.names[0]} has {rows}", column=name)
        return self._encode(columns, rows).features

    def _encode(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]], rows: int) -> Encoded:
        encoded, unlike, at = np.zeros((rows, self.width), dtype=np.float32), {}, 0
        for name, (width, encoder) in self._columns.items():
            if count := encoder.encode(columns[name], encoded[:, at : at + width]):
                unlike[name] = count
            at += width
        return Encoded(encoded, unlike)

    def _pick_all(self, rows: Any) -> list[Any]:
        picked = [self._pick(row) for row in rows]
        if any(len(row) != len(self.names) for row in rows):
            raise KeyError("unknown column")
        return picked

    def _standardise(self, values: NDArray[np.float64]) -> Encoded:
        """The hot path: float64 [rows, columns] to float32, in one pass unless something is missing."""
        if values.ndim != 2 or values.shape[1] != len(self.names):  # noqa: PLR2004
            raise ValueError("shape")
        if self._used is not None:
            values = values[:, self._used]
        scaled = scale(values, self._mean, self._scale)
        if not (extent := extent_of(scaled)) <= self._largest:
            if np.isinf(values).any():
                raise ValueError("infinite")
            scaled = scale(np.where(np.isnan(values), self._fill, values), self._mean, self._scale)
            if not (extent := extent_of(scaled)) <= self._largest:
                raise OverflowError("perhaps too large for its column")
        far = self._count_far(scaled) if extent > FAR else {}
        if not self._flagged:
            return Encoded(scaled.astype(np.float32), far)
        encoded = np.empty((len(values), self.width), dtype=np.float32)
        encoded[:, self._at] = scaled
        encoded[:, self._flags] = np.isnan(values[:, self._flagged])
        return Encoded(encoded, far)

    def _count_far(self, scaled: NDArray[np.float64]) -> dict[str, int]:
        counts = (np.abs(scaled) > self._limits).sum(axis=0).tolist()
        return {name: count for name, count in zip(self._linear_names, counts, strict=True) if count}

    def _explain(self, rows: Sequence[Row] | NDArray[Any]) -> Encoded:
        """Encode cell by cell: raises the error with its place, and takes what the fast paths were too strict for."""
        listed: list[list[Any]] = []
        for index, row in enumerate(rows):
            listed.append(self._listed(row, index))
            for name, value in zip(self.names, listed[-1], strict=True):
                self._columns[name][1].check(value, index)
        return self._encode(dict(zip(self.names, zip(*listed, strict=True), strict=True)), len(listed))

    @property
    def measures(self) -> dict[str, Measure]:
        """What the cells of each column say, by the column's name; of those that have an effect."""
        return {name: encoder.measure for name, (width, encoder) in self._columns.items() if width}

    def listed(self, rows: Sequence[Row] | NDArray[Any]) -> list[list[Any]]:
        """Rows as lists in the order of the columns, whatever their cells hold.

        Raises:
            InputError: a row has too few, too many or unknown columns; names the first.
        """
        return [self._listed(row, index) for index, row in enumerate(rows)]

    def _listed(self, row: Row | NDArray[Any], index: int) -> list[Any]:
        if isinstance(row, Mapping):
            named = self._spelled.keyed(row, row=index)
            self._check_names(named.keys(), row=index)
            return [named[name] for name in self.names]
        if not isinstance(row, Sequence | np.ndarray) or isinstance(row, str | bytes):
            raise InputError("is neither an array of values nor an object of column names and values", row=index)
        if len(row) != len(self.names):
            expected = f"{len(self.names)} ({', '.join(self.names[:16])})"
            raise InputError(f"has {len(row)} values, expected {expected}", row=index)
        return list(row)

    def _check_names(self, names: Any, *, row: int | None) -> None:
        for name in names:
            if name not in self._spelled.known:
                known = ", ".join(self.names[:16])
                raise InputError(f"is not a column of this model, which has {known}", row=row, column=str(name)[:128])
        for name in self.names:
            if name not in names:
                raise InputError("is missing; null stands for an unknown value", row=row, column=name)


def _picker(names: tuple[str, ...]) -> Callable[[Any], Any]:
    if len(names) == 1:
        only = itemgetter(names[0])
        return lambda row: (only(row),)
    return itemgetter(*names)


def blanked(rows: Rows, missing: Missing) -> Rows:
    """Rows of a request without the cells that are missing by a word for every column; wrong rows stay as they are."""
    if not missing.anywhere:
        return rows
    if isinstance(rows, np.ndarray) and rows.dtype.kind == "f":
        with np.errstate(over="ignore"):
            words = np.array(missing.floats, dtype=np.float64).astype(rows.dtype)
        return np.where(np.isin(rows, words[np.isfinite(words)]), np.nan, rows) if words.size else rows
    return [_blanked(row, missing) for row in (rows.tolist() if isinstance(rows, np.ndarray) else rows)]


def _blanked(row: Any, missing: Missing) -> Any:
    if isinstance(row, Mapping):
        return {name: missing.blanked(cell) for name, cell in row.items()}
    if isinstance(row, list | tuple | np.ndarray):
        return [missing.blanked(cell) for cell in (row.tolist() if isinstance(row, np.ndarray) else row)]
    return row
