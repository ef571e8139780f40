"""The numbers of rows that were read before: reading a row by a large model costs more than all else."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.base import Features

_SLICE: Final = 32
"""Rows that are read at once."""


@dataclass(frozen=True, eq=False)
class Known:
    """The numbers of rows, by a hash of each row."""

    _numbers: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)

    def numbers(
        self,
        rows: Iterable[bytes | memoryview],
        compute: Callable[[list[int]], Features],
        *,
        width: int,
        sizes: Sequence[int] | None = None,
    ) -> Features:
        """The numbers of rows, float32 [rows, width]: those that are not known are computed, some together.

        Args:
            rows: equal bytes are equal rows.
            compute: the numbers of the rows at some places.
            width: numbers of a row.
            sizes: what each row costs, where the costliest of some decides for all of them.
        """
        keys = [hashlib.blake2b(row, digest_size=16).digest() for row in rows]
        if not keys:
            return np.zeros((0, width), np.float32)
        new = {key: place for place, key in enumerate(keys) if key not in self._numbers}
        places = sorted(new.values(), key=lambda place: (0 if sizes is None else sizes[place], place))
        for start in range(0, len(places), _SLICE):
            some = places[start : start + _SLICE]
            self._numbers.update(zip((keys[place] for place in some), compute(some), strict=True))
        return np.stack([self._numbers[key] for key in keys])
