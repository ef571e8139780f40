"""``spec.data.missing``: one meaning of missing for every column, the target, files, frames and requests."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.cells import Missing
from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Dataset, Encoder
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import from_frame, read_source
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.tensors import NUMERIC, Tensor

ROWS = 40


def settings(missing: Any, **more: Any) -> Data:
    return Data.model_validate({"configMap": {"name": "d"}, "target": "y", "missing": missing, **more})


def learn(missing: Any, *, a: Any, t: Any, y: Any, **more: Any) -> Dataset:
    lines = [f"{a(n)},{t(n)},{y(n)}" for n in range(ROWS)]
    return build_dataset(
        read_source("\n".join(["a,t,y", *lines]).encode(), format=Format.CSV), settings(missing, **more)
    )


def number(n: int) -> str:
    return str(n)


def letter(n: int) -> str:
    return "uv"[n % 2]


def label(n: int) -> str:
    return "pq"[n % 3 == 0]


def every_fifth(word: str, other: Any) -> Any:
    return lambda n: word if n % 5 == 0 else other(n)


def encoder_of(dataset: Dataset) -> Encoder:
    return open_encoder(dataset.modality, dataset.preprocessing.model_dump_json().encode())


def type_of(dataset: Dataset, at: int) -> Any:
    column = dataset.inputs[at]
    assert isinstance(column, InputColumn)
    return column.type, column.categories


@pytest.mark.parametrize(
    ("words", "cell"),
    [
        (["", "NA", "?"], "?"),
        (["", "NA", "?"], " na "),
        (["-"], "-"),
        (["-999"], "-999"),
        (["-999"], "-999.0"),
        (["k. A."], "k. a."),
    ],
)
def test_words_mean_missing_in_numbers_texts_and_the_target_alike(words: Any, cell: str) -> None:
    dataset = learn(words, a=every_fifth(cell, number), t=every_fifth(cell, letter), y=every_fifth(cell, label))
    assert (dataset.rows, dataset.dropped, dataset.labels) == (32, 8, ("p", "q"))
    assert type_of(dataset, 0) == (ColumnKind.NUMBER, ())
    assert type_of(dataset, 1) == (ColumnKind.CATEGORY, ("u", "v"))
    assert "8 cells hold a word of data.missing and count as missing, in y" in dataset.notes


def test_how_many_cells_of_which_columns_is_said() -> None:
    dataset = learn(["?"], a=every_fifth("?", number), t=lambda n: "?" if n == 1 else letter(n), y=label)
    assert "9 cells hold a word of data.missing and count as missing, in a, t" in dataset.notes
    none = learn(["?"], a=number, t=letter, y=label)
    assert not any("data.missing" in note for note in none.notes)


def test_words_that_are_not_listed_are_no_longer_missing() -> None:
    with pytest.raises(DataError, match="line 2, column a: 'NA' is not a number") as caught:
        learn(["?"], a=every_fifth("NA", number), t=letter, y=label)
    assert caught.value.reason == "NotANumber"
    assert learn([], a=number, t=letter, y=every_fifth("NA", lambda n: str(n % 2))).labels == ("0", "1", "NA")


def test_a_target_of_numbers_with_words_is_predicted() -> None:
    dataset = learn(["?"], a=number, t=letter, y=every_fifth("?", lambda n: f"{n}.5"))
    assert (dataset.task.name, dataset.dropped) == ("Regression", 8)


def test_prices_with_words_are_numbers() -> None:
    dataset = learn(["on request"], a=every_fifth("on request", lambda n: f"${n}"), t=letter, y=label)
    assert type_of(dataset, 0) == (ColumnKind.NUMBER, ())
    assert encoder_of(dataset).encode([["on request", "u"]])[0, 0] == 0


def test_a_code_is_no_number_that_means_missing() -> None:
    dataset = learn(["101"], a=number, t=letter, y=lambda n: "0101" if n % 2 else "101" if n == 2 else "202")
    assert (dataset.labels, dataset.dropped) == (("0101", "202"), 1)


def test_labels_of_20_digits_are_told_apart() -> None:
    first, second = "12345678901234567890", "12345678901234567891"
    dataset = learn([first], a=number, t=letter, y=lambda n: [first, second, "7"][n % 3])
    assert dataset.labels == ("7", second)


@pytest.mark.parametrize("values", [[-999, 1, 2, 3], [-999.0, 1, 2, np.nan], ["-999", "1", "2", "3"]])
def test_frames_are_read_by_the_same_words(values: Any) -> None:
    frame = pd.DataFrame({"a": values * 10, "y": [*"pqpq"] * 9 + ["-999", *"pqp"]})
    dataset = build_dataset(from_frame(frame), settings(["-999"]))
    assert (dataset.dropped, dataset.labels) == (1, ("p", "q"))
    assert isinstance(dataset.preprocessing, TablePreprocessing)
    stored = json.loads(dataset.preprocessing.model_dump_json())
    assert stored["columns"][0]["mean"] > 0
    assert stored["missing"] == ["-999"]


@pytest.mark.parametrize("cell", ["-999", " -999.0", -999, -999.0, np.float32(-999), "?", None, ""])
def test_a_request_means_by_a_word_what_training_meant(cell: Any) -> None:
    encoder = encoder_of(learn(["-999", "?"], a=number, t=letter, y=label))
    expected = encoder.encode([[None, None]])
    for rows in ([[cell, cell]], [{"a": cell, "t": cell}], [(cell, cell)]):
        np.testing.assert_array_equal(encoder.encode(rows), expected)
        assert encoder.encode_counted(rows)[1] == {}


def test_a_matrix_of_numbers_is_read_by_the_same_words() -> None:
    dataset = learn(["-999"], a=number, t=lambda n: str(-n), y=label)
    encoder = encoder_of(dataset)
    expected = encoder.encode([[1, None], [None, 2]])
    for matrix in (np.array([[1.0, -999], [-999, 2]]), np.array([[1, -999], [-999, 2]], dtype=np.int64)):
        np.testing.assert_array_equal(encoder.encode(matrix), expected)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_a_matrix_in_any_datatype_is_read_by_the_same_words(datatype: str) -> None:
    """No float32 is -99.9 or 999999999, but one is what became of each; and an infinite number is none of them."""
    words = ["-99.9", "999999999"]
    encoder = encoder_of(learn(words, a=number, t=lambda n: str(-n), y=label))
    dtype = NUMERIC[datatype]
    rows = np.array([[1, -99.9], [-99.9, 2]], dtype=dtype)
    expected = encoder.encode([[1, None], [None, 2]])
    np.testing.assert_array_equal(encoder.encode(rows), expected)
    if datatype == "FP16":
        with pytest.raises(InputError):
            encoder.encode(np.full((1, 2), np.inf, dtype))
    else:
        np.testing.assert_array_equal(encoder.encode(np.full((1, 2), 999_999_999, dtype)), encoder.encode([[None] * 2]))


def test_a_fraction_that_was_rounded_to_float32_is_the_same_word_in_frames_and_columns() -> None:
    frame = pd.DataFrame({"a": np.arange(ROWS), "t": -np.arange(ROWS), "y": [label(n) for n in range(ROWS)]})
    frame = frame.astype({"a": np.float32})
    frame.loc[::10, "a"] = -99.9
    dataset = build_dataset(from_frame(frame), settings(["-99.9"]))
    assert "4 cells hold a word of data.missing and count as missing, in a" in dataset.notes
    encoder = encoder_of(dataset)
    a, t = np.array([-99.9, 1], dtype=np.float32), np.array([5, 6], dtype=np.float32)
    rows = encoder.from_tensors([Tensor("a", "FP32", (2,), a), Tensor("t", "FP32", (2,), t)])
    np.testing.assert_array_equal(encoder.encode(rows), encoder.encode([[None, 5], [1, 6]]))
    assert not Missing.of(["99999999"]).means("100000000")  # what float32 makes of it, but another whole number


def test_a_word_that_is_not_listed_is_refused_in_requests_as_in_files() -> None:
    encoder = encoder_of(learn(["?"], a=number, t=letter, y=label))
    with pytest.raises(ValueError, match=r"\[0\]\.a: 'NA' is not a number"):
        encoder.encode([["NA", "u"]])


def test_without_words_nothing_is_stored_that_an_older_server_does_not_know() -> None:
    dataset = learn(None, a=number, t=letter, y=label)
    assert "missing" not in json.loads(dataset.preprocessing.model_dump_json())


def test_images_without_a_target_are_dropped_by_the_same_words(tmp_path: Any) -> None:
    path = tmp_path / "d.npz"
    images = np.random.default_rng(0).integers(0, 255, (60, 4, 4), dtype=np.uint8)
    np.savez(path, X=images, y=np.array([["?", "p", "q"][n % 3] for n in range(60)]))
    dataset = build_dataset(read_source(path.read_bytes(), format=Format.NPZ), settings(["?"]))
    assert (dataset.rows, dataset.dropped, dataset.labels) == (40, 20, ("p", "q"))
    assert "20 cells hold a word of data.missing and count as missing, in y" in dataset.notes


CELLS = st.sampled_from(["NA", "?", "1", "1.0", "01", "x", "", "-999", "$5", "1e3", "1000"])


@given(st.lists(CELLS, max_size=4), CELLS | st.text(max_size=4) | st.floats() | st.integers() | st.booleans())
def test_a_cell_is_missing_or_itself(words: Any, cell: Any) -> None:
    rule = Missing.of(words)
    kept = rule.blanked(cell)
    assert kept is None or kept is cell
    if isinstance(cell, str) and cell.strip() in words:
        assert kept is None
