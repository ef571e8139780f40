"""What an artifact says of its rows: of other data, none that it learned from is taken for one that it did not see."""

import io
import random
from collections.abc import Sequence
from typing import Any

import pytest

from modelservice.contract.data import Data, Format
from modelservice.contract.division import Division
from modelservice.modalities.dataset import Divided, divide_rows
from modelservice.modalities.division import division_of, unseen_rows
from modelservice.modalities.sources import read_source

Row = tuple[float, float, str, str]
HEADER = "a,b,group,kind\n"


def rows(number: int, *, seed: int, classes: str = "xyz") -> list[Row]:
    generator = random.Random(seed)  # noqa: S311 - no secret
    return [
        (round(generator.gauss(0, 1), 6), round(generator.gauss(0, 1), 6), f"g{place % 40}", generator.choice(classes))
        for place in range(number)
    ]


def data(**said: Any) -> Data:
    columns = {"features": ["a", "b"]} | said
    return Data.model_validate({"configMap": {"name": "d"}, "target": "kind", **columns})


def divided(table: Sequence[Row], asked: Data) -> Divided:
    text = io.StringIO()
    text.write(HEADER)
    text.writelines(",".join(map(str, row)) + "\n" for row in table)
    return divide_rows(read_source(text.getvalue().encode(), format=Format.CSV), asked)


def division(table: Sequence[Row], asked: Data) -> Division:
    found = division_of(divided(table, asked), asked)
    assert found is not None
    return found


def learned(table: Sequence[Row], asked: Data) -> set[Row]:
    split = divided(table, asked).split
    return {table[row] for row in (*split.train, *split.validation)}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("said", [{}, {"split": {"groupBy": "group"}}, {"split": {"test": 0.3, "seed": 7}}])
def test_of_a_table_that_changed_in_any_way_no_row_was_learned_from(seed: int, said: dict[str, Any]) -> None:
    asked, generator = data(**said), random.Random(seed)  # noqa: S311 - no secret
    before = rows(200, seed=seed)
    after = [*before[generator.randrange(150) :], *rows(100, seed=1000 + seed)]
    generator.shuffle(after)
    whole = divided(after, asked)
    unseen = unseen_rows(whole, asked, division(before, asked))
    assert unseen is not None
    assert {after[row] for row in unseen}.isdisjoint(learned(before, asked))
    assert set(unseen) <= set(whole.split.test)
    # What is left out are at most three rows, or groups of rows, of each class.
    if "groupBy" not in said.get("split", {}):
        assert len(whole.split.test) - len(unseen) <= 9


def test_rows_that_were_tested_by_their_place_are_left_out() -> None:
    """The second different row of each class is tested by its place, and was learned from in another order."""
    asked = data()
    for seed in range(40):
        before = rows(60, seed=seed)
        after = list(reversed(before))
        test = {after[row] for row in divided(after, asked).split.test}
        if test & learned(before, asked):
            unseen = unseen_rows(divided(after, asked), asked, division(before, asked))
            assert unseen is not None
            assert not {after[row] for row in unseen} & learned(before, asked)
            return
    raise AssertionError("no order moved a row, so nothing was tested")


def test_the_same_table_leaves_all_but_what_its_place_decided() -> None:
    asked, table = data(), rows(400, seed=3)
    whole = divided(table, asked)
    unseen = unseen_rows(whole, asked, division(table, asked))
    assert unseen is not None
    assert len(whole.split.test) - 3 <= len(unseen) <= len(whole.split.test)


@pytest.mark.parametrize(
    "other",
    [
        {"split": {"seed": 1}},
        {"split": {"test": 0.2}},
        {"split": {"groupBy": "group"}},
        {"features": ["a"]},
        {"missing": ["n/a"]},
        {"columns": {"a": {"type": "Category"}}},
    ],
)
def test_of_rows_that_were_told_apart_in_another_way_nobody_can_tell(other: dict[str, Any]) -> None:
    table = rows(200, seed=5)
    assert unseen_rows(divided(table, data()), data(), division(table, data(**other))) is None


def test_a_column_that_was_added_tells_rows_apart_in_another_way() -> None:
    asked = data(features=[])
    table = rows(200, seed=6)
    text = HEADER.replace("kind", "kind,more") + "".join(f"{a},{b},{g},{k},1\n" for a, b, g, k in table)
    wider = divide_rows(read_source(text.encode(), format=Format.CSV), asked)
    assert unseen_rows(wider, asked, division(table, asked)) is None


@pytest.mark.parametrize(
    ("cells", "before", "after"),
    [
        ([f'"{number},{number + 99}"' for number in range(1, 200)], '"1,234.5"', '"1.234,5"'),
        ([f"{1 + n % 12:02}/{1 + n // 12 % 12:02}/{2000 + n % 7}" for n in range(199)], "31/01/2024", "01/31/2024"),
    ],
)
def test_cells_that_another_row_lets_read_in_another_way_are_not_taken_for_new_ones(
    cells: list[str], before: str, after: str
) -> None:
    asked = data(features=["a"])

    def of(decisive: str) -> Divided:
        lines = [f"{cell},{'xy'[place % 2]}" for place, cell in enumerate([*cells, decisive])]
        return divide_rows(read_source("\n".join(["a,kind", *lines]).encode(), format=Format.CSV), asked)

    known, same = division_of(of(before), asked), of(before)
    assert known is not None
    assert unseen_rows(same, asked, known) is not None
    assert unseen_rows(of(after), asked, known) is None


@pytest.mark.parametrize("split", [{"timeColumn": "a"}, {"column": "group"}])
def test_what_a_column_decides_is_said_of_no_other_data(split: dict[str, Any]) -> None:
    table = rows(90, seed=7)
    if "column" in split:
        sides = ("train", "validation", "test")
        table = [(a, b, sides[place % 3], kind) for place, (a, b, _, kind) in enumerate(table)]
    asked = data(features=["b"], split=split)
    assert division_of(divided(table, asked), asked) is None
    assert unseen_rows(divided(table, asked), asked, Division(rule="sha256:" + "0" * 64)) is None


def test_only_rows_that_the_rule_tells_wrong_are_named() -> None:
    asked, table = data(), rows(600, seed=8)
    assert len(division(table, asked).moved) <= 6
