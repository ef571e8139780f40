from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import StandardScaler

from modelservice.modalities.table.columns import read_column
from modelservice.modalities.table.encoding import RowEncoder
from modelservice.modalities.table.fitting import fit
from modelservice.modalities.table.kinds.base import Column
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.kinds.number import NumericColumn, NumericPreprocessing

ALL = np.arange(4)


def numeric(*values: float, name: str = "n") -> NumericColumn:
    return NumericColumn(name=name, values=np.array(values, dtype=np.float64))


def text(*values: str, name: str = "t") -> Column:
    return read_column(name, pa.array(values, type=pa.string()), place=str)


def test_scaling_is_that_of_scikit_learn() -> None:
    values = np.random.default_rng(0).normal(50, 7, size=(40, 3))
    columns = [numeric(*values[:, index], name=str(index)) for index in range(3)]
    encoded = RowEncoder(fit(columns, np.arange(40))).encode_rows(values)
    np.testing.assert_allclose(encoded, StandardScaler().fit_transform(values), atol=1e-6)


def test_only_training_rows_are_measured() -> None:
    fitted = fit([numeric(1, 3, 1000, -1000), text("a", "b", "c", "d")], np.array([0, 1]))
    assert fitted.columns == (
        NumericPreprocessing(name="n", mean=2, std=1, fill=2, example=2),
        CategoricalPreprocessing(name="t", categories=("a", "b"), shares=(0.5, 0.5), example="a"),
    )


def test_missing_numbers_are_filled_with_the_mean() -> None:
    fitted = fit([numeric(1, 3, np.nan, np.nan)], ALL)
    assert fitted.columns == (NumericPreprocessing(name="n", mean=2, std=1, fill=2, example=2),)


@pytest.mark.parametrize("values", [(5, 5, 5, 5), (0.1, 0.1, 0.1, 0.1), (np.nan,) * 4])
def test_what_does_not_vary_is_harmless(values: Any) -> None:
    fitted = fit([numeric(*values)], ALL)
    assert '"std":1.0' in fitted.model_dump_json()
    assert np.abs(RowEncoder(fitted).encode_rows([[v] for v in values])).max() < 1e-6


def test_small_differences_on_a_large_mean_survive() -> None:
    """Seconds since 1970 differ by less than float32 can tell at that size."""
    values = [1.7e9, 1.7e9 + 1, 1.7e9 + 2, 1.7e9 + 3]
    encoded = RowEncoder(fit([numeric(*values)], ALL)).encode_rows([[value] for value in values])
    assert len(np.unique(encoded)) == 4


def test_examples_are_medians_and_modes() -> None:
    inputs = [column.input for column in fit([numeric(1, 2, 4.123456, 100), text("a", "b", "b", "")], ALL).columns]
    assert [column.example for column in inputs] == [3.062, "b"]
    assert inputs[1].categories == ("a", "b")


def test_a_median_has_the_digits_that_the_column_needs() -> None:
    """Of large numbers with a small spread four are none of its numbers; a few that are far off change nothing."""
    pressure = [101_345.25 + offset / 10 for offset in range(-50, 51)]
    column = NumericColumn(name="p", values=np.array([*pressure, -9999.0, 1e9]))
    assert column.example() == 101_345.2
    assert NumericColumn(name="case", values=np.array([1_712_345_678.0] * 9 + [1.0, 2.0])).example() == 1_712_345_678


def test_an_empty_column_still_has_an_example() -> None:
    fitted = fit([numeric(np.nan, 1, 2, 3), text("", "a", "a", "b")], np.array([0]))
    assert [column.input.example for column in fitted.columns] == [0.0, ""]
