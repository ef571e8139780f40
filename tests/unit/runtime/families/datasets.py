"""scikit-learn's small datasets as families get them, and a look at what a family made of one."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from sklearn import datasets

from modelservice.contract.data import Data, Format
from modelservice.contract.documents import Document
from modelservice.contract.model import Model
from modelservice.contract.training import Hyperparameters
from modelservice.families import family_named
from modelservice.families.base import Fitted
from modelservice.modalities.base import Dataset, Side
from modelservice.modalities.image.encoder import NAME as IMAGE
from modelservice.modalities.sources import read_rows, read_source
from modelservice.modalities.table.encoder import NAME as TABLE
from modelservice.tasks import task_named


def build(
    train: tuple[Any, Any], validation: tuple[Any, Any], test: tuple[Any, Any], *, labels: tuple[str, ...] = ()
) -> Dataset:
    """A dataset of encoded features and values; the task follows from the number of labels, the modality from axes."""
    task = {0: "Regression", 2: "Binary"}.get(len(labels), "Multiclass")
    sides = [
        Side(features=np.asarray(features, np.float32), values=np.asarray(values, np.int64 if labels else np.float64))
        for features, values in (train, validation, test)
    ]
    return Dataset(
        modality=TABLE if sides[0].features.ndim == 2 else IMAGE,
        task=task_named(task),
        target="y",
        labels=labels,
        inputs=(),
        preprocessing=Document(kind="Nothing"),
        train=sides[0],
        validation=sides[1],
        test=sides[2],
        sha256=f"sha256:{'0' * 64}",
        rows=sum(len(side.values) for side in sides),
        dropped=0,
        features=int(np.prod(sides[0].features.shape[1:])),
        notes=(),
    )


@cache
def load(name: str) -> Dataset:
    """iris, wine, breast_cancer, digits, diabetes, standardised by the training rows; digitImages are 8 x 8."""
    images = name == "digitImages"
    features, values = getattr(datasets, f"load_{'digits' if images else name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(values))
    train, validation, test = np.split(order, [int(0.7 * len(order)), int(0.85 * len(order))])
    mean, std = features[train].mean(axis=0), features[train].std(axis=0)
    features = (features - mean) / np.where(std > 0, std, 1)
    if images:
        features = features.reshape(-1, 1, 8, 8)
    labels = () if name == "diabetes" else tuple(str(code) for code in np.unique(values))
    train_side, *others = ((features[rows], values[rows]) for rows in (train, validation, test))
    return build(train_side, *others, labels=labels)


def reviews() -> Dataset:
    """What is said decides, whatever it is said of."""
    generator = np.random.default_rng(0)
    words = {"good": ["fine", "great", "lovely"], "bad": ["awful", "poor", "sad"]}
    lines = ["text,label"]
    for place in range(90):
        label = ("good", "bad")[place % 2]
        things = generator.choice(["soup", "room", "view", "bed"], size=3)
        lines.append(
            f"the {things[0]} and {things[1]} were {generator.choice(words[label])} {things[2]} {place},{label}"
        )
    data = {"configMap": {"name": "d"}, "target": "label", "text": {"column": "text", "maxLength": 16}}
    content = "\n".join(lines).encode()
    return read_rows(read_source(content, format=Format.CSV), Data.model_validate(data), None)[1]


def split_alike(features: Any, values: Any, *, labels: tuple[str, ...] = ()) -> Dataset:
    """All sides hold the same rows, for tests that look at neither split nor quality."""
    return build((features, values), (features, values), (features, values), labels=labels)


def fit(dataset: Dataset, model: dict[str, Any], *, observed: list[Any] | None = None, **training: Any) -> Fitted:
    """Fit the family that ``spec.model`` names."""
    settings = Model.model_validate(model)
    return family_named(settings.choice).fit(
        settings.chosen,
        dataset,
        Hyperparameters(**training),
        observe=(lambda _: None) if observed is None else observed.append,
    )


def run_onnx(content: bytes, features: Any) -> Any:
    """Raw outputs of ``model.onnx``, which has one input and one output."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (given,), (answer,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[0]) == ("features", "tensor(float)", "rows")
    assert (answer.name, answer.type, answer.shape[0]) == ("raw", "tensor(float)", "rows")
    raw = session.run(["raw"], {"features": np.asarray(features, np.float32)})[0]
    assert list(raw.shape[1:]) == answer.shape[1:]
    return raw


def primary(fitted: Fitted, dataset: Dataset) -> float:
    """The primary metric on the test rows."""
    scores = dataset.task.score(fitted.predict(dataset.test.features), dataset.test.values, dataset.labels)
    return scores.evaluation.primary_metric.value


def difference(fitted: Fitted, dataset: Dataset) -> float:
    """Largest difference of ``model.onnx``, on all rows and on random ones.

    In probabilities, or as a share of the largest number.
    """
    noise = np.random.default_rng(0).normal(scale=2, size=(500, *dataset.shape)).astype(np.float32)
    sides = (dataset.train, dataset.validation, dataset.test)
    rows = np.concatenate([*(side.features for side in sides), noise])
    expected, found = fitted.predict(rows), run_onnx(fitted.onnx, rows)
    assert expected.dtype == found.dtype == np.float32
    assert np.isfinite(expected).all()
    size = 1.0 if dataset.labels else float(np.abs(expected).max())
    return float(np.abs(expected - found).max()) / size


def with_values(dataset: Dataset, change: Any) -> Dataset:
    """The dataset with changed values on all sides."""
    train, validation, test = (
        replace(side, values=change(side.values)) for side in (dataset.train, dataset.validation, dataset.test)
    )
    return replace(dataset, train=train, validation=validation, test=test)


def read_by(family: str) -> Dataset:
    """Rows that a family can read."""
    if family in {"rnn", "transformer"}:
        return reviews()
    return load("digitImages" if family == "cnn" else "iris")
