"""What identifies a row of a table: a hash of its cells and its target."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.split import framed, number_tokens
from modelservice.modalities.table.kinds.base import Column
from modelservice.modalities.table.kinds.numbers import Numbers

_CHUNK = 8192


def row_digests(columns: Sequence[Column], targets: Sequence[bytes], *, seed: int) -> list[bytes]:
    """Hash each row's content: its cells by column name, and the token of its target."""
    ordered = sorted(columns, key=lambda column: column.name)
    prefix = hashlib.blake2b(key=seed.to_bytes(8, "big"), digest_size=16)
    for column in ordered:
        prefix.update(framed(column.name))
    digests = []
    for start in range(0, len(targets), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        for target, cells in zip(targets[chunk], _cells(ordered, chunk), strict=True):
            state = prefix.copy()
            state.update(target + cells)
            digests.append(state.digest())
    return digests


def _cells(columns: Sequence[Column], rows: slice) -> Iterator[bytes]:
    """The tokens of each row's cells, one after the other."""
    numbers = _matrix(columns, rows)
    if numbers is not None:
        return number_tokens(numbers)
    return map(b"".join, zip(*(column.tokens(rows) for column in columns), strict=True))


def _matrix(columns: Sequence[Column], rows: slice) -> NDArray[np.float64] | None:
    """The cells, float64 [rows, columns], where all are numbers and none is missing."""
    taken = [column.values[rows] for column in columns if isinstance(column, Numbers)]
    if not columns or len(taken) < len(columns):
        return None
    matrix = np.column_stack(taken)
    return None if np.isnan(matrix).any() else matrix
