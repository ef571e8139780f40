"""Batches of rows that are not held: they come in pieces, and are mixed with others in a buffer."""

from collections.abc import Callable, Iterator
from itertools import islice
from math import prod
from typing import Final

import torch

from modelservice.modalities.base import Side, Stream
from modelservice.training.loop import Rows

BUFFER_BYTES: Final = 2**25
"""Of features that are mixed with each other."""
_FLOAT32: Final = 4


class StreamedRows:
    """``loop.Batches`` of a stream: an epoch reads it once, in an order that is drawn, through a buffer.

    A full buffer gives half of its rows, drawn at random, and is filled up again.
    """

    def __init__(
        self,
        stream: Stream,
        encode: Callable[[Side], Rows],
        *,
        shape: tuple[int, ...],
        device: str,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        """Args: the stream; what makes rows on the CPU of a side; of a row; where it is trained; of the buffer."""
        self._stream, self._encode, self._shape, self._device = stream, encode, shape, device
        self._capacity = max(1, buffer_bytes // (_FLOAT32 * prod(shape)))

    def __len__(self) -> int:
        return self._stream.rows[0]

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        """A seed."""
        return torch.randint(2**62, (1,), generator=generator)

    def batches(self, drawn: torch.Tensor, size: int, *, skip: int) -> Iterator[Rows]:
        """See ``Batches``; those that are skipped are read all the same."""
        return islice(self._batches(int(drawn), size), skip, None)

    def _batches(self, seed: int, size: int) -> Iterator[Rows]:
        generator = torch.Generator().manual_seed(seed)
        capacity = min(max(self._capacity, 2 * size), len(self))
        features, targets, filled = torch.empty(capacity, *self._shape), None, 0
        for side in self._stream.training(seed):
            rows, begin = self._encode(side), 0
            targets = torch.empty(capacity, dtype=rows.targets.dtype) if targets is None else targets
            while begin < len(rows):
                taken = min(capacity - filled, len(rows) - begin)
                features[filled : filled + taken] = rows.features[begin : begin + taken]
                targets[filled : filled + taken] = rows.targets[begin : begin + taken]
                filled, begin = filled + taken, begin + taken
                if filled == capacity and begin < len(rows):
                    order = torch.randperm(filled, generator=generator)
                    given = max(1, filled // (2 * size)) * size
                    yield from self._split(features, targets, order[:given], size)
                    kept, filled = order[given:], filled - given
                    features[:filled], targets[:filled] = features[kept], targets[kept]
        if targets is not None:
            yield from self._split(features, targets, torch.randperm(filled, generator=generator), size)

    def _split(self, features: torch.Tensor, targets: torch.Tensor, order: torch.Tensor, size: int) -> Iterator[Rows]:
        for places in torch.split(order, size):
            yield Rows(features=features[places].to(self._device), targets=targets[places].to(self._device))
