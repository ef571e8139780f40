"""Stored fits."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.bench.quality.store import Fit, FitName, Predictions, Store, StoreError

NAME = FitName(table="iris", candidate="svm", repeat=1, fold=2)
FIT = Fit(
    name=NAME,
    key="k",
    train_rows=120,
    classes=("a", "b"),
    scores={"accuracy": 0.5},
    seconds=1.5,
    cpu_seconds=1.25,
)
PREDICTIONS = Predictions(
    rows=np.array([3, 4]),
    truth=np.array([0, 1]),
    values=np.array([0, 0]),
    probabilities=np.array([[0.75, 0.25], [0.5, 0.5]]),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(folder=tmp_path)


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read(NAME) is None
    store.write(FIT, PREDICTIONS)
    fit = store.read(NAME)
    assert fit is not None
    assert (fit.name, fit.scores, fit.classes, fit.seconds, fit.error) == (NAME, FIT.scores, ("a", "b"), 1.5, None)
    found = store.predictions(fit)
    assert found.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]
    assert (found.rows.tolist(), found.truth.tolist(), found.values.tolist()) == ([3, 4], [0, 1], [0, 0])
    assert sorted(path.name for path in (store.folder / "iris" / "svm").iterdir()) == ["1-2.json", "1-2.npz"]


def test_predictions_that_are_not_those_of_the_document_are_refused(store: Store) -> None:
    store.write(FIT, PREDICTIONS)
    place = store.folder / "iris" / "svm" / "1-2.npz"
    fit = store.read(NAME)
    assert fit is not None
    place.write_bytes(place.read_bytes() + b"\0")
    with pytest.raises(StoreError, match=r"1-2\.npz is not the file that was written with its document"):
        store.predictions(fit)


def test_a_document_that_was_cut_off_is_named(store: Store) -> None:
    store.write(FIT, PREDICTIONS)
    place = store.folder / "iris" / "svm" / "1-2.json"
    place.write_text(json.dumps({"name": {}}))
    with pytest.raises(StoreError, match=r"1-2\.json is no document of a fit"):
        store.read(NAME)
