"""Columns of texts that a pretrained model reads, beside other columns: any family of tables learns from both."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tests.unit.runtime.families.berts import read_bert, write_bert
from tests.unit.runtime.families.datasets import run_onnx

from modelservice.artifact.files import document_bytes
from modelservice.contract.data import Data, Format
from modelservice.contract.estimators import DecisionTree
from modelservice.contract.failure import DataError, StageError
from modelservice.contract.model import Model
from modelservice.contract.task import Calibration
from modelservice.contract.training import Hyperparameters
from modelservice.families import family_named
from modelservice.families.base import Fitted
from modelservice.families.front import fit_behind
from modelservice.families.pretrained import read_pretrained, tokenizer_of
from modelservice.families.pretrained.texts import TextModel
from modelservice.modalities.base import Dataset
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import read_rows, read_source
from modelservice.stages.calibration import calibrate

LENGTH = 8
ROWS = 120


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_bert(tmp_path_factory.mktemp("bert"))


def data_of(uri: str, *, note: str = "Encoded", **more: Any) -> Data:
    return Data.model_validate(
        {
            "configMap": {"name": "d"},
            "target": "label",
            "encoder": {"uri": uri, "maxLength": LENGTH, **more},
            "columns": {"note": {"type": note}, "reply": {"type": "Encoded"}},
        }
    )


def lines(*, numbers: bool = False, replies: tuple[str, str] = ("the view was fine", "the room was poor")) -> str:
    """What is said and the sign of a number tell the class together, and neither of them alone."""
    said = ["note,number,reply,label"]
    for place in range(ROWS):
        good, positive = place % 2 == 0, place // 2 % 2 == 0
        note = f"the {('soup', 'room', 'view')[place % 3]} was {'great' if good else 'awful'}"
        reply = "" if place % 5 == 0 else replies[place // 7 % 2]
        number = (1 if positive else -1) * (1 + place / ROWS)
        label = number if numbers else "yes" if good == positive else "no"
        said.append(f"{note},{number},{reply},{label}")
    return "\n".join(said)


def rows(uri: str, content: str | None = None, *, note: str = "Encoded", **more: Any) -> Dataset:
    data = data_of(uri, note=note, **more)
    source = read_source((content or lines()).encode(), format=Format.CSV)
    return read_rows(source, data, None, tokenizer=tokenizer_of(Model.model_validate({"auto": {}}), data))[1]


def fit(dataset: Dataset, uri: str, model: dict[str, Any], seen: list[Dataset] | None = None) -> Fitted:
    settings = Model.model_validate(model)

    def of_numbers(numbers: Dataset) -> Fitted:
        if seen is not None:
            seen.append(numbers)
        family = family_named(settings.choice)
        return family.fit(settings.chosen, numbers, Hyperparameters(), observe=lambda _: None)

    encoder = data_of(uri).encoder
    assert encoder is not None
    return fit_behind(encoder, dataset, of_numbers)


@pytest.mark.parametrize("model", [{"svm": {"c": 100}}, {"decisionTree": {}}, {"kernelRidge": {}}], ids=str)
def test_text_and_number_together_tell_the_class(uri: str, model: dict[str, Any]) -> None:
    dataset = rows(uri)
    fitted = fit(dataset, uri, model)
    features = np.concatenate([dataset.train.features, dataset.test.features])
    raw = run_onnx(fitted.onnx, features)
    np.testing.assert_allclose(fitted.predict(features), raw, atol=1e-5)
    values = np.concatenate([dataset.train.values, dataset.test.values])
    assert (raw.argmax(axis=1) == values).mean() > 0.95
    assert fitted.notes[0].startswith(f"the encoder is {uri} with weights sha256:")
    assert fitted.parameters > read_pretrained(uri, None).parameters


def test_what_torch_would_serve_without_the_encoder_is_left_out(uri: str) -> None:
    dataset, encoder = rows(uri), data_of(uri).encoder
    assert encoder is not None

    def network(numbers: Dataset) -> Fitted:
        tree = family_named("decisionTree").fit(DecisionTree(), numbers, Hyperparameters(), observe=lambda _: None)
        return replace(tree, files={"weights.safetensors": b""}, sharpened=lambda _: tree)

    fitted = fit_behind(encoder, dataset, network)
    assert not fitted.files
    assert fitted.sharpened is None


def test_texts_that_were_read_are_not_read_again(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = rows(uri)
    fitted = fit(dataset, uri, {"svm": {}})
    sides = [dataset.validation.features, dataset.test.features]
    found, unseen = run_onnx(fitted.onnx, sides[1]), fitted.predict(sides[0])
    calibrated = calibrate(Calibration.TEMPERATURE, fitted, unseen, dataset).fitted
    calm = run_onnx(calibrated.onnx, sides[1])
    monkeypatch.setattr(TextModel, "compute", lambda *_: pytest.fail("it was read again"))
    assert fitted.recalled is not None
    assert calibrated.recalled is not None
    np.testing.assert_allclose(fitted.recalled(sides[1]), found, atol=1e-3)
    np.testing.assert_allclose(calibrated.recalled(sides[1]), calm, atol=1e-3)
    assert np.abs(found - calm).max() > 4e-3


def test_a_family_sees_what_a_concatenation_by_hand_gives(uri: str) -> None:
    dataset, seen = rows(uri), list[Dataset]()
    fit(dataset, uri, {"decisionTree": {}}, seen)
    numbers, values = seen[0].train.features, dataset.train.values
    # The number, the indicator of the reply, and 16 numbers of each text.
    assert numbers.shape[1] == 2 + 2 * 16
    assert seen[0].codes is not None
    assert seen[0].codes.tolist() == [False] + [True] * 33
    held = dataset.train.features[:, LENGTH + 1] > 0
    assert 0 < (~held).sum() < len(held)
    # A missing reply has no effect but by its indicator.
    assert (numbers[~held, 2 + 16 :] == 0).all()
    np.testing.assert_array_equal(numbers[:, 1], ~held)
    # By hand, each text alone: centered over both columns, and scaled by one factor.
    tokens = np.concatenate([dataset.train.features[:, :LENGTH], dataset.train.features[held, LENGTH + 1 : -1]])
    encoder = read_bert(uri)
    alone = np.concatenate([encoder.compute(tokens[row : row + 1]) for row in range(len(tokens))])
    apart = alone - alone.mean(axis=0)
    expected = apart * (4 / np.linalg.norm(apart, axis=1).mean())
    np.testing.assert_allclose(np.concatenate([numbers[:, 2:18], numbers[held, 18:]]), expected, atol=5e-3)
    # Another library's linear model tells the classes by their products, and by neither part alone.
    for columns, expected_share in (
        (numbers[:, 2:18] * numbers[:, :1], 1.0),
        (numbers[:, 2:18], 0.5),
        (numbers[:, :1], 0.5),
    ):
        share = LogisticRegression(C=100, max_iter=1000).fit(columns, values).score(columns, values)
        assert share == pytest.approx(expected_share, abs=0.1)


def test_numbers_are_predicted_and_a_row_without_texts_is_answered(uri: str) -> None:
    dataset = rows(uri, lines(numbers=True))
    fitted = fit(dataset, uri, {"kernelRidge": {}})
    empty = np.zeros((2, *dataset.shape), np.float32)
    raw = run_onnx(fitted.onnx, np.concatenate([dataset.test.features, empty]))
    assert raw.shape == (len(dataset.test.values) + 2, 1)
    assert np.isfinite(raw).all()
    assert np.corrcoef(raw[:-2, 0], dataset.test.values)[0, 1] > 0.9


def test_rows_of_requests_are_those_of_training(uri: str) -> None:
    dataset = rows(uri)
    encoder = open_encoder("Table", document_bytes(dataset.preprocessing))
    row = {"note": "the soup was great", "number": 1.0, "reply": None}
    features = encoder.encode([row])
    assert features.shape == (1, *dataset.shape)
    assert (features[0, LENGTH + 1 : -1] == 0).all()
    assert features[0, -1] == 1
    longer = "the soup was great " * 9
    np.testing.assert_array_equal(*encoder.encode([{**row, "note": longer}, {**row, "note": f"{longer} and more"}]))
    # Letters that no text of the training had are read, too.
    assert (encoder.encode([{**row, "note": "\u03a9\u03bc \U0001f600"}])[0, :LENGTH] > 0).all()
    assert encoder.measures["note"](["abc"])[0] == 3
    for wrong, message in (
        ("x" * (2**17 + 1), "has 131073 characters, at most 131072 are read: cut it"),
        (chr(0xD800), "holds half a character"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            encoder.encode([{**row, "note": wrong}])
        assert (caught.value.row, caught.value.column) == (0, "note")


def test_a_text_that_no_request_may_have_is_refused(uri: str) -> None:
    content = lines().replace("the soup was great", "x" * (2**17 + 1), 1)
    with pytest.raises(DataError, match="column note has a text of 131073 characters") as caught:
        rows(uri, content)
    assert (caught.value.reason, caught.value.field) == ("TextTooLong", "spec.data.columns")


def test_what_the_encoder_cannot_do_is_named(tmp_path: Path) -> None:
    uri = write_bert(tmp_path / "m", max_position_embeddings=4)
    with pytest.raises(StageError, match="is 8, and the encoder reads 4 tokens at most: set it to 4 or less") as caught:
        fit(rows(uri), uri, {"decisionTree": {}})
    assert (caught.value.reason, caught.value.field) == ("ModelUnsuited", "spec.data.encoder.maxLength")
    with pytest.raises(StageError) as other:
        rows(uri, digest=f"sha256:{'0' * 64}")
    assert (other.value.reason, other.value.field) == ("EncoderChanged", "spec.data.encoder.digest")


def test_without_a_text_that_tells_something_no_encoder_is_needed(uri: str) -> None:
    dataset = rows(uri, lines(replies=("", "")), note="Ignore")
    assert "ignored column reply: it is empty" in dataset.notes
    assert fit(dataset, uri, {"decisionTree": {}}).notes == ()
