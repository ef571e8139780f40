"""``spec.data.csv.decimal``: one mark stands before the fraction of all numbers of a file."""

from typing import Any, Literal

import numpy as np
import pytest

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.task import Task
from modelservice.modalities.base import Dataset, FileOptions
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.sources import read_source

Mark = Literal[".", ","]
REGRESSION = Task.model_validate({"regression": {}})


def learn(cells: list[str], decimal: Mark, *, targets: list[str] | None = None) -> Dataset:
    rows = zip(cells, targets or ["p", "q"] * len(cells), strict=False)
    content = "a;y\n" + "".join(f"{cell};{target}\n" for cell, target in rows)
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "csv": {"decimal": decimal}})
    source = read_source(content.encode(), format=Format.CSV, options=FileOptions.of(data))
    return build_dataset(source, data, None if targets is None else REGRESSION)


def values(dataset: Dataset, texts: list[Any]) -> list[float]:
    """What a model gets of texts in requests, in the unit of the column."""
    encoder = open_encoder(dataset.modality, dataset.preprocessing.model_dump_json().encode())
    zero, one, *others = encoder.encode(encoder.from_instances([[0], [1], *([text] for text in texts)])).ravel()
    return [round(float((other - zero) / (one - zero)), 4) for other in others]


@pytest.mark.parametrize(
    ("decimal", "texts", "numbers"),
    [
        (",", ["1.234", "2.345", "999"], [1234, 2345, 999]),
        (",", ["1,5", "2", "1.000,5"], [1.5, 2, 1000.5]),
        (",", ["1,234", "2,345", "3,5"], [1.234, 2.345, 3.5]),
        (".", ["1,234", "2,345", "999"], [1234, 2345, 999]),
        (".", ["1.234", "999", "1,000.5"], [1.234, 999, 1000.5]),
        (".", ["1.234", "999", "2.5"], [1.234, 999, 2.5]),
    ],
)
@pytest.mark.parametrize("rows", [2, 20])
def test_numbers_that_could_be_read_in_two_ways_are_read_in_the_one_that_is_said(
    decimal: Any, texts: list[str], numbers: list[float], rows: int
) -> None:
    dataset = learn([*texts, *(f"{n}" for n in range(21))] * rows, decimal)
    assert [column.type for column in dataset.inputs] == ["Number"]  # type: ignore[union-attr]
    np.testing.assert_allclose(values(dataset, texts), numbers, rtol=1e-4)


@pytest.mark.parametrize(
    ("decimal", "cells", "words"),
    [
        (",", ["1.5", "2.5", "3.5"], "line 2, column a: '1.5' is no number with a decimal comma, which spec.data.csv"),
        (",", ["1,5", "2.5", "3,5"], "line 3, column a: '2.5' is no number with a decimal comma"),
        (",", ["007", "2.5", "3"], "line 3, column a: '2.5' is no number with a decimal comma"),
        (".", ["1,5", "2,5", "3,5"], "line 2, column a: '1,5' is no number with a decimal point"),
        (".", ["1.5", "2,5", "3.5"], "line 3, column a: '2,5' is no number with a decimal point"),
        (",", ["1,5", "x", "3,5"], "line 3, column a: 'x' is not a number, but most values"),
    ],
)
@pytest.mark.parametrize("as_target", [False, True])
def test_a_number_with_the_other_mark_is_refused(decimal: Any, cells: list[str], words: str, as_target: bool) -> None:
    features, targets = ([f"{n}" for n in range(12)], cells * 4) if as_target else (cells * 4, None)
    with pytest.raises(DataError) as caught:
        learn(features, decimal, targets=targets)
    assert caught.value.reason == "NotANumber"
    assert words.replace("column a", "column y" if as_target else "column a") in caught.value.message


def test_the_target_is_read_by_it_too() -> None:
    targets = ["1.234", "2.000", "3.000", "4.500"] * 5
    dataset = learn([f"{n}" for n in range(20)], ",", targets=targets)
    sides = (dataset.train, dataset.validation, dataset.test)
    assert {value for side in sides for value in side.values.tolist()} == {1234, 2000, 3000, 4500}


def test_texts_stay_texts() -> None:
    dataset = learn(["rot", "1.2.3", "blau"] * 6, ",")
    assert [column.type for column in dataset.inputs] == ["Category"]  # type: ignore[union-attr]
