"""What the bench of few examples learns from, and what it tests."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.bench.fewshot import fitting
from tests.bench.fewshot.candidates import OF_IMAGES, OF_TEXTS, Candidate, Task
from tests.bench.fewshot.fitting import DrawName, fit_draw, is_fitted, key_of
from tests.bench.fewshot.sets import MOST, Rows, set_named

TEXTS, IMAGES = set_named("reuters"), set_named("digits")


def labelled() -> Iterator[tuple[str, Any]]:
    """Two classes with enough rows, and one without."""
    for label, count in (("a", 160), ("b", 200), ("few", 140)):
        yield from ((label, f"{label} {number}") for number in range(count))


def test_classes_with_enough_rows_have_as_many() -> None:
    rows = replace(TEXTS, read=labelled).rows()
    assert rows.classes == ("a", "b")
    assert np.bincount(rows.labels).tolist() == [160, 160]
    assert [rows.classes[code] for code in rows.labels] == [text.split()[0] for text in rows.inputs]
    every = [text for _, text in labelled()]
    assert [every[number] for number in rows.numbers] == rows.inputs


def test_what_is_tested_was_not_learned_from_and_draws_differ() -> None:
    rows = replace(TEXTS, read=labelled).rows()
    learned, tested = rows.drawn(1)
    assert learned.shape == (2, MOST)
    assert rows.labels[learned].tolist() == [[0] * MOST, [1] * MOST]
    assert sorted([*learned.ravel(), *tested]) == list(range(320))
    assert learned.tolist() == rows.drawn(1)[0].tolist() != rows.drawn(2)[0].tolist()


def separate(*, texts: bool) -> Task:
    """Two classes that any candidate can tell apart, 40 rows of each."""
    labels = np.arange(80) % 2
    noise = np.random.default_rng(0)
    numbers = (labels[:, None] * 4 + noise.normal(size=(80, 6))).astype(np.float32)
    inputs: Any = (
        [
            ("the ship sails on the sea " if code else "grain grows in the field ") * 3 + str(place)
            for place, code in enumerate(labels)
        ]
        if texts
        else (labels[:, None, None, None] * 120 + noise.integers(0, 80, size=(80, 1, 8, 8))).astype(np.uint8)
    )
    rows = Rows(inputs=inputs, labels=labels, numbers=np.arange(80), classes=("no", "yes"))
    learned = np.stack([np.flatnonzero(labels[:40] == code)[:16] for code in (0, 1)])
    return Task(rows=rows, numbers=numbers, learned=learned, tested=np.arange(40, 80), seed=0)


@pytest.mark.parametrize(
    ("candidate", "texts"),
    [*((one, True) for one in OF_TEXTS), *((one, False) for one in OF_IMAGES)],
    ids=lambda value: value.name if isinstance(value, Candidate) else "",
)
def test_candidates_learn_what_can_be_told_apart(
    candidate: Candidate, texts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.bench.fewshot.candidates._STEPS", {"transformer": 60, "cnn": 60})
    task = separate(texts=texts)
    assert (candidate.fit(task) == task.rows.labels[task.tested]).mean() >= 0.9


def test_validation_rows_are_among_the_examples_of_each_class() -> None:
    task = separate(texts=True)
    train, validation, tested = task.sides
    assert sorted([*train, *validation]) == sorted(task.learned.ravel())
    assert np.bincount(task.rows.labels[validation]).tolist() == [3, 3]
    assert tested is task.tested


def test_images_that_another_encoder_read_are_fitted_again_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, asked = DrawName(set="digits", seed=0), []
    some = replace(IMAGES, read=lambda: ((label, np.zeros((1, 2, 2), np.uint8)) for label, _ in labelled()))

    def candidate(name: str, *, encoded: bool) -> Candidate:
        def fit(task: Task) -> Any:
            asked.append(name)
            return task.rows.labels[task.tested]

        return Candidate(name=name, encoded=encoded, fit=fit, sizes=(8,))

    every = (candidate("encoder", encoded=True), candidate("pixels", encoded=False))
    monkeypatch.setattr(fitting, "candidates_of", lambda *, texts: every)  # noqa: ARG005 - the seam's signature
    monkeypatch.setattr(fitting, "embedded", lambda _, rows: np.zeros((len(rows.labels), 3), np.float32))
    assert not is_fitted(some, name, tmp_path)
    fit_draw(some, name, tmp_path)
    assert is_fitted(some, name, tmp_path)
    monkeypatch.setattr(fitting, "READS_IMAGES", "another")
    assert not is_fitted(some, name, tmp_path)
    fit_draw(some, name, tmp_path)
    assert is_fitted(some, name, tmp_path)
    assert asked == ["encoder", "pixels", "encoder"]
    with np.load(name.place(tmp_path), allow_pickle=False) as arrays:
        assert {key_of(8, "encoder"), key_of(8, "pixels"), "truth", "rows", "encoder"} == set(arrays)
