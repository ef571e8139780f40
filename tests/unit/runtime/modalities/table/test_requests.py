"""Requests for a table in all their forms, and what is said about those that are none."""

import sys
import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelservice.contract.signature import ColumnKind
from modelservice.modalities.base import Tolerance, merge_rows
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.kinds.number import NumericPreprocessing
from modelservice.modalities.table.kinds.text import TextPreprocessing
from modelservice.modalities.table.kinds.unused import UnusedPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.tensors import NUMERIC as NUMBERS
from modelservice.modalities.tensors import Tensor
from modelservice.serving.parsing import parse_object

AGE = NumericPreprocessing(name="age", mean=1.0, std=2.0, fill=5.0, example=40.0)
SIZE = NumericPreprocessing(name="size", mean=0.0, std=1.0, fill=0.0, example=1.5)
CITY = CategoricalPreprocessing(name="city", categories=("Basel", "Köln"), example="Köln")
NUMERIC = TableEncoder(TablePreprocessing(columns=(AGE, SIZE)))
MIXED = TableEncoder(TablePreprocessing(columns=(AGE, CITY)))
LONG = "18446744073709551616"
"""The first whole number beyond 64 bits."""
NUMBERED = CategoricalPreprocessing(name="id", categories=(LONG, "1e+20"), example=LONG)
NOTE = TextPreprocessing(name="id", buckets=4, norm=1.0, example="text")
TWICE = "is given twice: rename one of the two columns, or leave it out"
UNUSED = UnusedPreprocessing(name="id", type=ColumnKind.CATEGORY, example="text")


def matrix(shape: tuple[int, ...], values: Any, datatype: str = "FP32", name: str = "features") -> Tensor:
    return Tensor(name, datatype, shape, values)


def column(name: str, datatype: str, values: Any) -> Tensor:
    return Tensor(name, datatype, (len(values),), values)


NUMERIC_FORMS: list[tuple[str, Any]] = [
    ("from_instances", [[3, 7.5], {"size": 1, "age": None}]),
    ("from_inputs", {"size": [7.5, 1], "age": [3, None]}),
    ("from_tensors", [matrix((2, 2), [3, 7.5, None, 1])]),
    ("from_tensors", [matrix((2, 2), np.array([3, 7.5, np.nan, 1], dtype=np.float32), name="any")]),
    ("from_tensors", [column("size", "FP64", [7.5, 1]), column("age", "INT8", [3, None])]),
    ("from_tensors", [Tensor("size", "FP64", (2, 1), np.array([7.5, 1])), column("age", "FP16", [3, None])]),
    ("from_frame", pd.DataFrame({"y": ["a", "b"], "size": [7.5, 1], " age ": [3, None]})),
    ("from_frame", pa.table({"size": [7.5, 1], "age": [3, None]})),
    ("from_frame", {"size": np.array([7.5, 1]), "age": np.array([3, np.nan])}),
    ("from_frame", [[3, 7.5], [None, 1]]),
    ("from_frame", ([3, 7.5], [None, 1])),
    ("from_frame", np.array([[3, 7.5], [np.nan, 1]])),
    ("from_frame", np.ma.masked_array([[3, 7.5], [9, 1]], mask=[[False, False], [True, False]])),
    ("from_frame", {"size": [7.5, 1], "age": np.ma.masked_array([3, 9], mask=[False, True])}),
    ("from_frame", [[3, 7.5], [pd.NA, 1]]),
]


@pytest.mark.parametrize(("way", "given_rows"), NUMERIC_FORMS)
def test_the_same_numbers_in_every_form_are_the_same_features(way: str, given_rows: Any) -> None:
    np.testing.assert_array_equal(NUMERIC.encode(getattr(NUMERIC, way)(given_rows)), [[1, 7.5], [2, 1]])


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_lone_column_is_one_whatever_its_shape_is(shape: tuple[int, ...]) -> None:
    tensor = Tensor("size", "FP64", shape, np.array([7.5, 1]))
    rows = NUMERIC.from_tensors([tensor], Tolerance(missing=True))
    np.testing.assert_array_equal(NUMERIC.encode(rows), NUMERIC.encode([[None, 7.5], [None, 1]]))
    with pytest.raises(InputError, match="age is missing; expected age, size"):
        NUMERIC.from_tensors([tensor])


@pytest.mark.parametrize(
    ("way", "given_rows"),
    [
        ("from_instances", [[3, "Köln"], {"age": 1, "city": None}]),
        ("from_inputs", {"age": [3, 1], "city": ["Köln", ""]}),
        ("from_tensors", [column("city", "BYTES", ["Köln", None]), column("age", "FP32", [3, 1])]),
        ("from_tensors", [column("city", "BYTES", ["Köln".encode(), b""]), column("age", "FP32", [3, 1])]),
        ("from_frame", pd.DataFrame({"age": [3, 1], "city": ["Köln", None]})),
        ("from_frame", pa.table({"age": [3, 1], "city": ["Köln", None]})),
    ],
)
def test_texts_in_every_form_are_the_same_features(way: str, given_rows: Any) -> None:
    np.testing.assert_array_equal(MIXED.encode(getattr(MIXED, way)(given_rows)), [[1, 0, 1], [0, 0, 0]])


def test_true_and_false_are_numbers_and_categories() -> None:
    flag = CategoricalPreprocessing(name="flag", categories=("False", "True"), example="True")
    encoder = TableEncoder(TablePreprocessing(columns=(AGE, flag)))
    tensors = [column("age", "BOOL", np.array([True, False])), column("flag", "BOOL", [True, False])]
    np.testing.assert_array_equal(encoder.encode(encoder.from_tensors(tensors)), [[0, 0, 1], [-0.5, 1, 0]])


def test_a_matrix_is_not_copied_on_its_way() -> None:
    values = np.arange(4, dtype=np.float32)
    assert np.shares_memory(np.asarray(NUMERIC.from_tensors([matrix((2, 2), values)])), values)


def test_rows_of_several_requests_are_one_batch() -> None:
    array = NUMERIC.from_tensors([matrix((1, 2), np.array([3, 7.5]))])
    listed = NUMERIC.from_instances([{"age": 1, "size": 2}])
    assert merge_rows([listed]) is listed
    np.testing.assert_array_equal(NUMERIC.encode(merge_rows([array, listed])), [[1, 7.5], [0, 2]])
    assert isinstance(merge_rows([array, array]), np.ndarray)


def test_the_signature_and_an_example_come_from_the_preprocessing() -> None:
    assert [(given.name, given.type) for given in MIXED.inputs] == [
        ("age", ColumnKind.NUMBER),
        ("city", ColumnKind.CATEGORY),
    ]
    assert MIXED.example() == {"age": 40.0, "city": "Köln"}
    assert MIXED.encode(MIXED.from_instances([MIXED.example()])).shape == (1, *MIXED.shape)


def test_metadata_is_a_matrix_where_all_columns_are_numeric() -> None:
    assert NUMERIC.tensors() == [
        {"name": "features", "datatype": "FP64", "shape": [-1, 2], "parameters": {"columns": ["age", "size"]}}
    ]
    assert MIXED.tensors() == [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "city", "datatype": "BYTES", "shape": [-1]},
    ]


def test_the_datatype_that_metadata_ask_for_holds_the_numbers_that_training_read() -> None:
    """A time in seconds, of which float32 has steps of 128."""
    at = NumericPreprocessing(name="at", mean=1_712_345_678, std=17, fill=1_712_345_678, example=1_712_345_678)
    encoder = TableEncoder(TablePreprocessing(columns=(at,)))
    rows = np.array([[1_712_345_650], [1_712_345_700.5]])
    (asked,) = encoder.tensors()
    sent = rows.astype(NUMBERS[asked["datatype"]])
    tensor = Tensor(asked["name"], asked["datatype"], sent.shape, sent.reshape(-1))
    np.testing.assert_array_equal(encoder.encode(encoder.from_tensors([tensor])), encoder.encode(rows))


@pytest.mark.parametrize(
    ("way", "rows", "place", "text"),
    [
        ("from_instances", [[1, 2], 3], (1, None, None, None), "the number 3 is not a row; expected an array or an"),
        ("from_inputs", [], (None, None, None, None), "must be an object of columns, not an array of 0"),
        ("from_inputs", {"age": 1}, (None, "age", None, None), "must be an array of values, not the number 1"),
        ("from_inputs", {"age": [1]}, (None, None, None, None), "size is missing; expected age, size"),
        (
            "from_inputs",
            {"age": [1], "size": [1], "x": [1]},
            (None, None, None, None),
            "x is not a column of this model",
        ),
        ("from_inputs", {"age": [1], "size": [1, 2]}, (None, None, None, None), "size has 2 values, but age has 1"),
        ("from_tensors", [column("age", "FP32", [1])] * 2, (None, None, 1, None), "is given twice"),
        ("from_tensors", [column("age", "FP32", [1])], (None, None, None, None), "size is missing; expected age, size"),
        (
            "from_tensors",
            [column("x", "FP32", [1])] * 2,
            (None, None, 0, None),
            "is no column of this model; expected one tensor for each of age, size, or one matrix [rows, 2]",
        ),
        ("from_tensors", [matrix((1, 2), ["1", "2"], "BYTES")], (None, None, 0, "datatype"), "BYTES; all columns are"),
        (
            "from_tensors",
            [matrix((4,), [1, 2, 3, 4])],
            (None, None, 0, "shape"),
            "[4]; expected [rows, 2] for age, size",
        ),
        ("from_tensors", [matrix((1, 3), [1, 2, 3])], (None, None, 0, "shape"), "[1, 3]; expected [rows, 2]"),
        (
            "from_tensors",
            [column("age", "BYTES", ["1"]), column("size", "FP32", [1])],
            (None, None, 0, "datatype"),
            "BYTES; the column is a Number: expected a number type such as FP64",
        ),
        (
            "from_tensors",
            [Tensor("age", "FP32", (1, 2), [1, 2]), column("size", "FP32", [1])],
            (None, None, 0, "shape"),
            "[1, 2]; expected [rows] or [rows, 1]",
        ),
        ("from_frame", 3, (None, None, None, None), "a int is neither a table nor a list of rows"),
        ("from_frame", {"age": 1, "size": 2}, (None, "age", None, None), "1 is no column; expected a list of values"),
        ("from_frame", {"age": [1], "size": "12"}, (None, "size", None, None), "'12' is no column"),
        ("from_frame", {"age": [1]}, (None, "size", None, None), "is missing; null stands for an unknown value"),
        ("from_frame", {"age": [1], "size": []}, (None, "size", None, None), "has 0 values, but age has 1"),
        ("from_frame", {"age": [1], "size": {2}}, (None, "size", None, None), "{2} is no column"),
        ("from_frame", {"age": [1], "size": [2], " age": [3]}, (None, "age", None, None), "is given twice"),
        ("from_frame", pd.DataFrame([[1, 2, 3]], columns=["age", "size", "age"]), (None, "age", None, None), TWICE),
        ("from_frame", pa.table([[1], [2], [3]], names=["age", "size", "age"]), (None, "age", None, None), TWICE),
    ],
)
def test_what_is_no_row_is_named_with_its_place(way: str, rows: Any, place: Any, text: str) -> None:
    with pytest.raises(InputError) as caught:
        getattr(NUMERIC, way)(rows)
    error = caught.value
    assert (error.row, error.column, error.tensor, error.part) == place
    assert error.message.startswith(text)


@pytest.mark.parametrize(
    "moment",
    [pd.Timestamp("2024-01-31"), pd.Timedelta("1h"), pd.Timestamp("2024-01-31").as_unit("ns"), pd.Timedelta(1, "ns")],
)
def test_a_time_is_no_number_though_numpy_makes_one_of_it(moment: Any) -> None:
    """A request cannot hold one but as a text, which is refused in the same words."""
    with pytest.raises(InputError, match="is not a number") as caught:
        NUMERIC.encode(NUMERIC.from_frame(pd.DataFrame({"age": [1], "size": [moment]})))
    assert (caught.value.row, caught.value.column) == (0, "size")
    with pytest.raises(InputError, match="is not a number"):
        NUMERIC.encode([[1, moment.to_numpy()]])
    masked = np.ma.masked_array([[moment.to_numpy()] * 2] * 2, mask=[[False, False], [True, True]])
    for frame in (masked, {"age": [1, 2], "size": masked[:, 1]}):
        with pytest.raises(InputError, match="is not a number"):
            NUMERIC.encode(NUMERIC.from_frame(frame))


def test_a_text_tensor_that_is_no_text_is_named() -> None:
    with pytest.raises(InputError, match="is not UTF-8") as caught:
        MIXED.from_tensors([column("city", "BYTES", [b"\xff"]), column("age", "FP32", [1])])
    assert (caught.value.tensor, caught.value.row) == (0, 0)


def test_arrow_is_not_needed_to_recognise_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyarrow")
    assert NUMERIC.from_frame({"age": [1], "size": [2]}) == [(1, 2)]


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("sent", ["NFC", "NFD"])
def test_names_are_one_however_unicode_composes_them(stored: Any, sent: Any) -> None:
    name = unicodedata.normalize(stored, "größe")
    given = unicodedata.normalize(sent, "größe")
    town = CITY.model_copy(update={"name": unicodedata.normalize(stored, "städtchen")})
    encoder = TableEncoder(TablePreprocessing(columns=(AGE.model_copy(update={"name": name}), town)))
    place = unicodedata.normalize(sent, "städtchen")
    forms = [
        encoder.from_instances([{given: 3, place: "Köln"}]),
        encoder.from_inputs({place: ["Köln"], given: [3]}),
        encoder.from_tensors([column(given, "FP32", [3]), column(place, "BYTES", ["Köln"])]),
        encoder.from_frame({given: [3], place: ["Köln"]}),
    ]
    for rows in forms:
        np.testing.assert_array_equal(encoder.encode(rows), [[1, 0, 1]])
    assert encoder.encode_counted([{given: 3, place: "Bern"}])[1] == {town.name: 1}


def test_one_column_under_two_spellings_is_given_twice() -> None:
    encoder = TableEncoder(TablePreprocessing(columns=(AGE.model_copy(update={"name": "größe"}),)))
    both = {"größe": 1, unicodedata.normalize("NFD", "größe"): 2}
    with pytest.raises(InputError, match=r"\[0\]\.größe: is given twice"):
        encoder.encode(encoder.from_instances([both]))
    with pytest.raises(InputError, match="größe: is given twice"):
        encoder.from_inputs({name: [1] for name in both})
    with pytest.raises(InputError, match="is given twice"):
        encoder.from_tensors([column(name, "FP32", [1]) for name in both])


def sent(cell: str, preprocessing: Any) -> Any:
    """What becomes of a row that a request writes so: features, and how many cells were not seen."""
    encoder = TableEncoder(TablePreprocessing(columns=(AGE, preprocessing)))
    document = parse_object(f'{{"instances": [[1, {cell}]]}}'.encode())
    return encoder.encode_counted(encoder.from_instances(document["instances"]))


@pytest.mark.parametrize("preprocessing", [NUMBERED, NOTE], ids=["category", "text"])
@pytest.mark.parametrize("digits", [LONG, "-9223372036854775809", "1234567890123456789012345"])
def test_a_number_beyond_64_bits_whose_digits_count_is_to_be_sent_as_text(digits: str, preprocessing: Any) -> None:
    """Files keep them all; as a float it would be another text than in training, and nobody would know."""
    with pytest.raises(InputError, match=r"^\[0\]\.id: -?[0-9.]+e\+[0-9]+ has lost digits.*: send it as text"):
        sent(digits, preprocessing)
    sent(f'"{digits}"', preprocessing)


def test_digits_that_are_there_or_do_not_count_are_taken() -> None:
    assert sent(f'"{LONG}"', NUMBERED)[1] == sent("1e20", NUMBERED)[1] == {}
    assert sent("18446744073709551615", NUMBERED)[1] == {"id": 1}, "64 bits are kept"
    sent(LONG, UNUSED)
    sent(LONG, SIZE)
