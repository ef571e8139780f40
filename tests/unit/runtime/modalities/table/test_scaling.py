"""``spec.data.scaling`` and ``missingNumbers``: what a number, and one that is missing, becomes by training rows."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.modalities.table.tables import learn, opened, settings

from modelservice.contract.data import Format, MissingNumbers, Scaling
from modelservice.contract.failure import DataError
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.scaling import USUAL, NumberRules
from modelservice.modalities.sources import read_file, read_rows, read_source
from modelservice.modalities.table import streamed
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.fitting import fit
from modelservice.modalities.table.kinds.number import NumericColumn

KNOWN = (0.0, 1.0, 1.0, 2.0, 4.0, 100.0)
NUMBERS = st.lists(st.floats(-1e6, 1e6) | st.none(), min_size=1, max_size=30)


def encoded(values: Any, cells: Any, rules: NumberRules) -> list[float]:
    """What cells become after training rows of such values."""
    column = NumericColumn(name="a", values=np.array(values, dtype=np.float64))
    encoder = TableEncoder(fit([column], np.arange(len(values)), rules=rules))
    return [float(x) for x in encoder.encode([[cell] for cell in cells])[:, 0]]


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (Scaling.STANDARD, [-18 / np.std(KNOWN), 82 / np.std(KNOWN)]),
        (Scaling.MIN_MAX, [0, 1]),
        (Scaling.ROBUST, [-1.5 / 2.5, 98.5 / 2.5]),
        (Scaling.NONE, [0, 100]),
    ],
)
def test_numbers_are_scaled_by_training_rows(scaling: Scaling, expected: list[float]) -> None:
    assert encoded(KNOWN, [0, 100], NumberRules(scaling)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("missing", "expected"),
    [(MissingNumbers.MEAN, 18), (MissingNumbers.MEDIAN, 1.5), (MissingNumbers.MOST_FREQUENT, 1)],
)
@pytest.mark.parametrize("scaling", Scaling)
def test_a_missing_number_counts_as_one_of_the_training_rows(
    scaling: Scaling, missing: MissingNumbers, expected: float
) -> None:
    gone, same = encoded([*KNOWN, np.nan], [None, expected], NumberRules(scaling, missing))
    assert gone == pytest.approx(same, abs=1e-6)


def test_of_several_most_frequent_numbers_the_lowest_stands_for_a_missing_one() -> None:
    rules = NumberRules(Scaling.NONE, MissingNumbers.MOST_FREQUENT)
    assert encoded([7, 3, 7, 3, 5], [None], rules) == [3]


@given(NUMBERS, st.sampled_from(Scaling), st.sampled_from(MissingNumbers))
def test_whatever_the_numbers_they_become_finite_ones(values: Any, scaling: Any, missing: Any) -> None:
    found = encoded([np.nan if x is None else x for x in values], [*values, None], NumberRules(scaling, missing))
    assert np.isfinite(found).all()


@given(NUMBERS)
def test_the_defaults_are_what_stands_without_them(values: Any) -> None:
    column = NumericColumn(name="a", values=np.array([np.nan if x is None else x for x in values]))
    assert fit([column], np.arange(len(values)), rules=USUAL).columns[0] == column.fit()


def cells(row: int) -> str:
    return f"{'' if row % 9 == 0 else row * row},{'xyz'[row % 3]},2024-01-{1 + row % 28:02},${row}.50"


def test_only_columns_of_numbers_are_scaled_in_training_and_in_requests() -> None:
    usual = learn({}, "n,c,d,p", cells)
    other = learn({}, "n,c,d,p", cells, scaling="MinMax", missingNumbers="Median")
    before, after = (one.preprocessing.columns for one in (usual, other))  # type: ignore[attr-defined]
    assert [one == two for one, two in zip(before, after, strict=True)] == [False, True, True, False]
    for at in (0, -1):
        assert (other.train.features[:, at].min(), other.train.features[:, at].max()) == (0, 1)
    row: list[Any] = [4, "x", "2024-01-05", "$2.50"]
    assert opened(other).encode([row])[0, 0] == pytest.approx((4 - after[0].mean) / after[0].std)


def test_images_have_no_columns_to_scale() -> None:
    content = io.BytesIO()
    np.savez(content, x=np.zeros((60, 4, 4), np.uint8), y=np.arange(60) % 2)
    source = read_source(content.getvalue(), format=Format.NPZ)
    with pytest.raises(DataError, match=r"the data holds images, and spec\.data\.scaling is for") as caught:
        build_dataset(source, settings({}, scaling="None"))
    assert (caught.value.reason, caught.value.field) == ("OptionNotForFormat", "spec.data.scaling")


def test_a_table_that_is_not_held_has_no_quartiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    pq.write_table(pa.table({"a": range(60), "y": [*"pq"] * 30}), tmp_path / "t.parquet")

    def read(**more: str) -> Dataset:
        source = read_file(tmp_path / "t.parquet", format=Format.PARQUET)
        return read_rows(source, settings({}, **more), None)[1]

    assert read().rows == 60
    with pytest.raises(DataError, match=r"spec\.data\.missingNumbers needs all rows at once") as caught:
        read(missingNumbers="Median")
    assert (caught.value.reason, caught.value.field) == ("TableNotHeld", "spec.data.missingNumbers")
