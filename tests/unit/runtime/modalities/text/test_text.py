"""Texts to tokens: the same in training and in requests, and what is said of those that are none."""

from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from modelservice.contract.data import Data, Format
from modelservice.contract.documents import DocumentError
from modelservice.contract.failure import DataError
from modelservice.contract.signature import InputColumn
from modelservice.modalities.base import Dataset
from modelservice.modalities.encoders import build_encoder, open_encoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import read_rows, read_source
from modelservice.modalities.tensors import BYTES, Tensor, to_binary
from modelservice.modalities.text import encoder as serving
from modelservice.modalities.text import source as training
from modelservice.modalities.text.embedded import EmbeddedEncoder, EmbeddedPreprocessing
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import Tokens, train_tokenizer

LINES = [
    f"the {thing} of {place} was late,{label}" for place in range(20) for thing, label in (("box", "a"), ("car", "b"))
]


def settings(**more: Any) -> Data:
    text = {"column": "note", "maxLength": 8}
    return Data.model_validate({"configMap": {"name": "d"}, "target": "label", "text": text, **more})


def learn(lines: list[str], **more: Any) -> Dataset:
    content = "\n".join(["note,label", *lines]).encode()
    return read_rows(read_source(content, format=Format.CSV), settings(**more), None)[1]


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return learn(LINES)


def test_texts_are_rows_of_tokens_with_nothing_behind_the_last(dataset: Dataset) -> None:
    assert (dataset.modality, dataset.shape, dataset.features) == ("Text", (8,), 1)
    (given,) = dataset.inputs
    assert isinstance(given, InputColumn)
    assert (given.name, given.datatype, given.example) == ("note", "BYTES", "a few words")
    features = dataset.train.features
    assert (features == np.floor(features)).all()
    ends = (features > 0).sum(axis=1)
    assert all((row[end:] == 0).all() and (row[:end] > 0).all() for row, end in zip(features, ends, strict=True))
    assert isinstance(dataset.preprocessing, TextPreprocessing)
    assert features.max() <= dataset.preprocessing.vocabulary
    assert dataset.codes is not None
    assert dataset.codes.all()


def test_a_text_is_divided_into_its_words(dataset: Dataset) -> None:
    encoder = open_encoder("Text", dataset.preprocessing.model_dump_json(by_alias=True).encode())
    text = "the box was\tlate"
    (parts,) = encoder.parts(encoder.from_instances([[text]]))
    assert (parts.count, parts.noun) == (4, "words")
    whole, without = parts.shown(np.array([[True] * 4, [True, False, True, True]]))
    np.testing.assert_array_equal(encoder.encode([whole]), encoder.encode([text]))
    np.testing.assert_array_equal(encoder.encode([without]), encoder.encode(["the was\tlate"]))
    with pytest.raises(InputError, match="is not a text"):
        encoder.parts([3])


def test_a_request_gets_what_training_saw_in_every_form(dataset: Dataset) -> None:
    encoder = open_encoder("Text", dataset.preprocessing.model_dump_json(by_alias=True).encode())
    texts = ["the box of 3 was late", "", "unheard of: żółć 🎉", "x" * 500]
    expected = encoder.encode(encoder.from_frame(texts))
    assert (expected[1] == 0).all()
    assert (expected[2] > 0).any()
    rows = [
        encoder.from_instances(list(texts)),
        encoder.from_instances([[text] for text in texts]),
        encoder.from_instances([{"note": text} for text in texts]),
        encoder.from_inputs(texts),
        encoder.from_inputs({"note": texts}),
        encoder.from_tensors([Tensor("note", "BYTES", (4,), [text.encode() for text in texts])]),
        encoder.from_tensors([Tensor("note", "BYTES", (4, 1), list(texts))]),
        encoder.from_frame({"note": texts, "other": [1, 2, 3, 4]}),
        [f" {text} " for text in texts],
    ]
    for one in rows:
        np.testing.assert_array_equal(encoder.encode(one), expected)
    np.testing.assert_array_equal(encoder.encode([None, float("nan")]), np.zeros((2, 8)))
    assert encoder.encode_counted([encoder.example()])[1] == {}
    assert encoder.tensors() == [{"name": "note", "datatype": "BYTES", "shape": [-1]}]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([3], "row 0, note: the number 3 is not a text"),
        (["a", {"other": "b"}], "row 1: is an object, of which only one of note is a row"),
        ([["a", "b"]], "row 0: has 2 values; expected one, note"),
        (["a" * 2**18], "row 0, note: has 262144 characters, at most 131072 are read: cut it"),
        (["\ud800"], "row 0, note: holds half a character (a lone surrogate): send UTF-8"),
    ],
)
def test_a_row_that_is_no_text_is_named(dataset: Dataset, rows: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        build_encoder("Text", dataset.preprocessing).encode(rows)
    error = caught.value
    place = f"row {error.row}" + (f", {error.column}" if error.column else "")
    assert f"{place}: {error.message}" == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda one: one.from_inputs({"a": []}), "must be an array of texts, or an object of note, not an object"),
        (lambda one: one.from_inputs("a"), "must be an array of texts, not the text 'a'"),
        (lambda one: one.from_tensors([Tensor("n", "FP32", (1,), [1.0])]), "FP32; texts are BYTES"),
        (lambda one: one.from_tensors([Tensor("n", "BYTES", (1, 2), ["a", "b"])]), "[1, 2]; expected [rows] or"),
        (lambda one: one.from_tensors([Tensor("n", "BYTES", (1,), ["a"])] * 2), "is one too many"),
        (lambda one: one.from_frame({"a": ["b"]}), "is missing"),
        (lambda one: one.from_frame("a"), "a str is neither a table nor a list of texts"),
        (lambda one: one.from_frame(3), "a int is neither a table nor a list of texts"),
    ],
)
def test_a_request_of_another_form_is_refused(dataset: Dataset, call: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call(build_encoder("Text", dataset.preprocessing))
    assert caught.value.message.startswith(message)


def test_missing_texts_are_empty_and_said() -> None:
    assert "column note: 2 rows have no text" in learn([*LINES, ",a", " ,b"]).notes


def test_words_that_mean_missing_are_empty_texts_in_training_and_in_requests() -> None:
    dataset = learn([*LINES, "n/a,a", "Not Given,b", "?,b"], missing=["not given", "?"])
    assert "2 cells hold a word of data.missing and count as missing, in note" in dataset.notes
    assert "column note: 2 rows have no text" in dataset.notes
    encoder = open_encoder("Text", dataset.preprocessing.model_dump_json(by_alias=True).encode())
    empty, word, other, usual = encoder.encode(["", " NOT given", "not given away", "n/a"])
    np.testing.assert_array_equal(empty, word)
    assert (other > 0).any()
    assert (usual > 0).any()


def test_an_encoder_elsewhere_is_asked_for_an_empty_text_in_place_of_such_a_word() -> None:
    told = {"name": "note", "encoder": "minilm", "digest": f"sha256:{'0' * 64}", "width": 2}
    texts = ["Not given", "late"]
    for missing, sent in ((("not given",), ["", "late"]), (None, texts)):
        encoder = EmbeddedEncoder(EmbeddedPreprocessing.model_validate({**told, "missing": missing}))
        assert encoder.sent(texts).rows == [to_binary(BYTES, [text]) for text in sent]


def test_what_cannot_be_learned_from_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for lines, more, reason in (
        ([f"same,{place / 7}" for place in range(40)], {}, "NoFeatures"),
        (LINES, {"text": {"column": "nope"}}, "ColumnNotFound"),
        (LINES, {"split": {"groupBy": "note"}}, "ColumnNotClear"),
    ):
        with pytest.raises(DataError) as caught:
            learn(lines, **more)
        assert caught.value.reason == reason, caught.value.message
    monkeypatch.setattr(training, "MAX_CHARACTERS", 20)
    with pytest.raises(DataError, match="line 2, column note: the text has 21 characters, at most 20 are read"):
        learn(LINES)


def test_the_tokenizer_is_the_same_for_the_same_texts_whatever_the_threads() -> None:
    texts = [line.partition(",")[0] for line in LINES] * 20
    assert len({train_tokenizer(texts, vocabulary=400) for _ in range(3)}) == 1


def test_a_document_without_a_tokenizer_is_refused(dataset: Dataset) -> None:
    broken = dataset.preprocessing.model_copy(update={"tokenizer": "{}"})
    with pytest.raises(DocumentError, match=r"preprocessing\.json holds no tokenizer of the library tokenizers"):
        serving.TEXT.build(broken)


def test_a_vocabulary_reaches_to_the_highest_number_of_a_token() -> None:
    tokenizer = Tokenizer(WordLevel({"a": 0, "b": 9})).to_str()
    assert Tokens(tokenizer, max_length=2).vocabulary == 10
