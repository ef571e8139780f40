"""Rows that are not held, mixed in a buffer."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from modelservice.modalities.base import Side
from modelservice.training.batches import StreamedRows
from modelservice.training.loop import Rows

ROWS, PIECE = 1000, 70


class Stream:
    """Rows whose only feature is their place, in pieces."""

    rows = (ROWS, 0, 0)
    classes = None

    def training(self, seed: int) -> Iterator[Side]:
        starts = np.random.default_rng(seed).permutation(np.arange(0, ROWS, PIECE))
        for start in starts.tolist():
            places = np.arange(start, min(start + PIECE, ROWS))
            yield Side(features=places[:, None].astype(np.float32), values=places)

    def test(self) -> Iterator[Side]:
        yield from ()


def encode(side: Side) -> Rows:
    return Rows(features=torch.from_numpy(side.features), targets=torch.from_numpy(side.values))


def read(buffer_rows: int, *, size: int = 32, skip: int = 0, seed: int = 0) -> list[Rows]:
    rows = StreamedRows(Stream(), encode, shape=(1,), device="cpu", buffer_bytes=4 * buffer_rows)
    assert len(rows) == ROWS
    drawn = rows.draw(torch.Generator().manual_seed(seed))
    return list(rows.batches(drawn, size, skip=skip))


@pytest.mark.parametrize("buffer_rows", [1, 64, 100, 10**6])
def test_each_row_comes_once_with_its_target_in_batches_of_one_size(buffer_rows: int) -> None:
    found = read(buffer_rows)
    assert [len(batch) for batch in found] == [32] * 31 + [8]
    targets = torch.cat([batch.targets for batch in found])
    assert sorted(targets.tolist()) == list(range(ROWS))
    assert torch.equal(torch.cat([batch.features for batch in found])[:, 0], targets.float())


def test_the_draw_decides_the_order_and_what_is_skipped_was_at_its_begin() -> None:
    found, again, other = read(100), read(100), read(100, seed=1)
    assert all(torch.equal(one.targets, two.targets) for one, two in zip(found, again, strict=True))
    assert any(not torch.equal(one.targets, two.targets) for one, two in zip(found, other, strict=True))
    rest = read(100, skip=5)
    assert all(torch.equal(one.targets, two.targets) for one, two in zip(found[5:], rest, strict=True))


def test_a_batch_holds_rows_of_several_pieces() -> None:
    pieces = [len(set((batch.targets // PIECE).tolist())) for batch in read(500)[:-1]]
    assert min(pieces) > 3
