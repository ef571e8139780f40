"""``spec.data.sampleWeight``: how much rows count, and which cells are no weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import read_source

ROWS = [f"{n},{1 + n % 3},{'pq'[n % 2]}" for n in range(60)]


def dataset_of(rows: Sequence[str] = ROWS, **more: Any) -> Dataset:
    data = Data.model_validate({"config_map": ConfigMapSource(name="t"), "target": "y", **more})
    return build_dataset(read_source("\n".join(["n,w,y", *rows]).encode(), format=Format.CSV), data)


def weighed(rows: Sequence[str] = ROWS, **more: Any) -> Dataset:
    return dataset_of(rows, sample_weight="w", **more)


def test_each_row_has_its_weight_and_only_ratios_matter() -> None:
    dataset, tenfold = weighed(), weighed([row.replace(",", ",1", 1).replace(",1", ",", 1) for row in ROWS])
    for side in ("train", "validation", "test"):
        weights = getattr(dataset, side).weights
        assert len(weights) == len(getattr(dataset, side).values)
        np.testing.assert_allclose(getattr(tenfold, side).weights, weights)
    every = np.concatenate([dataset.train.weights, dataset.validation.weights, dataset.test.weights])
    assert every.mean() == pytest.approx(1)
    assert sorted(set(np.round(every * 2, 6))) == [1, 2, 3]
    assert "rows count by column w, in training and in metrics" in dataset.notes


def test_the_column_is_no_feature_and_without_it_nothing_is_weighed() -> None:
    assert [column.name for column in weighed().inputs] == ["n"]
    plain = dataset_of(features=("n",))
    assert plain.train.weights is None
    np.testing.assert_array_equal(plain.train.features, weighed().train.features)


def test_a_row_of_no_weight_is_as_if_it_were_not_there_and_counted() -> None:
    dataset, without = weighed([*ROWS, "1000,0,p", "2000,0.0,q"]), weighed()
    assert (dataset.rows, dataset.dropped) == (60, 2)
    assert "dropped 2 rows of weight 0 in w" in dataset.notes
    for side in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(dataset, side).features, getattr(without, side).features)
        np.testing.assert_array_equal(getattr(dataset, side).weights, getattr(without, side).weights)


def test_a_row_without_a_target_needs_no_weight() -> None:
    dataset = weighed([*ROWS, "5,,", "6,heavy,"])
    assert (dataset.rows, dataset.dropped) == (60, 2)
    assert "dropped 2 rows without a value in y" in dataset.notes


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "the cell is empty: write a number from 0 to 1e+30"),
        ("-1", "'-1' is no weight"),
        ("1e31", "'1e31' is no weight"),
        ("heavy", "'heavy' is no weight"),
        ("inf", "'inf' is no weight"),
    ],
)
def test_what_is_no_weight_is_named_with_its_line(cell: str, problem: str) -> None:
    with pytest.raises(DataError, match=rf"^line 62, column w: {problem}".replace("+", r"\+")) as caught:
        weighed([*ROWS, f"1,{cell},p"])
    assert (caught.value.reason, caught.value.field) == ("NotAWeight", "spec.data.sampleWeight")


def test_weights_that_are_all_zero_leave_nothing() -> None:
    with pytest.raises(DataError, match="column w is 0 in every row with a target") as caught:
        weighed([f"{n},0,{'pq'[n % 2]}" for n in range(20)])
    assert caught.value.reason == "NoWeight"


WHOLE = [f"{n},{1 + n % 3},{n % 4}" for n in range(60)]
PRICES = [f'{n},{1 + n % 3},"${n + 1},{100 + n}.50"' for n in range(60)]


@pytest.mark.parametrize(
    ("rows", "weightless"),
    [
        (ROWS, ["1,0,r", "2,0,r"]),
        (ROWS, ["1,0,r"]),
        (ROWS, [f"{n},0,{n}" for n in range(200)]),
        (WHOLE, ["1,0,1.5"]),
        (WHOLE, ["1,0,broken"]),
        (WHOLE, ["1,0,1e99"]),
        (PRICES, ["1,0,broken", '2,0,"1,5"']),
    ],
)
def test_what_a_row_of_no_weight_says_of_the_target_decides_nothing(rows: list[str], weightless: list[str]) -> None:
    dataset, without = weighed([*rows, *weightless]), weighed(rows)
    assert (dataset.task.name, dataset.labels) == (without.task.name, without.labels)
    assert (dataset.rows, dataset.dropped) == (60, len(weightless))
    assert set(dataset.notes) - set(without.notes) == {f"dropped {len(weightless)} rows of weight 0 in w"}
    for side in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(dataset, side).values, getattr(without, side).values)
        np.testing.assert_array_equal(getattr(dataset, side).features, getattr(without, side).features)


def test_a_row_of_no_weight_and_no_target_is_counted_once() -> None:
    dataset = weighed([*ROWS, "5,0,", "6,,", "7,0,p"])
    assert (dataset.rows, dataset.dropped) == (60, 3)
    assert {"dropped 1 rows without a value in y", "dropped 2 rows of weight 0 in w"} <= {*dataset.notes}
