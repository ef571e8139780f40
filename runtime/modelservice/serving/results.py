"""What the model gave for the rows of a request, and what is written of them once for a whole batch."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self, TypeVar

import numpy as np

from modelservice.tasks.base import Array

MAX_SHARED: Final = 16 * 1024
"""Numbers up to which a batch is written at once: a request does not pay for more than its own beyond that."""

Written = TypeVar("Written")


class Results:
    """Raw outputs of the rows of one request, which may be a part of a batch."""

    __slots__ = ("_batch", "_start", "_stop", "_written")

    def __init__(self, batch: Array, start: int, stop: int, written: dict[Any, Any]) -> None:
        self._batch = batch
        self._start = start
        self._stop = stop
        self._written = written

    @classmethod
    def of(cls, raw: Array) -> Self:
        """Those of a request that was computed by itself: float32 [rows, width]."""
        return cls(raw, 0, len(raw), {})

    @classmethod
    def joined(cls, parts: Iterable[Self]) -> Self:
        """Those of a request that was computed in several batches."""
        return cls.of(np.concatenate([part.raw for part in parts]))

    @classmethod
    def split(cls, raw: Array, rows: Sequence[int]) -> list[Self]:
        """Those of each request of a batch, of so many rows each."""
        written: dict[Any, Any] = {}
        shared = raw.size <= MAX_SHARED
        split, start = [], 0
        for count in rows:
            stop = start + count
            split.append(cls(raw, start, stop, written) if shared else cls.of(raw[start:stop]))
            start = stop
        return split

    def __len__(self) -> int:
        """Number of rows."""
        return self._stop - self._start

    @property
    def size(self) -> int:
        """Numbers of all rows."""
        return (self._stop - self._start) * int(self._batch.shape[1])

    @property
    def raw(self) -> Array:
        """float32 [rows, width]."""
        return self._batch[self._start : self._stop]

    def rows(self, write: Callable[[Array], list[Written]]) -> list[Written]:
        """What ``write`` makes of each row; it is asked once for all rows of a batch, since most of it is per call.

        Args:
            write: float32 [rows, width] to an item for each row, whatever the rows around it are.
        """
        written = self._written.get(write)
        if written is None:
            written = self._written[write] = write(self._batch)
        found: list[Written] = written[self._start : self._stop]
        return found
