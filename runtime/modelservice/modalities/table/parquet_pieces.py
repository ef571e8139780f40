"""Parquet files that are too large to be held, read piece by piece, as often as it takes.

Nothing is written anywhere: a piece is some rows of a row group, and the row groups may be asked for in any order.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet

from modelservice.contract.digests import joined
from modelservice.contract.failure import DataError, PassingError
from modelservice.modalities.random_access import RandomAccess
from modelservice.modalities.split import TRAIN
from modelservice.modalities.table.parquet_file import Layout, damaged, layout_of

PIECE_ROWS: Final = 2**14
"""Rows of a piece at most."""
_CELLS, _FEWEST_ROWS = 2**20, 256
"""Cells of a piece, about, and how many rows of a wide table it has all the same."""
_LEAST_BUFFER, _MOST_BUFFER = 2**16, 2**20
"""Bytes of each column that are read ahead; without it, a column of a row group is read whole."""


class Piece(NamedTuple):
    """Some rows: the place of the first in the table, from 0, their cells as in ``Table.columns``, and a side.

    ``side`` is that of their file, ``TRAIN`` where their content decides.
    """

    start: int
    columns: dict[str, pa.Array]
    side: int = TRAIN


class Group(NamedTuple):
    """A row group: of which file, which of it, the place of its first row in the table, and its bytes as they lie."""

    file: str
    number: int
    start: int
    size: int


@dataclass(frozen=True, kw_only=True)
class ParquetPieces:
    """The rows of one or several files, one after the other.

    Attributes:
        files: by name, in order.
        layout: of all of them.
        groups: all row groups, in order.
        rows: how many there are.
        sha256: digest of the content, the one that a table has which is held.
        versions: of each file when it was opened, by name.
        sides: of each file's rows, by name; ``TRAIN`` where their content decides.
        field: what errors name as the field to change.
    """

    files: Mapping[str, RandomAccess]
    layout: Layout
    groups: tuple[Group, ...]
    rows: int
    sha256: str
    versions: Mapping[str, Hashable]
    sides: Mapping[str, int]
    field: str

    def read(self, names: Sequence[str], order: Sequence[int] | None = None) -> Iterator[Piece]:
        """Pieces of some columns.

        Args:
            names: of the columns.
            order: places of row groups, None for all as they stand.

        Raises:
            DataError: a file is damaged.
            PassingError: a file was changed since it was opened.
            OSError: the file system fails.
        """
        opened: str | None = None
        file = None
        for place in range(len(self.groups)) if order is None else order:
            group = self.groups[place]
            if group.file != opened or file is None:
                self._check_unchanged(group.file)
                file, opened = self._open(group.file, len(names)), group.file
            yield from self._group(file, group, names)

    def _open(self, name: str, columns: int) -> pyarrow.parquet.ParquetFile:
        """To read so many columns of; row groups that are not larger than is read ahead are held whole."""
        source = self.files[name]
        return pyarrow.parquet.ParquetFile(
            source.open(),
            buffer_size=min(max(_LEAST_BUFFER, source.ahead // columns), _MOST_BUFFER),
            pre_buffer=max(group.size for group in self.groups if group.file == name) <= source.ahead,
        )

    def _group(self, file: pyarrow.parquet.ParquetFile, group: Group, names: Sequence[str]) -> Iterator[Piece]:
        schema, start = file.schema_arrow, group.start
        columns = {name: self.layout.columns[name] for name in names}
        stored = [schema.names[at] for at, _ in columns.values()]
        with told_as_damaged(self.field):
            rows = min(PIECE_ROWS, max(_FEWEST_ROWS, _CELLS // len(stored)))
            batches = file.iter_batches(rows, [group.number], columns=stored, use_threads=False)
            for batch in batches:
                cells = {
                    name: convert(_plain(name, batch.column(schema.names[at]), self.field))
                    for name, (at, convert) in columns.items()
                }
                yield Piece(start, cells, self.sides[group.file])
                start += batch.num_rows

    def _check_unchanged(self, name: str) -> None:
        if self.files[name].version() != self.versions[name]:
            raise PassingError("DataChanged", f"{name} was changed while it was read", field="spec.data")


def open_pieces(files: Mapping[str, RandomAccess], *, sides: Mapping[str, int], field: str) -> ParquetPieces:
    """Look at the files, and hash them.

    Args:
        files: by name, at least one.
        sides: of each file's rows, by name; ``TRAIN`` where their content decides.
        field: what errors name as the field to change.

    Raises:
        DataError: a file is damaged, or has other columns than the first, or of another type.
        OSError: the file system fails.
    """
    versions = {name: one.version() for name, one in files.items()}
    groups: list[Group] = []
    first: tuple[str, pa.Schema] | None = None
    rows = 0
    for name, one in files.items():
        with told_as_damaged(field):
            file = pyarrow.parquet.ParquetFile(one.open())
            schema, metadata = file.schema_arrow.remove_metadata(), file.metadata
        first = first or (name, schema)
        if schema != first[1]:
            message = f"{name} has other columns than {first[0]}, or of other types, and there is no room to join them"
            raise DataError("FilesDiffer", f"{message}: give all files the same columns", field=field)
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            size = sum(group.column(at).total_compressed_size for at in range(group.num_columns))
            groups.append(Group(name, number, rows, size))
            rows += group.num_rows
    assert first is not None  # noqa: S101 - at least one file
    layout = layout_of(first[1], field=field)
    if len(files) > 1:
        said = f"read {len(files)} files, {first[0]} the first and {[*files][-1]} the last"
        layout = layout._replace(notes=(said, *layout.notes))
    return ParquetPieces(
        files=files,
        layout=layout,
        groups=tuple(groups),
        rows=rows,
        sha256=joined([one.sha256() for one in files.values()]),
        versions=versions,
        sides=sides,
        field=field,
    )


@contextmanager
def told_as_damaged(field: str) -> Iterator[None]:
    """What arrow says of a file becomes a ``DataError``; what a file system says stays, since it may pass."""
    try:
        yield
    except pa.ArrowMemoryError:
        raise
    except pa.ArrowException as error:
        raise damaged(error, field=field) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise damaged(error, field=field) from None


def _plain(name: str, array: pa.Array, field: str) -> pa.Array:
    """An array without a dictionary, whose texts are texts."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        message = f"column {name} holds bytes that are not UTF-8 text: write it again"
        raise DataError("NotUTF8", message, field=field) from None
    return array
