"""The promises of docs/tables.md on the split, each as a property."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.modalities.split import divide, framed
from modelservice.modalities.table.digests import row_digests
from modelservice.modalities.table.kinds.number import NumericColumn

ROWS = st.lists(st.tuples(st.integers(0, 12), st.sampled_from("xyz")), max_size=120)
SHARES = st.tuples(st.floats(0.01, 0.45), st.floats(0.01, 0.45))
Row = tuple[int, str]
SEEDS = st.integers(0, 2**31 - 1)


def digests(rows: list[Row], seed: int = 0) -> list[bytes]:
    column = NumericColumn(name="n", values=np.array([row[0] for row in rows], dtype=np.float64))
    return row_digests([column], [framed(row[1]) for row in rows], seed=seed)


def sides(rows: list[Row], shares: tuple[float, float], seed: int = 0) -> list[str]:
    """The side of each row, by position."""
    validation, test = shares
    split = divide(digests(rows, seed), ["xyz".index(row[1]) for row in rows], validation=validation, test=test)
    found: dict[int, str] = {}
    for name in ("train", "validation", "test"):
        for row in getattr(split, name).tolist():
            assert row not in found
            found[row] = name
    return [found[row] for row in range(len(rows))]


@given(ROWS, SHARES, SEEDS)
def test_each_row_is_on_exactly_one_side_and_equal_rows_on_the_same(rows: Any, shares: Any, seed: int) -> None:
    side_of: dict[Any, str] = {}
    for row, side in zip(rows, sides(rows, shares, seed), strict=True):
        assert side_of.setdefault(row, side) == side


@given(ROWS, ROWS, SHARES, SEEDS)
def test_appended_rows_move_no_other_row(rows: Any, more: Any, shares: Any, seed: int) -> None:
    assert sides(rows + more, shares, seed)[: len(rows)] == sides(rows, shares, seed)


@given(ROWS, SHARES, SEEDS)
def test_each_class_is_on_each_side_for_which_it_has_different_rows(rows: Any, shares: Any, seed: int) -> None:
    given_sides = sides(rows, shares, seed)
    for label in {label for _, label in rows}:
        different = len({row for row in rows if row[1] == label})
        found = {side for row, side in zip(rows, given_sides, strict=True) if row[1] == label}
        assert found >= set(["train", "test", "validation"][:different])


@given(ROWS, SHARES, SEEDS, st.randoms())
def test_another_order_moves_only_rows_placed_by_order(rows: Any, shares: Any, seed: int, random: Any) -> None:
    before = dict(zip(rows, sides(rows, shares, seed), strict=True))
    shuffled = list(rows)
    random.shuffle(shuffled)
    after = dict(zip(shuffled, sides(shuffled, shares, seed), strict=True))
    for label in "xyz":
        moved = [row for row in before if row[1] == label and before[row] != after[row]]
        # Three that the old order placed, and three that the new one places.
        assert len(moved) <= 6


def test_shares_are_kept_on_average() -> None:
    rows = [(number, "x") for number in range(20_000)]
    found = sides(rows, (0.15, 0.25))
    assert found.count("validation") / len(rows) == pytest.approx(0.15, abs=0.01)
    assert found.count("test") / len(rows) == pytest.approx(0.25, abs=0.012)


def test_another_seed_is_another_split() -> None:
    rows = [(number, "x") for number in range(200)]
    assert sides(rows, (0.2, 0.2), seed=0) != sides(rows, (0.2, 0.2), seed=1)


def test_the_split_of_a_release_is_that_of_the_next() -> None:
    """Golden: a change here would give every user's test rows to training."""
    assert [digest.hex()[:12] for digest in digests([(1, "x"), (2, "y")], seed=7)] == ["8649ddf3f399", "98afed3089a6"]


def test_more_rows_than_a_chunk_are_all_hashed() -> None:
    rows = [(number, "x") for number in range(9000)]
    assert len(set(digests(rows))) == 9000
