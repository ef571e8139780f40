import io
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.contract.split import Split
from modelservice.modalities.base import Source
from modelservice.modalities.dataset import Divided, build_dataset, divide_rows
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import from_frame, read_file, read_source
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.kinds.category import MAX_CATEGORIES
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.table.table import table_of
from modelservice.modalities.tensors import Tensor

IRIS = Path(__file__).parents[4] / "data" / "iris.csv"
SOURCE = ConfigMapSource(name="t")


def settings(target: str = "y", **more: Any) -> Data:
    return Data(config_map=SOURCE, target=target, **more)


def table(rows: list[str], header: str = "n,t,y") -> Source:
    return read_source("\n".join([header, *rows]).encode(), format=Format.CSV)


def iris() -> Source:
    return read_file(IRIS, format=Format.CSV)


def columns_of(divided: Divided) -> list[str]:
    preprocessing, _ = divided.examples.fit(divided.split.train)
    assert isinstance(preprocessing, TablePreprocessing)
    return [column.name for column in preprocessing.columns]


def notes_of(divided: Divided) -> tuple[str, ...]:
    """Without what was inferred about the task."""
    return tuple(note for note in divided.notes if not note.startswith("task: "))


GOOD = [f"{n},{'ab'[n % 2]},{'pq'[n % 3 == 0]}" for n in range(12)]


def refused(data: Data, content: Source | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        build_dataset(content if content is not None else table(GOOD), data)
    return caught.value


def test_iris() -> None:
    dataset = build_dataset(iris(), settings("species"))
    names = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    assert [column.name for column in dataset.inputs] == names
    assert dataset.labels == ("setosa", "versicolor", "virginica")
    assert (dataset.modality, dataset.task.name, dataset.shape) == ("Table", "Multiclass", (4,))
    assert [len(side.values) for side in (dataset.train, dataset.validation, dataset.test)] == [95, 24, 31]
    assert (dataset.rows, dataset.dropped, dataset.features) == (150, 0, 4)
    assert dataset.notes == ("task: classification, since species holds texts",)


def test_features_are_those_that_the_encoder_of_the_stored_preprocessing_gives() -> None:
    dataset = build_dataset(iris(), settings("species"))
    stored = TablePreprocessing.model_validate_json(dataset.preprocessing.model_dump_json())
    rows = divide_rows(iris(), settings("species")).split.test
    lines = IRIS.read_text().splitlines()[1:]
    encoder = TableEncoder(stored)
    encoded = encoder.encode(encoder.from_instances([lines[row].split(",")[:4] for row in rows]))
    np.testing.assert_array_equal(encoded, dataset.test.features)


def test_a_frame_gives_the_split_of_the_file_it_was_read_from() -> None:
    from_file = divide_rows(iris(), settings("species")).split
    from_pandas = divide_rows(from_frame(pd.read_csv(IRIS)), settings("species")).split
    np.testing.assert_array_equal(from_file.test, from_pandas.test)
    np.testing.assert_array_equal(from_file.validation, from_pandas.validation)


def test_features_are_chosen_and_ordered_by_the_resource() -> None:
    assert columns_of(divide_rows(table(GOOD), settings(features=("t", "n")))) == ["t", "n"]


def test_rows_without_a_target_are_dropped_and_counted() -> None:
    dataset = build_dataset(table([*GOOD, "99,a,", "98,b, "]), settings())
    assert (dataset.rows, dataset.dropped) == (12, 2)
    assert dataset.notes[1:] == ("dropped 2 rows without a value in y",)


@pytest.mark.parametrize(
    ("labels", "known"),
    [
        (("0101", "0207", "1403"), ("0101", "0207", "1403")),
        (("12", "012"), ("012", "12")),
        (("1234567890123456", "1234567890123457"), ("1234567890123456", "1234567890123457")),
        (("11898508762506082123", "11898508762506082124"), ("11898508762506082123", "11898508762506082124")),
        (("1", "1.0", "0"), ("0", "1")),
    ],
)
def test_labels_are_the_texts_of_the_file(labels: Any, known: Any) -> None:
    dataset = build_dataset(table([f"{n},{labels[n % len(labels)]}" for n in range(30)], "n,y"), settings())
    assert dataset.labels == known
    merged = tuple(note for note in dataset.notes if note.startswith("labels of y"))
    assert merged == (("labels of y are whole numbers: read 1.0 as 1",) if len(known) < len(labels) else ())


def test_categories_are_the_texts_of_the_file() -> None:
    codes = ["0101", "101", *"uvwxyz", "11898508762506082123", "11898508762506082124"]
    rows = [f"{codes[n % 10]},{n},{'pq'[n % 3 == 0]}" for n in range(200)]
    dataset = build_dataset(table(rows, "c,n,y"), settings())
    assert isinstance(column := dataset.inputs[0], InputColumn)
    assert column.categories == tuple(sorted(set(codes)))


@pytest.mark.parametrize("word", ["NA", "NaN", "nan", "null", "None", "N/A", ""])
def test_one_meaning_of_missing_for_targets_and_features(word: Any) -> None:
    """In a target its rows are dropped and said, in a feature it is filled."""
    rows = [f"{n},{n % 2 if n % 20 else word},{n if n % 20 != 1 else word}" for n in range(200)]
    dataset = build_dataset(table(rows, "n,y,m"), settings())
    assert (dataset.labels, dataset.rows, dataset.dropped) == (("0", "1"), 190, 10)
    assert dataset.notes[1:] == ("dropped 10 rows without a value in y",)
    assert [column.type for column in dataset.inputs if isinstance(column, InputColumn)] == [ColumnKind.NUMBER] * 2


def test_words_that_mean_missing_are_texts_among_texts() -> None:
    rows = [f"{n},{['EU', 'NA', 'None'][n % 3]},{['p', 'q', 'NA'][n % 3]}" for n in range(60)]
    dataset = build_dataset(table(rows), settings())
    assert (dataset.labels, dataset.dropped) == (("NA", "p", "q"), 0)
    assert isinstance(column := dataset.inputs[1], InputColumn)
    assert column.categories == ("EU", "NA", "None")


def test_a_dropped_row_does_not_shift_the_line_of_an_error() -> None:
    error = refused(settings(), table(["1,a,", *GOOD, "oops,a,p"]))
    assert "line 15, column n: 'oops' is not a number" in error.message


def test_columns_that_teach_nothing_are_ignored_and_named() -> None:
    rows = [f"id{n},same,{n % 5},,{'pq'[n % 2]}" for n in range(20)]
    divided = divide_rows(table(rows, "id,k,n,e,y"), settings())
    assert columns_of(divided) == ["n"]
    assert notes_of(divided) == (
        "ignored column id: every value differs",
        "ignored column k: every value is the same",
        "ignored column e: it is empty",
    )


LISTED = ("age", "discount", "id", "unit", "empty", "gap", "income")


def month(discount: Any, unit: Any = "kg", empty: Any = "", count: int = 40) -> Source:
    rows = [
        f"{n},{n % 7},{discount(n)},id{n},{unit},{empty},{5 if n % 3 else ''},{n * 3 % 11},{'pq'[n % 2]}"
        for n in range(count)
    ]
    return table(rows, "x,age,discount,id,unit,empty,gap,income,y")


def test_inputs_are_the_listed_features_in_that_order_in_every_revision() -> None:
    january, february = (
        build_dataset(month(discount), settings(features=LISTED)) for discount in (lambda _: 0, lambda n: n % 3)
    )
    for dataset in (january, february):
        assert tuple(column.name for column in dataset.inputs) == LISTED
    assert january.notes[1:] == (
        "column discount has no effect: every value is the same",
        "column id has no effect: every value differs",
        "column unit has no effect: every value is the same",
        "column empty has no effect: it is empty",
        "column gap has no effect: every value is the same",
    )
    assert [note.split()[1] for note in february.notes[1:]] == ["id", "unit", "empty", "gap"]
    assert january.shape == (2,)


def test_a_column_without_effect_takes_what_clients_send_and_changes_nothing() -> None:
    preprocessing = build_dataset(month(lambda _: 0), settings(features=LISTED)).preprocessing
    encoder = TableEncoder(TablePreprocessing.model_validate_json(preprocessing.model_dump_json()))
    given: list[Any] = [
        [3, 0, "id1", "kg", None, 5, 4],
        [3, 99, "new", "lb", 7.5, None, 4],
        [3, "many", 7, None, "x", "", 4],
        {"age": 3, "discount": None, "id": True, "unit": "", "empty": "", "gap": 1e300, "income": 4},
    ]
    encoded = encoder.encode(encoder.from_instances(given))
    assert (encoded == encoded[0]).all()
    assert encoder.encode(encoder.from_instances([encoder.example()])).shape == (1, 2)
    with pytest.raises(InputError, match=r"^\[0\]\.discount: \[1\] is neither text nor a number"):
        encoder.encode([[3, [1], "id1", "kg", None, 5, 4]])
    columns = {name: [row[at] for row in given[:3]] for at, name in enumerate(LISTED)}
    tensors = [Tensor("empty", "BYTES", (3,), ["", "7", "x"]), Tensor("discount", "FP32", (3,), [0, 1, 2])]
    tensors += [Tensor(name, "BYTES", (3,), ["", "a", "b"]) for name in ("id", "unit")]
    tensors += [Tensor(name, "FP32", (3,), columns[name]) for name in ("age", "gap", "income")]
    np.testing.assert_array_equal(encoder.encode(encoder.from_tensors(tensors)), encoded[:3])


def test_a_matrix_stays_one_where_all_listed_columns_are_numbers_or_empty() -> None:
    names = ("age", "discount", "empty", "income")
    dataset = build_dataset(month(lambda _: 0), settings(features=names))
    assert isinstance(dataset.preprocessing, TablePreprocessing)
    encoder = TableEncoder(dataset.preprocessing)
    values = np.array([[3, np.inf, np.nan, 4], [3, 1, 2, 4]])
    encoded = encoder.encode(encoder.from_tensors([Tensor("features", "FP64", (2, 4), values)]))
    np.testing.assert_array_equal(encoded, encoder.encode([[3, 0, None, 4]] * 2))


def test_listed_columns_of_which_none_teaches_are_refused() -> None:
    error = refused(settings(features=("unit", "empty")), month(lambda _: 0))
    assert (error.reason, error.field) == ("NoFeatures", "spec.data.features")


def test_a_listed_identifier_that_repeats_moves_no_row() -> None:
    rows = [f"id{n},{n % 5},{'pq'[n % 2]}" for n in range(60)]
    asked = settings(features=("t", "n"))
    before = divide_rows(table(rows, "t,n,y"), asked).split
    after = divide_rows(table([*rows, "id3,9,p", "id3,8,q"], "t,n,y"), asked).split
    assert [row for row in after.test.tolist() if row < 60] == before.test.tolist()


@pytest.mark.parametrize(
    ("day", "why"),
    [
        ("1/{}/24", "'1/1/24' has a year of two digits: write all as 2024-01-31"),
        ("1/{}/2024", "'1/1/2024' may have its day or its month first: write all as 2024-01-31"),
        ("2024-{}-30", "'2024-2-30' is no date"),
    ],
)
def test_dates_as_categories_are_said(day: str, why: str) -> None:
    rows = [f"{day.format(n % 12 + 1)},{n % 7},{'pq'[n % 2]}" for n in range(60)]
    said = f"column day holds dates as categories, since {why}"
    assert notes_of(divide_rows(table(rows, "day,n,y"), settings())) == (said,)


def test_texts_that_mostly_come_once_are_said() -> None:
    rows = [f"c{n if n % 4 else 0},{n % 7},{'pq'[n % 2]}" for n in range(60)]
    assert notes_of(divide_rows(table(rows, "who,n,y"), settings())) == (
        "column who: 45 of 60 values come once, as in an identifier: little can be learned from them",
    )
    rows = [f"c{n % 15},{n % 7},{'pq'[n % 2]}" for n in range(60)]
    assert notes_of(divide_rows(table(rows, "who,n,y"), settings())) == ()


def test_what_is_unlike_training_is_counted() -> None:
    rows = [f"{'ab'[n % 2]},{n % 7},{'uv'[n % 3 == 0]},{'pq'[n % 2]}" for n in range(60)]
    preprocessing = build_dataset(table(rows, "t,n,f,y"), settings()).preprocessing
    assert isinstance(preprocessing, TablePreprocessing)
    encoder = TableEncoder(preprocessing)
    given = [["new", 1, "u"], [" a ", 99, None], ["newer", 1, 7], {"t": "", "n": 1, "f": "w"}]
    assert encoder.encode_counted(given)[1] == {"t": 2, "n": 1, "f": 2}
    assert encoder.encode_counted([["a", 1, "u"]])[1] == {}


def test_prices_are_numbers_and_said() -> None:
    rows = [f'"${1000 + n:,}",{n / 7:.2f}%,{n % 5},{"pq"[n % 2]}' for n in range(271)]
    dataset = build_dataset(table(rows, "price,rate,n,y"), settings())
    assert dataset.shape == (3,)
    assert dataset.notes[1:] == (
        "column price: $1,000 is read as the number 1000",
        "column rate: 0.00% is read as the number 0",
    )


def test_decimal_commas_between_semicolons_are_numbers_and_said() -> None:
    rows = [f"{n},5;{n % 3};{'pq'[n % 2]}" for n in range(60)]
    dataset = build_dataset(table(rows, "price;n;y"), settings())
    assert dataset.shape == (2,)
    assert dataset.notes[1:] == (
        "columns are separated by semicolons",
        "column price: 0,5 is read as the number 0.5",
    )


@pytest.mark.parametrize(
    ("written", "header", "note"),
    [
        ("{0},5", "n;t;y", "column y: 0,5 is read as the number 0.5"),
        ("${0:,}.50", "n|t|y", "column y: $0.50 is read as the number 0.5"),
        ("{0}.25 %", "n|t|y", "column y: 0.25 % is read as the number 0.25"),
    ],
)
def test_targets_in_another_notation_are_numbers_and_said(written: str, header: str, note: str) -> None:
    rows = [header[1].join([str(n), "ab"[n % 2], written.format(n * 37)]) for n in range(60)]
    dataset = build_dataset(table(rows, header), settings())
    assert dataset.task.name == "Regression"
    assert note in dataset.notes


def test_few_targets_in_another_notation_are_classes_whose_labels_are_their_texts() -> None:
    rows = [f"{n},{'ab'[n % 2]},{['5%', '10%', '20%'][n % 3]}" for n in range(60)]
    assert build_dataset(table(rows), settings()).labels == ("10%", "20%", "5%")


def test_a_target_whose_points_are_not_clear_is_refused() -> None:
    rows = [f"{n};{'ab'[n % 2]};{n * 37:,}".replace(",", ".") for n in range(60)]
    error = refused(settings(), table(rows, "n;t;y"))
    assert (error.reason, error.message[-38:]) == ("NotANumber", "write it with another number of digits")


def test_an_identifier_does_not_take_equal_rows_apart() -> None:
    rows = [f"id{n},{n % 7},{'pq'[n % 2]}" for n in range(140)]
    split = divide_rows(table(rows, "id,n,y"), settings()).split
    side_of: dict[Any, str] = {}
    for name in ("train", "validation", "test"):
        for row in getattr(split, name):
            assert side_of.setdefault((row % 7, row % 2), name) == name


def test_a_constant_column_that_begins_to_vary_moves_no_row() -> None:
    rows = [f"{n},k,{'pq'[n % 2]}" for n in range(60)]
    before = divide_rows(table(rows), settings()).split
    after = divide_rows(table([*rows, "60,other,p", "61,other,q"]), settings()).split
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


def test_other_separators_are_read_and_said() -> None:
    rows = [row.replace(",", ";") for row in GOOD]
    assert notes_of(divide_rows(table(rows, "n;t;y"), settings())) == ("columns are separated by semicolons",)


def test_a_column_of_several_names_is_not_found_and_the_way_out_is_said() -> None:
    error = refused(settings("y"), table(['"1;a"', '"2;b"'], '"n;y"'))
    assert "it has n;y: columns are separated by commas; where they are not, set spec.data.csv.sep" in error.message


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_names_are_one_however_unicode_composes_them(written: Any, asked: Any) -> None:
    def name(text: str, form: Any) -> str:
        return unicodedata.normalize(form, text)

    header = ",".join(name(text, written) for text in ("höhe", "t", "größe"))
    asked_for = settings(name("größe", asked), features=(name("höhe", asked), " t "))
    for source in (table(GOOD, header), from_frame(pd.read_csv(io.StringIO("\n".join([header, *GOOD]))))):
        dataset = build_dataset(source, asked_for)
        assert (dataset.target, [column.name for column in dataset.inputs]) == ("größe", ["höhe", "t"])


def test_a_target_among_the_features_is_found_however_it_is_composed() -> None:
    error = refused(settings("größe", features=("n", unicodedata.normalize("NFD", "größe"))), table(GOOD, "n,t,größe"))
    assert (error.reason, error.field) == ("FeatureNotFound", "spec.data.features")
    assert "the target" in error.message


def test_a_feature_that_is_not_there() -> None:
    error = refused(settings(features=("n", "tt")))
    assert (error.reason, error.field) == ("FeatureNotFound", "spec.data.features")


def test_too_few_different_rows_to_validate() -> None:
    error = refused(settings(), table(["1,p", "2,p", "3,q", "4,q"], "n,y"))
    assert error.reason == "TooFewRows"


def test_a_class_of_equal_rows_is_said_to_be_untested() -> None:
    rows = [f"{n},p" for n in range(20)] + ["5,q"] * 4
    divided = divide_rows(table(rows, "n,y"), settings())
    assert notes_of(divided) == ("class q is not tested: all its rows are equal",)


def test_no_features_left() -> None:
    error = refused(settings(), table([f"k,{'pq'[n % 2]}" for n in range(9)], "k,y"))
    assert (error.reason, error.field) == ("NoFeatures", "spec.data.features")


def test_free_text_is_refused_with_the_way_out() -> None:
    rows = [f"word{n % (MAX_CATEGORIES + 1)},{n % 3},{'pq'[n % 2]}" for n in range(MAX_CATEGORIES + 5)]
    error = refused(settings(), table(rows, "t,n,y"))
    assert (error.reason, error.field) == ("TooManyCategories", "spec.data.features")


def test_the_seed_of_the_split_is_that_of_the_resource() -> None:
    tests = [divide_rows(iris(), settings("species", split=Split(seed=seed))).split.test for seed in (0, 1)]
    assert tests[0].tolist() != tests[1].tolist()


def test_numbers_are_predicted_and_divided_without_classes() -> None:
    rows = [f"{n},{'ab'[n % 2]},{n * 0.37 - 3}" for n in range(200)]
    dataset = build_dataset(table(rows), settings())
    assert (dataset.task.name, dataset.labels) == ("Regression", ())
    assert dataset.train.values.dtype == np.float64
    assert len(dataset.train.values) + len(dataset.validation.values) + len(dataset.test.values) == 200
    assert min(len(dataset.validation.values), len(dataset.test.values)) >= 15
    assert dataset.notes == ("task: regression, since y holds numbers",)


def test_appended_rows_move_no_other_row_of_a_regression() -> None:
    rows = [f"{n},{'ab'[n % 2]},{n * 0.37}" for n in range(80)]
    before = divide_rows(table(rows), settings()).split
    after = divide_rows(table([*rows, "1,a,9.9", "2,b,-7"]), settings()).split
    assert [row for row in after.test.tolist() if row < 80] == before.test.tolist()


def test_two_different_rows_of_numbers_are_too_few() -> None:
    error = refused(settings(), table(["1,a,0.5", "2,b,1.5", "2,b,1.5"]))
    assert (error.reason, error.message[:35]) == ("TooFewRows", "there are no three different rows, ")


def test_training_rows_of_one_value_teach_nothing() -> None:
    rows = ["1,a,0.5", "2,b,1.5", "3,a,2.5"]  # the second is tested, the third chooses
    error = refused(settings(), table(rows))
    assert (error.reason, error.message) == (
        "SingleValue",
        "all training rows have the same value of y, so there is nothing to learn: add rows",
    )


def test_whole_numbers_of_a_frame_keep_all_their_digits() -> None:
    big = 12345678901234567890
    frame = pd.DataFrame({"n": range(12), "y": np.array([big, big + 1] * 6, dtype=np.uint64)})
    assert divide_rows(from_frame(frame), settings()).target.labels == (str(big), str(big + 1))


def test_numbers_of_a_frame_with_gaps_are_classes_too() -> None:
    frame = pd.DataFrame({"n": range(12), "y": [0, 1, None] * 4})
    dataset = build_dataset(from_frame(frame), settings())
    assert dataset.labels == ("0", "1")
    assert (dataset.rows, dataset.dropped) == (8, 4)


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
    read = table_of(frame)
    assert read is not None
    assert [str(value) if value is not None else None for value in read.columns["t"].to_pylist()] == ["a", None, "b"]
    numbers = [None if value is None else float(value) for value in read.columns["n"].to_pylist()]
    assert numbers == [1.0, 2.0, None]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ([1, 2], "NotATable"),
        ({}, "EmptyTable"),
        ({"a": []}, "EmptyTable"),
        ({"a": [1], "b": [1, 2]}, "RaggedRow"),
        ({"a": "xy"}, "NotATable"),
        ({"a\ud800": ["x"]}, "NotATable"),
        ({"a": ["x", "\ud800"]}, "NotAValue"),
    ],
)
def test_frames_that_are_none(frame: Any, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        from_frame(frame)
    assert caught.value.reason == reason


def test_a_frame_with_structures_names_the_row() -> None:
    with pytest.raises(DataError, match="row 1, column a"):
        from_frame({"a": ["x", ["y"]]})
