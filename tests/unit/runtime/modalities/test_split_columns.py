"""Splits that a column decides: what they promise, what they refuse, and that the column is no feature."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.split import Split as Shares
from modelservice.modalities.dataset import Divided, build_dataset, divide_rows
from modelservice.modalities.sources import read_source
from modelservice.modalities.split import Split
from modelservice.modalities.split_columns import Deciding, chosen_column_split, divide_by_column
from modelservice.tasks.base import TargetCells

SIDES = ("train", "validation", "test")
SHARES = st.tuples(st.floats(0.01, 0.45), st.floats(0.01, 0.45))


def deciding(texts: Sequence[str]) -> Deciding:
    different = tuple(dict.fromkeys(texts))
    codes = np.array([different.index(text) for text in texts], dtype=np.int32)
    return Deciding(cells=TargetCells(name="c", codes=codes, texts=different), rows=np.arange(len(texts)))


def split_of(texts: Sequence[str], classes: Sequence[int] | None = None, **settings: Any) -> Split:
    """The split by a column of these cells; ``settings`` name it."""
    shares = Shares.model_validate(settings)
    chosen = chosen_column_split(shares)
    assert chosen is not None
    strata = np.array(classes if classes is not None else [0] * len(texts), dtype=np.int64)
    return divide_by_column(chosen[0], deciding(texts), strata, shares)[0]


def side_of(split: Split) -> list[str]:
    """The side of each row; each row has one."""
    found = {row: side for side in SIDES for row in getattr(split, side).tolist()}
    assert len(found) == sum(len(getattr(split, side)) for side in SIDES)
    return [found[row] for row in range(len(found))]


GROUPS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=60)


def grouped(rows: Any, seed: int = 0, shares: tuple[float, float] = (0.15, 0.15)) -> list[str]:
    """The sides of rows of groups and classes, where three groups of a class are there to begin with."""
    rows = [(100, 0), (101, 0), (102, 0), *rows]
    validation, test = shares
    texts, classes = [str(group) for group, _ in rows], [code for _, code in rows]
    return side_of(split_of(texts, classes, groupBy="c", seed=seed, validation=validation, test=test))


@given(GROUPS, st.integers(0, 9), SHARES)
def test_rows_of_a_group_are_on_one_side(rows: Any, seed: int, shares: Any) -> None:
    side_of_group: dict[int, str] = {}
    for (group, _), side in zip(rows, grouped(rows, seed, shares)[3:], strict=True):
        assert side_of_group.setdefault(group, side) == side


@given(GROUPS, GROUPS)
def test_appended_rows_move_no_group(rows: Any, more: Any) -> None:
    before = grouped(rows)
    assert grouped(rows + more)[: len(before)] == before


def test_groups_follow_the_shares_and_the_seed() -> None:
    texts = [str(number) for number in range(5_000)]
    sides = side_of(split_of(texts, groupBy="c", validation=0.1, test=0.3))
    assert sides.count("validation") / len(texts) == pytest.approx(0.1, abs=0.015)
    assert sides.count("test") / len(texts) == pytest.approx(0.3, abs=0.02)
    assert sides != side_of(split_of(texts, groupBy="c", validation=0.1, test=0.3, seed=1))


def test_the_groups_of_a_release_are_those_of_the_next() -> None:
    """Golden: a change here would give every user's test rows to training."""
    sides = side_of(split_of([f"customer {number}" for number in range(40)], groupBy="c"))
    assert [row for row, side in enumerate(sides) if side == "test"] == [1, 11, 20, 26, 32, 34]


TIMES = st.lists(st.integers(-50, 50), min_size=3, max_size=80)


@given(TIMES, SHARES)
def test_later_rows_test_and_rows_of_one_time_stay_together(times: Any, shares: Any) -> None:
    assume(len(set(times)) >= 3)
    validation, test = shares
    split = split_of(list(map(str, times)), timeColumn="c", validation=validation, test=test)
    found = np.array(times)
    assert found[split.train].max() < found[split.validation].min()
    assert found[split.validation].max() < found[split.test].min()
    assert len(side_of(split)) == len(times)


@given(SHARES, st.integers(10, 300))
def test_different_times_follow_the_shares(shares: Any, rows: int) -> None:
    validation, test = shares
    assume(validation + test < 0.8)
    split = split_of([str(number) for number in range(rows)], timeColumn="c", validation=validation, test=test)
    assert len(split.test) == np.ceil(test * rows)
    assert len(split.validation) == np.ceil(validation * rows)


@given(TIMES, st.randoms())
def test_dates_are_as_good_as_numbers_and_zones_are_followed(days: Any, random: Any) -> None:
    assume(len(set(days)) >= 3)
    moments = [datetime(2024, 2, 1, 12, tzinfo=UTC) + timedelta(days=day) for day in days]
    by_number = side_of(split_of(list(map(str, days)), timeColumn="c"))
    assert side_of(split_of([moment.strftime("%Y-%m-%d") for moment in moments], timeColumn="c")) == by_number
    eastern = [moment.replace(tzinfo=None).isoformat() + random.choice(["Z", "+00:00"]) for moment in moments]
    assert side_of(split_of(eastern, timeColumn="c")) == by_number


def test_a_zone_decides_what_is_later() -> None:
    split = split_of(["2024-05-01T12:00+00:00", "2024-05-01T12:30+02:00", "2024-05-01T11:00Z"], timeColumn="c")
    assert [side.tolist() for side in (split.train, split.validation, split.test)] == [[1], [2], [0]]


def test_the_cells_say_the_side_in_any_case() -> None:
    split = split_of(["Train", "TEST", "validation", "train"], column="c")
    assert side_of(split) == ["train", "test", "validation", "train"]


ROWS = [f"{n},c{n % 8},2024-05-{1 + n // 2:02},{('train', 'train', 'Validation', 'test')[n % 4]}" for n in range(48)]


def divided(rows: Sequence[str] = ROWS, features: Sequence[str] = (), **split: Any) -> Divided:
    """The split of a table in which y follows from n."""
    content = "n,customer,day,side,y\n" + "".join(f"{row},{'pq'[number % 3 == 0]}\n" for number, row in enumerate(rows))
    data = Data.model_validate(
        {"config_map": ConfigMapSource(name="t"), "target": "y", "features": tuple(features), "split": split}
    )
    return divide_rows(read_source(content.encode(), format=Format.CSV), data)


def columns_of(found: Divided) -> list[str]:
    _, inputs = found.examples.fit(found.split.train)
    return [column.name for column in inputs]


@pytest.mark.parametrize(
    ("split", "note", "others"),
    [
        ({"groupBy": "customer"}, "split by 8 groups of column customer: ", ["n", "day", "side"]),
        (
            {"timeColumn": "day"},
            "split by 24 times of column day: 32 rows train, 8 rows validation, 8 rows test",
            ["n", "customer", "side"],
        ),
        (
            {"column": "side"},
            "split by the words of column side: 24 rows train, 12 rows validation, 12 rows test",
            ["n", "customer", "day"],
        ),
    ],
)
def test_the_column_is_said_and_is_no_feature(split: Any, note: str, others: Any) -> None:
    found = divided(**split)
    assert any(said.startswith(note) for said in found.notes)
    assert columns_of(found) == others


def test_a_column_that_is_listed_is_a_feature_too() -> None:
    assert columns_of(divided(features=["customer", "n"], groupBy="customer")) == ["customer", "n"]


def refused(rows: Sequence[str], **split: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        divided(rows, **split)
    return caught.value


@pytest.mark.parametrize(
    ("row", "split", "reason", "message"),
    [
        (
            "1,,2024-05-01,test",
            {"groupBy": "customer"},
            "SplitCellEmpty",
            "line 50, column customer: the cell is empty,",
        ),
        ("1,c,,test", {"timeColumn": "day"}, "SplitCellEmpty", "line 50, column day: the cell is empty, and"),
        ("1,c,2024-05-01,", {"column": "side"}, "SplitCellEmpty", "line 50, column side: the cell is empty, and write"),
        ("1,c,1 May,test", {"timeColumn": "day"}, "NotATime", "line 50, column day: '1 May' is neither a date such as"),
        ("1,c,2024-05-01T10Z,test", {"timeColumn": "day"}, "NotATime", "line 2, column day: '2024-05-01' has no time"),
        (
            "1,c,2024-05-01,later",
            {"column": "side"},
            "NotASide",
            "line 50, column side: 'later' is no side: write train",
        ),
    ],
)
def test_a_cell_that_says_nothing_is_named_with_its_line(row: str, split: Any, reason: str, message: str) -> None:
    error = refused([*ROWS, row], **split)
    ((setting, _),) = split.items()
    assert (error.reason, error.field) == (reason, f"spec.data.split.{setting}")
    assert error.message.startswith(message)


def test_a_cell_of_a_row_without_a_target_is_not_looked_at() -> None:
    content = "n,day,y\n" + "".join(f"{n},2024-05-{n + 1:02},{'pq'[n % 2]}\n" for n in range(20)) + "1,1 May,\n"
    data = Data.model_validate({"config_map": ConfigMapSource(name="t"), "target": "y", "split": {"timeColumn": "day"}})
    dataset = build_dataset(read_source(content.encode(), format=Format.CSV), data)
    assert (dataset.rows, dataset.dropped) == (20, 1)


@pytest.mark.parametrize(
    ("rows", "split", "message"),
    [
        ([f"{n},c{n % 2},1,test" for n in range(9)], {"groupBy": "customer"}, "2 groups of column customer leave no"),
        ([f"{n},c,{n % 2},test" for n in range(9)], {"timeColumn": "day"}, "2 times of column day leave no rows for"),
        ([f"{n},c,1,{'train' if n % 2 else 'test'}" for n in range(9)], {"column": "side"}, "the words of column side"),
    ],
)
def test_a_side_without_rows_is_refused_with_a_remedy(rows: Any, split: Any, message: str) -> None:
    error = refused(rows, **split)
    assert error.reason == "SideEmpty"
    assert error.message.startswith(message)
    assert error.message.endswith(("or leave the field out", "in some rows each"))


def test_a_class_that_comes_up_too_late_is_refused() -> None:
    content = "n,day,y\n" + "".join(f"{n},{n},{'pq'[n % 2] if n < 18 else 'new'}\n" for n in range(20))
    data = Data.model_validate({"config_map": ConfigMapSource(name="t"), "target": "y", "split": {"timeColumn": "day"}})
    with pytest.raises(DataError, match="no training row has the class 'new', so it cannot be learned") as caught:
        divide_rows(read_source(content.encode(), format=Format.CSV), data)
    assert caught.value.reason == "ClassUntrained"


def of_sides(rows: Sequence[str]) -> Divided:
    content = "\n".join(["n,side,y", *rows])
    data = Data.model_validate({"config_map": ConfigMapSource(name="t"), "target": "y", "split": {"column": "side"}})
    return divide_rows(read_source(content.encode(), format=Format.CSV), data)


def test_a_class_without_a_test_row_is_said() -> None:
    rows = [f"{n},{SIDES[n % 3]},{'q' if n % 3 == 0 and n % 2 else 'p'}" for n in range(36)]
    assert of_sides(rows).notes[-1] == "class q is not tested: no test row has it"


def test_test_rows_that_were_learned_from_are_said() -> None:
    rows = [f"{n},{SIDES[n % 3]},{'pq'[n // 3 % 2]}" for n in range(36)]
    assert not any("learned from" in note for note in of_sides(rows).notes)
    copies = ["0,test,p", "4,test,q", "4,test,q"]
    assert of_sides([*rows, *copies]).notes[-1] == "3 test rows equal rows that were learned from"


def test_a_column_that_is_not_there_is_refused() -> None:
    error = refused(ROWS, groupBy="Customer")
    assert (error.reason, error.field) == ("ColumnNotFound", "spec.data.split.groupBy")
    assert error.message.endswith("did you mean customer?")


def test_the_target_by_another_composition_is_refused() -> None:
    content = "n,\u00f6\n" + "".join(f"{n},{'pq'[n % 2]}\n" for n in range(20))
    data = Data.model_validate(
        {"config_map": ConfigMapSource(name="t"), "target": "\u00f6", "split": {"groupBy": "o\u0308"}}
    )
    with pytest.raises(DataError, match="is the target: name another"):
        divide_rows(read_source(content.encode(), format=Format.CSV), data)


@pytest.mark.parametrize(
    ("split", "copies", "expected"),
    [
        ({"groupBy": "customer"}, 1, 3),
        ({"groupBy": "customer"}, 2, 6),
        ({}, 2, 2),
        ({"timeColumn": "day"}, 2, 2),
        ({}, 1, None),
        ({"timeColumn": "day"}, 1, None),
    ],
)
def test_what_holds_rows_together_goes_with_them(split: Any, copies: int, expected: int | None) -> None:
    """Rows of a customer, or equal ones, have one number, and so many rows have each."""
    lines = [f"c{row // 3},{row},{row % 7}.{row},{'pq'[row % 2]}" for row in range(60) for _ in range(copies)]
    data = {"configMap": {"name": "t"}, "target": "y", "split": split}
    source = read_source("\n".join(["customer,day,n,y", *lines]).encode(), format=Format.CSV)
    found = build_dataset(source, Data.model_validate(data))
    sides = [getattr(found, side).groups for side in SIDES]
    if expected is None:
        assert sides == [None, None, None]
    else:
        for groups, side in zip(sides, SIDES, strict=True):
            assert len(groups) == len(getattr(found, side).values)
        assert set(np.bincount(np.concatenate(sides)).tolist()) == {expected}
        assert sum(len(np.unique(groups)) for groups in sides) == 60 * copies // expected


@pytest.mark.parametrize("spellings", [("yes", "Yes", "y"), ("2024-01-31", "2024/01/31", "31.01.2024")])
def test_rows_that_are_written_otherwise_and_read_alike_are_equal_rows(spellings: tuple[str, ...]) -> None:
    others = ("no", "n") if "y" in spellings else ("2024-02-29",)
    lines = [f"{n},{cell},{'pq'[n % 2]}" for n in range(60) for cell in (*spellings, *others)]
    data = Data.model_validate({"configMap": {"name": "t"}, "target": "y"})
    found = divide_rows(read_source("\n".join(["n,c,y", *lines]).encode(), format=Format.CSV), data)
    side, each = np.array(side_of(found.split)).reshape(60, -1), len(spellings)
    assert all(len(set(sides)) == 1 for sides in side[:, :each].tolist())
    assert any(len(set(sides)) > 1 for sides in side.tolist())
    assert found.groups is not None
    assert len(np.unique(found.groups)) == 120


def images(**arrays: Any) -> Any:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return read_source(buffer.getvalue(), format=Format.NPZ)


def test_images_are_divided_by_an_array_beside_them() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, size=(60, 4, 4), dtype=np.uint8)
    data = Data.model_validate({"config_map": ConfigMapSource(name="t"), "target": "y", "split": {"groupBy": "who"}})
    source = images(X=pixels, y=np.arange(60) % 2, who=np.arange(60) // 4)
    split = divide_rows(source, data).split
    sides = {side: {row // 4 for row in getattr(split, side).tolist()} for side in SIDES}
    assert sum(map(len, sides.values())) == 15
    with pytest.raises(DataError, match="array who has 15 values, and y has 60") as caught:
        divide_rows(images(X=pixels, y=np.arange(60) % 2, who=np.arange(15)), data)
    assert caught.value.reason == "LengthsDiffer"
