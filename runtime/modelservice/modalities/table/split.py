"""Dividing rows into training, validation and test by their content.

A row's content and the seed are hashed to a number in [0, 1), and its place there decides: test, validation or
training. What a row is compared with does not change when others come, so

1. equal rows are on the same side: no copy of a training row is tested;
2. rows appended to the table move no other row: revisions stay comparable. But not those that repeat a text of a
   column in which every text differed: it identified rows and was left out, and is compared from then on;
3. columns in another order, or the same table as a frame, give the same sides; rows in another order do, but for (4).

4. Each class shall be on each side, which no function of a row alone can promise: it puts a class of three rows on one
   side now and then, and what moved one of them later would break (2). So the first three *different* rows of each
   class, in the order of the table, go to training, test and validation, and all others by their hash. That depends
   on earlier rows only, which is why (1) and (2) still hold. The limit: another order of the rows moves at most six
   rows of each class (three lose their place by order, three get one), and a class with two different rows has none
   in validation, with one none in test.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.data.cells import MISSING_WORDS, as_number
from modelservice.data.columns import Column, NumericColumn

Rows = NDArray[np.int64]

_TRAIN, _TEST, _VALIDATION = 0, 1, 2
_FIRST = (_TRAIN, _TEST, _VALIDATION)
_CHUNK = 8192


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Indices of the rows of each side, ascending."""

    train: Rows
    validation: Rows
    test: Rows


def divide(digests: Sequence[bytes], classes: Sequence[int], *, validation: float, test: float) -> Split:
    """Assign each row to a side.

    Args:
        digests: what identifies a row's content, its class included: uniformly distributed, at least 8 bytes.
        classes: the class of each row.
        validation: share of rows for validation.
        test: share of rows for the test.
    """
    side_of: dict[bytes, int] = {}
    different: dict[int, int] = {}
    sides = np.empty(len(digests), dtype=np.int8)
    for row, (digest, label) in enumerate(zip(digests, classes, strict=True)):
        if digest not in side_of:
            rank = different.get(label, 0)
            different[label] = rank + 1
            side_of[digest] = _FIRST[rank] if rank < len(_FIRST) else _by_hash(digest, validation, test)
        sides[row] = side_of[digest]
    train, tested, validated = (np.flatnonzero(sides == side) for side in _FIRST)
    return Split(train=train, validation=validated, test=tested)


def row_digests(columns: Sequence[Column], labels: Sequence[str], *, seed: int) -> list[bytes]:
    """Hash each row's content: its cells by column name, and its label.

    A cell that is a number counts as that number however it is written and whatever the rest of its column holds, so
    that rows appended later cannot change the hash of the others.
    """
    ordered = sorted(columns, key=lambda column: column.name)
    prefix = hashlib.blake2b(key=seed.to_bytes(8, "big"), digest_size=16)
    for column in ordered:
        prefix.update(_framed(column.name))
    digests = []
    for start in range(0, len(labels), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        for label, *cells in zip(labels[chunk], *(_tokens(column, chunk) for column in ordered), strict=True):
            state = prefix.copy()
            state.update(_framed(label) + b"".join(cells))
            digests.append(state.digest())
    return digests


def _by_hash(digest: bytes, validation: float, test: float) -> int:
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test:
        return _TEST
    return _VALIDATION if place < test + validation else _TRAIN


def _tokens(column: Column, rows: slice) -> Iterator[bytes]:
    if isinstance(column, NumericColumn):
        return (_number_token(value) for value in column.values[rows].tolist())
    tokens = [*map(_text_token, column.texts), _MISSING]
    return (tokens[code] for code in column.codes[rows].tolist())


_MISSING = b"m"


def _number_token(value: float) -> bytes:
    # Adding 0.0 makes -0.0 the same as 0.0.
    return _MISSING if value != value else b"n" + np.float64(value + 0.0).tobytes()  # noqa: PLR0124


def _text_token(text: str) -> bytes:
    if text.lower() in MISSING_WORDS:
        return _MISSING
    try:
        return _number_token(as_number(text))
    except ValueError:
        return b"t" + _framed(text)


def _framed(text: str) -> bytes:
    raw = text.encode()
    return len(raw).to_bytes(4, "big") + raw
