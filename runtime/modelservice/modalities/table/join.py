"""Several files as one table: their rows one after the other, in the order of the files."""

import bisect
import itertools
from collections.abc import Mapping, Sequence

import pyarrow as pa

from modelservice.cells import quoted
from modelservice.contract.digests import joined
from modelservice.contract.failure import DataError
from modelservice.modalities.table.columns import texts_of
from modelservice.modalities.table.table import Table, check_cells

_NOTES = 20


def join_tables(tables: Mapping[str, Table], *, field: str) -> Table:
    """One table of all rows.

    A column that has another type in another file is one of texts: whole numbers of 20 digits stay what they are.

    Args:
        tables: by the name of the file, at least one.
        field: what errors name as the field to change.

    Raises:
        DataError: a file has other columns than the first, or another separator; or together they are too large.
    """
    (first, head), *others = tables.items()
    last = [*tables][-1]
    for name, table in others:
        _check_alike(first, head, name, table, field)
    check_cells(sum(table.rows for table in tables.values()), len(head.columns), field=field)
    unreadable = {
        column: f"{name}: {reason}"
        for name, table in reversed([*tables.items()])  # of several reasons the first stays
        for column, reason in table.unreadable.items()
    }
    columns = {
        column: _joined([table.columns[column] for table in tables.values()])
        for column in head.columns
        if column not in unreadable
    }
    return Table(
        columns=columns,
        unreadable=unreadable,
        sha256=joined([table.sha256 for table in tables.values()]),
        notes=(f"read {len(tables)} files, {first} the first and {last} the last", *_notes(tables)),
        place=_Places(tables),
        separator=head.separator,
        decimal=head.decimal,
    )


class _Places:
    """Where a row of all files stands: in which, and there."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self._names, self._tables = tuple(tables), tuple(tables.values())
        self._begins = (0, *itertools.accumulate(table.rows for table in self._tables))

    def __call__(self, row: int) -> str:
        at = bisect.bisect_right(self._begins, row) - 1
        return f"{self._names[at]}, {self._tables[at].place(row - self._begins[at])}"


def _check_alike(first: str, head: Table, name: str, table: Table, field: str) -> None:
    known, found = {*head.columns, *head.unreadable}, {*table.columns, *table.unreadable}
    for lacking, having, missing in ((name, first, known - found), (first, name, found - known)):
        if missing:
            message = f"{lacking} has no column {quoted(min(missing))}, which {having} has"
            raise DataError("FilesDiffer", f"{message}: give all files the same columns", field=field)
    if table.separator != head.separator:
        message = f"columns are separated by {table.separator!r} in {name} and by {head.separator!r} in {first}"
        raise DataError("FilesDiffer", f"{message}: write all files in one way", field=field)


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    if len({part.type for part in parts}) > 1:
        parts = [texts_of(part) for part in parts]
    return pa.concat_arrays(parts)


def _notes(tables: Mapping[str, Table]) -> list[str]:
    """What is said of files: once where it is said of all, else with the first of them."""
    files: dict[str, list[str]] = {}
    for name, table in tables.items():
        for note in table.notes:
            files.setdefault(note, []).append(name)
    said = []
    for note, names in files.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        said.append(note if len(names) == len(tables) else f"{note}, in {names[0]}{more}")
    left = len(said) - _NOTES
    return [*said[:_NOTES], f"{left} more notes of single files"] if left > 0 else said
