"""Rows in parts: what is asked of a model when they are hidden, and how each modality tells what they add."""

import io
import tracemalloc
from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.unit.runtime.serving.fakes import LABELS, image_model, mixed_model, numeric_model, regression_model

from modelservice.inference.explaining.question import Question
from modelservice.modalities.image.parts import ImageParts, draw
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions
from modelservice.modalities.table.parts import TableParts
from modelservice.modalities.text.parts import TextParts
from modelservice.tasks.threshold import BinaryThreshold


def masks(*rows: str) -> Any:
    return np.array([[letter == "1" for letter in row] for row in rows])


def test_cells_are_mixed_as_they_are() -> None:
    reference = ["x", None, 9]
    assert TableParts("abc", [1, "a", None], reference).shown(masks("101", "000")) == [[1, None, None], reference]
    assert TableParts("abc", [[2], True, 0.5], reference).shown(masks("101")) == [[[2], None, 0.5]]


@pytest.mark.parametrize(
    ("text", "shown", "whole"),
    [
        ("not  bad\nat all", {"1011": "not  at all", "0000": ""}, 4),
        ("one", {"0": "", "1": "one"}, 1),
        ("", {"0": "", "1": ""}, 1),
        ("ja ja", {"10": "ja ", "01": "ja"}, 2),
    ],
)
def test_words_are_left_out_and_the_whole_is_the_text(text: str, shown: dict[str, str], whole: int) -> None:
    parts = TextParts(text)
    assert parts.count == whole
    assert parts.shown(masks("1" * whole)) == [text]
    assert parts.shown(masks(*shown)) == list(shown.values())


def test_words_are_left_out_without_a_copy_of_all_masks_as_objects() -> None:
    parts = TextParts("a " * 1000)
    hidden = ~np.eye(1000, dtype=np.bool_)
    tracemalloc.start()
    shown = parts.shown(hidden)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {len(text) for text in shown} == {1998}
    assert peak < 2 * sum(map(len, shown))  # as objects the masks alone take 8 bytes a word of each

    told = TextParts("ja  nein ja").told(np.array([0.5, -1.0, 0.25]))
    assert told == {
        "contributions": [
            {"word": "ja", "contribution": 0.5},
            {"word": "nein", "contribution": -1.0},
            {"word": "ja", "contribution": 0.25},
        ]
    }


def test_patches_are_hidden_up_to_the_edge() -> None:
    image = np.arange(3 * 5 * 2, dtype=np.uint8).reshape(3, 5, 2)
    parts = ImageParts(image, np.array([7, 8], np.uint8), PartOptions(patch=2))
    assert parts.count == 2 * 3
    whole, hidden, corner = parts.shown(masks("111111", "000000", "111110"))
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, image)
    assert (hidden == [7, 8]).all()
    assert (corner[2, 4] == [7, 8]).all()
    corner[2, 4] = image[2, 4]
    np.testing.assert_array_equal(corner, image)
    assert parts.told(np.arange(6.0)) == {"contributions": [[0, 1, 2], [3, 4, 5]], "patch": 2}


@pytest.mark.parametrize(("height", "width", "count"), [(28, 28, 49), (4, 4, 16), (224, 100, 8 * 4), (1, 1, 1)])
def test_without_a_size_there_are_eight_patches_on_the_longer_side(height: int, width: int, count: int) -> None:
    assert ImageParts(np.zeros((height, width, 1)), np.zeros(1), WHOLE_PARTS).count == count


def test_a_patch_beyond_the_image_takes_no_more_than_the_image() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 6, 1)
    parts = ImageParts(image, np.array([7], np.uint8), PartOptions(patch=2**40, heat_map=True))
    whole, hidden = parts.shown(masks("1", "0"))
    np.testing.assert_array_equal(whole, image)
    assert (hidden == 7).all()
    picture = Image.open(io.BytesIO(b64decode(parts.told(np.array([1.0]))["heat_map"]["b64"])))
    assert picture.size == (6, 2)


def test_a_heat_map_is_red_where_a_patch_adds_and_blue_where_it_takes_away() -> None:
    image = np.zeros((2, 4, 1))
    told = ImageParts(image, np.zeros(1), PartOptions(patch=2, heat_map=True)).told(np.array([2.0, -1.0]))
    picture = np.asarray(Image.open(io.BytesIO(b64decode(told["heat_map"]["b64"]))))
    assert picture.shape == (2, 4, 3)
    assert (picture[:, :2] == [255, 0, 0]).all()
    assert (picture[:, 2:] == [128, 128, 255]).all()
    plain = np.asarray(Image.open(io.BytesIO(draw(np.zeros((2, 2))))))
    assert (plain == 255).all()


def explained(model: Any, rows: Any, **more: Any) -> tuple[Question, list[dict[str, Any]]]:
    question = Question(model.encoder.parts(model.encoder.from_instances(rows)), **more)
    raw = model.engine.run(model.encoder.encode(question.asked()))
    assert len(raw) == question.size
    return question, question.explanations(raw, model.signature)


def test_rows_are_told_apart() -> None:
    question, found = explained(regression_model(), [[3, -1], [0.5, 2]])
    assert [one["contributions"] for one in found] == [
        {"sepal_length": 2.5, "petal_length": -1.5},
        {"sepal_length": 0.0, "petal_length": 1.5},
    ]
    assert [question.row_of(index) for index in range(8)] == [0] * 4 + [1] * 4
    assert (question.method, question.exact) == ("Shapley", True)


def test_a_bright_patch_of_a_sum_is_what_its_pixels_add() -> None:
    image = np.full((4, 4), 100)
    image[:2, 2:] = 200
    question, (found,) = explained(image_model(labels=()), [image.tolist()], evaluations=18)
    assert (question.method, question.size) == ("Occlusion", 18)
    expected = np.zeros((4, 4))
    expected[:2, 2:] = 0.1  # (200 - 100) / 1000, as the fake standardises and sums up
    np.testing.assert_allclose(found["contributions"], expected, atol=1e-6)
    assert (found["value"], found["base"]) == (pytest.approx(0.4), pytest.approx(0.0))


def test_a_label_may_be_chosen_by_each_row() -> None:
    _, found = explained(mixed_model(), [{"age": 9, "city (home)": "Basel"}, {"age": -9, "city (home)": "Basel"}])
    assert [one["label"] for one in found] == [LABELS[-1], LABELS[0]]


def test_the_label_that_is_answered_is_explained_where_a_threshold_decides() -> None:
    task, labels = BinaryThreshold(0.7), ("no", "yes")
    model = numeric_model(labels)
    told = {"task": task.name, "outputs": task.outputs(labels)}
    model.signature = model.signature.model_copy(update=told)
    _, found = explained(model, [[0.2, 0.3], [1, 0.5], [-3, 0]])
    assert [one["label"] for one in found] == ["no", "yes", "no"]
    assert found[0]["value"] == pytest.approx(1 - 1 / (1 + np.exp(-0.5)))
    assert found[0]["contributions"]["petal_length"] > 0  # less than the example's, which adds to "no"


def test_too_few_evaluations_are_said_with_how_many_are_needed() -> None:
    with pytest.raises(ValueError, match=r"^17; 16 patches need at least 18$"):
        explained(image_model(), [np.zeros((4, 4)).tolist()], evaluations=17)
    with pytest.raises(ValueError, match=r"^3; 2 columns need at least 4$"):
        explained(regression_model(), [[1, 2]], evaluations=3)
