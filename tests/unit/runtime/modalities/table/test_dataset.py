from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelservice.contract.data import ConfigMapSource, Data, Split
from modelservice.data.csv_file import parse_csv
from modelservice.data.dataset import build_dataset
from modelservice.data.errors import DataError
from modelservice.data.preprocessing import MAX_CATEGORIES
from modelservice.data.table import Table, from_frame

IRIS = Path(__file__).parents[3] / "data" / "iris.csv"
SOURCE = ConfigMapSource(name="t")


def settings(target: str = "y", **more: Any) -> Data:
    return Data(config_map=SOURCE, target=target, **more)


def table(rows: list[str], header: str = "n,t,y") -> Table:
    return parse_csv("\n".join([header, *rows]).encode())


GOOD = [f"{n},{'ab'[n % 2]},{'pq'[n % 3 == 0]}" for n in range(12)]


def refused(data: Data, content: Table | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        build_dataset(content if content is not None else table(GOOD), data)
    return caught.value


def test_iris() -> None:
    dataset = build_dataset(parse_csv(IRIS.read_bytes()), settings("species"))
    assert [column.name for column in dataset.columns] == ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert dataset.target.labels == ("setosa", "versicolor", "virginica")
    sizes = [len(dataset.split.train), len(dataset.split.validation), len(dataset.split.test)]
    assert sum(sizes) == dataset.rows == 150
    assert dataset.notes == ()


def test_a_frame_gives_the_split_of_the_file_it_was_read_from() -> None:
    from_file = build_dataset(parse_csv(IRIS.read_bytes()), settings("species"))
    from_pandas = build_dataset(from_frame(pd.read_csv(IRIS)), settings("species"))
    np.testing.assert_array_equal(from_file.split.test, from_pandas.split.test)
    np.testing.assert_array_equal(from_file.split.validation, from_pandas.split.validation)


def test_features_are_chosen_and_ordered_by_the_resource() -> None:
    dataset = build_dataset(table(GOOD), settings(features=("t", "n")))
    assert [column.name for column in dataset.columns] == ["t", "n"]


def test_rows_without_a_target_are_dropped_and_counted() -> None:
    dataset = build_dataset(table([*GOOD, "99,a,", "98,b, "]), settings())
    assert dataset.rows == 12
    assert dataset.notes == ("dropped 2 rows without a value in y",)


def test_a_dropped_row_does_not_shift_the_line_of_an_error() -> None:
    error = refused(settings(), table(["1,a,", *GOOD, "oops,a,p"]))
    assert "line 15, column n: 'oops' is not a number" in error.message


def test_columns_that_teach_nothing_are_ignored_and_named() -> None:
    rows = [f"id{n},same,{n % 5},,{'pq'[n % 2]}" for n in range(20)]
    dataset = build_dataset(table(rows, "id,k,n,e,y"), settings())
    assert [column.name for column in dataset.columns] == ["n"]
    assert dataset.notes == (
        "ignored column id: every value differs",
        "ignored column k: every value is the same",
        "ignored column e: it is empty",
    )


def test_an_identifier_does_not_take_equal_rows_apart() -> None:
    rows = [f"id{n},{n % 7},{'pq'[n % 2]}" for n in range(140)]
    dataset = build_dataset(table(rows, "id,n,y"), settings())
    side_of: dict[Any, str] = {}
    for name in ("train", "validation", "test"):
        for row in getattr(dataset.split, name):
            assert side_of.setdefault((row % 7, row % 2), name) == name


def test_a_constant_column_that_begins_to_vary_moves_no_row() -> None:
    rows = [f"{n},k,{'pq'[n % 2]}" for n in range(60)]
    before = build_dataset(table(rows), settings()).split
    after = build_dataset(table([*rows, "60,other,p", "61,other,q"]), settings()).split
    for name in ("train", "validation", "test"):
        assert [row for row in getattr(after, name).tolist() if row < 60] == getattr(before, name).tolist()


@pytest.mark.parametrize(
    ("target", "words"),
    [("Y", "did you mean y?"), ("nothing_like_it", "name one of them in spec.data.target")],
)
def test_a_target_that_is_not_there_names_those_that_are(target: Any, words: str) -> None:
    error = refused(settings(target))
    assert (error.reason, error.field) == ("TargetNotFound", "spec.data.target")
    assert "it has n, t, y" in error.message
    assert words in error.message


def test_a_file_of_semicolons_is_recognised() -> None:
    error = refused(settings("species"), parse_csv(b"length;species\n1;a\n"))
    assert "separated by commas" in error.message


def test_a_feature_that_is_not_there() -> None:
    error = refused(settings(features=("n", "tt")))
    assert (error.reason, error.field) == ("FeatureNotFound", "spec.data.features")


@pytest.mark.parametrize(
    ("targets", "reason", "words"),
    [
        (["1.5", "2.5", "1.5", "2.5"], "ContinuousTarget", "only classes"),
        ([str(n) for n in range(101)] * 2, "TooManyClasses", "101 different values"),
        (["p"] * 6, "SingleClass", "'p'"),
        (["p", "p", "q"], "ClassTooSmall", "'q' in one row only"),
        ([""] * 4, "EmptyTarget", "empty in every row"),
    ],
)
def test_targets_that_are_no_classes(targets: Any, reason: str, words: str) -> None:
    error = refused(settings(), table([f"{n},{target}" for n, target in enumerate(targets)], "n,y"))
    assert (error.reason, error.field) == (reason, "spec.data.target")
    assert words in error.message


@pytest.mark.parametrize("targets", [["0", "1", "10", "2"] * 3, ["0.0", "1.0", "10.0", "2"] * 3])
def test_whole_numbers_are_classes_in_the_order_of_numbers(targets: Any) -> None:
    dataset = build_dataset(table([f"{n},{target}" for n, target in enumerate(targets)], "n,y"), settings())
    assert dataset.target.labels == ("0", "1", "2", "10")
    assert dataset.target.codes[:4].tolist() == [0, 1, 3, 2]


def test_numbers_of_a_frame_are_classes_too() -> None:
    frame = pd.DataFrame({"n": range(12), "y": [0, 1, None] * 4})
    dataset = build_dataset(from_frame(frame), settings())
    assert dataset.target.labels == ("0", "1")
    assert dataset.rows == 8


def test_texts_that_look_like_numbers_and_are_none_are_in_the_order_of_text() -> None:
    rows = [f"{n},{'ab'[n % 2]},{('7', '--5')[n % 3 == 0]}" for n in range(12)]
    assert build_dataset(table(rows), settings()).target.labels == ("--5", "7")


def test_text_labels_are_in_the_order_of_text() -> None:
    dataset = build_dataset(table([f"{n},{'b' if n % 2 else 'a10'}" for n in range(8)], "n,y"), settings())
    assert dataset.target.labels == ("a10", "b")


def test_too_few_different_rows_to_validate() -> None:
    error = refused(settings(), table(["1,p", "2,p", "3,q", "4,q"], "n,y"))
    assert error.reason == "TooFewRows"


def test_a_class_of_equal_rows_is_said_to_be_untested() -> None:
    rows = [f"{n},p" for n in range(20)] + ["5,q"] * 4
    dataset = build_dataset(table(rows, "n,y"), settings())
    assert dataset.notes == ("class q is not tested: all its rows are equal",)


def test_no_features_left() -> None:
    error = refused(settings(), table([f"k,{'pq'[n % 2]}" for n in range(9)], "k,y"))
    assert (error.reason, error.field) == ("NoFeatures", "spec.data.features")


def test_free_text_is_refused_with_the_way_out() -> None:
    rows = [f"word{n % (MAX_CATEGORIES + 1)},{n % 3},{'pq'[n % 2]}" for n in range(MAX_CATEGORIES + 5)]
    error = refused(settings(), table(rows, "t,n,y"))
    assert (error.reason, error.field) == ("TooManyCategories", "spec.data.features")


def test_the_seed_of_the_split_is_that_of_the_resource() -> None:
    content = parse_csv(IRIS.read_bytes())
    tests = [build_dataset(content, settings("species", split=Split(seed=seed))).split.test for seed in (0, 1)]
    assert tests[0].tolist() != tests[1].tolist()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"n": [1, 2, None], "t": ["a", None, "b"]}),
        pa.table({"n": [1, 2, None], "t": ["a", None, "b"]}),
        {"n": [1, 2, None], "t": ["a", None, "b"]},
        pd.DataFrame({"n": [1, 2, None], "t": pd.Categorical(["a", None, "b"])}),
        pd.DataFrame({"n": pd.array([1, 2, None], dtype="Int64"), "t": pd.array(["a", None, "b"], dtype="string")}),
    ],
)
def test_tables_in_memory_of_several_kinds_are_one_table(frame: Any) -> None:
    read = from_frame(frame)
    assert [str(value) if value is not None else None for value in read.columns["t"].to_pylist()] == ["a", None, "b"]
    numbers = [None if value is None else float(value) for value in read.columns["n"].to_pylist()]
    assert numbers == [1.0, 2.0, None]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [([1, 2], "NotATable"), ({}, "EmptyTable"), ({"a": []}, "EmptyTable"), ({"a": [1], "b": [1, 2]}, "RaggedRow")],
)
def test_frames_that_are_none(frame: Any, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        from_frame(frame)
    assert caught.value.reason == reason


def test_a_frame_with_structures_names_the_row() -> None:
    with pytest.raises(DataError, match="row 1, column a"):
        from_frame({"a": ["x", ["y"]]})
