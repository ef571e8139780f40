"""Dividing rows into training, validation and test by their content.

A row's content and the seed are hashed to a number in [0, 1), and its place there decides: test, validation or
training. What a row is compared with does not change when others come, so

1. equal rows, however their cells are written, are on the same side: no copy of a training row is tested;
2. rows appended to the table move no other row: revisions stay comparable. But not those that repeat a text of a
   column in which every text differed: it identified rows and was left out, and is compared from then on; nor those
   that let the cells of a column be read as something else, such as another day;
3. columns in another order, or the same table as a frame, give the same sides; rows in another order do, but for (4).

4. Each class shall be on each side, which no function of a row alone can promise: it puts a class of three rows on one
   side now and then, and what moved one of them later would break (2). So the first three *different* rows of each
   class, in the order of the table, go to training, test and validation, and all others by their hash. That depends
   on earlier rows only, which is why (1) and (2) still hold. The limit: another order of the rows moves at most six
   rows of each class (three lose their place by order, three get one), and a class with two different rows has none
   in validation, with one none in test.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelservice.tasks.base import Target

Rows = NDArray[np.int64]

TRAIN, TEST, VALIDATION = 0, 1, 2
_FIRST = (TRAIN, TEST, VALIDATION)
SIDES_OF_FILES: Final = {"validation": VALIDATION, "test": TEST}
"""Sides that may have files of their own, in the order in which those follow the others."""
MISSING = b"m"
"""The token of a missing value."""


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
        validation: share of rows for validation, 0 to choose none.
        test: share of rows for the test, 0 to choose none.
    """
    first = _first(validation, test)
    side_of: dict[bytes, int] = {}
    different: dict[int, int] = {}
    sides = np.empty(len(digests), dtype=np.int8)
    for row, (digest, label) in enumerate(zip(digests, classes, strict=True)):
        if digest not in side_of:
            rank = different.get(label, 0)
            different[label] = rank + 1
            side_of[digest] = first[rank] if rank < len(first) else by_hash(digest, validation, test)
        sides[row] = side_of[digest]
    train, tested, validated = (np.flatnonzero(sides == side) for side in _FIRST)
    return Split(train=train, validation=validated, test=tested)


class Dividing:
    """What ``divide`` does, for rows that come piece by piece and are not kept.

    Rows of one digest have one class here, as whole rows do and groups of them need not: then the first three of each
    class are all that has to be remembered.

    Args:
        validation: share of rows for validation, 0 to choose none.
        test: share of rows for the test, 0 to choose none.
    """

    def __init__(self, *, validation: float, test: float) -> None:
        self._validation, self._test = validation, test
        self._sides = _first(validation, test)
        self._first: dict[int, list[bytes]] = {}

    def sides(self, digests: Sequence[bytes], classes: Iterable[int]) -> NDArray[np.int8]:
        """``TRAIN``, ``TEST`` or ``VALIDATION`` for each of the next rows; for arguments see ``divide``."""
        pairs = zip(digests, classes, strict=True)
        return np.fromiter((self._side(*pair) for pair in pairs), dtype=np.int8, count=len(digests))

    def _side(self, digest: bytes, label: int) -> int:
        first = self._first.setdefault(label, [])
        if digest in first:
            return self._sides[first.index(digest)]
        if len(first) < len(self._sides):
            first.append(digest)
            return self._sides[len(first) - 1]
        return by_hash(digest, self._validation, self._test)


def target_tokens(target: Target) -> list[bytes]:
    """What each row's target adds to its digest: its label, or its number."""
    if not target.labels:
        return [number_token(value) for value in target.values.tolist()]
    tokens = [framed(label) for label in target.labels]
    return [tokens[code] for code in target.values.tolist()]


def content_digests(contents: Iterable[bytes | memoryview], target: Target, *, seed: int) -> list[bytes]:
    """What identifies rows of one value each: a hash of its target and its content, for ``divide``."""
    prefix = hashlib.blake2b(key=seed.to_bytes(8, "big"), digest_size=16)
    digests = []
    for content, token in zip(contents, target_tokens(target), strict=True):
        state = prefix.copy()
        state.update(token)
        state.update(content)
        digests.append(state.digest())
    return digests


def number_token(value: float) -> bytes:
    """A number in a digest; NaN is a missing value."""
    # Adding 0.0 makes -0.0 the same as 0.0.
    return MISSING if value != value else b"n" + np.float64(value + 0.0).tobytes()  # noqa: PLR0124


def number_tokens(numbers: NDArray[np.float64]) -> Iterator[bytes]:
    """The tokens of each row's numbers, none missing, one after the other: those of ``number_token``, all at once."""
    tokens = np.empty(numbers.shape, dtype=[("kind", "S1"), ("number", "f8")])
    tokens["kind"], tokens["number"] = b"n", numbers + 0.0
    raw, size = tokens.tobytes(), tokens.dtype.itemsize * numbers.shape[1]
    return (raw[start : start + size] for start in range(0, len(raw), size))


def framed(text: str) -> bytes:
    """A text in a digest, which does not run into what follows it."""
    raw = text.encode()
    return len(raw).to_bytes(4, "big") + raw


def _first(validation: float, test: float) -> tuple[int, ...]:
    """The sides of the first different rows of each class."""
    left_out = {side for side, share in ((VALIDATION, validation), (TEST, test)) if not share}
    return tuple(side for side in _FIRST if side not in left_out)


def by_hash(digest: bytes, validation: float, test: float) -> int:
    """The side of a row by its digest alone."""
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < test:
        return TEST
    return VALIDATION if place < test + validation else TRAIN
