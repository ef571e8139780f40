"""Classes of different sizes, and the one of two that is to be found."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight
from tests.unit.runtime.families.datasets import build, fit

from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.task import Imbalance, Task
from modelservice.modalities.base import Dataset, together
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.imbalance import REMEDIES, by_class_weight
from modelservice.modalities.sources import read_source


def unequal() -> Dataset:
    """Two classes that overlap, one in ten rows of the second."""
    generator = np.random.default_rng(0)
    values = (np.arange(300) % 10 == 0).astype(np.int64)
    features = generator.normal(size=(300, 2)) + values[:, None]
    parts = (slice(0, 200), slice(200, 250), slice(250, 300))
    train, validation, test = ((features[part], values[part]) for part in parts)
    return build(train, validation, test, labels=("n", "y"))


def test_every_choice_has_a_remedy() -> None:
    dataset = unequal()
    assert set(REMEDIES) == set(Imbalance)
    assert REMEDIES[Imbalance.NONE](dataset) is dataset


def test_weights_are_those_that_scikit_learn_calls_balanced() -> None:
    dataset = unequal()
    weighed = by_class_weight(dataset)
    learned = together(weighed.train, weighed.validation)
    assert learned.weights is not None
    np.testing.assert_allclose(learned.weights, compute_sample_weight("balanced", learned.values))
    assert weighed.test.weights is None
    assert weighed.notes[-1] == "classes count alike in training, n by 0.556, y by 5"


def test_classes_of_weighted_rows_are_equally_heavy() -> None:
    dataset = unequal()
    own = {name: np.linspace(1, 3, len(getattr(dataset, name).values)) for name in ("train", "validation")}
    sides = {name: replace(getattr(dataset, name), weights=weights) for name, weights in own.items()}
    learned = by_class_weight(replace(dataset, **sides))
    rows = together(learned.train, learned.validation)
    assert rows.weights is not None
    totals = np.bincount(rows.values, weights=rows.weights)
    assert totals[0] == pytest.approx(totals[1])
    ratios = rows.weights / np.concatenate(list(own.values()))
    assert len(set(np.round(ratios, 9))) == 2


def test_a_model_of_balanced_classes_is_that_of_scikit_learn() -> None:
    dataset = unequal()
    rows = together(dataset.train, dataset.validation)
    expected = LogisticRegression(class_weight="balanced", max_iter=1000).fit(rows.features, rows.values)
    fitted = fit(by_class_weight(dataset), {"logistic": {}})
    found = fitted.predict(dataset.test.features)
    np.testing.assert_allclose(found, expected.predict_proba(dataset.test.features), atol=1e-4)


def read(positive: str | None, labels: str = "pq") -> Dataset:
    content = "n,y\n" + "".join(f"{n},{labels[n % len(labels)]}\n" for n in range(40))
    data = Data(config_map=ConfigMapSource(name="t"), target="y")
    task = Task.model_validate({"classification": {} if positive is None else {"positiveLabel": positive}})
    return build_dataset(read_source(content.encode(), format=Format.CSV), data, task)


@pytest.mark.parametrize(("positive", "labels"), [(None, ("p", "q")), ("q", ("p", "q")), ("p", ("q", "p"))])
def test_the_positive_label_stands_second_and_moves_no_row(positive: Any, labels: Any) -> None:
    dataset, plain = read(positive), read(None)
    assert dataset.labels == labels
    for side in ("train", "validation", "test"):
        named = [[one.labels[code] for code in getattr(one, side).values] for one in (dataset, plain)]
        assert named[0] == named[1]
        np.testing.assert_array_equal(getattr(dataset, side).features, getattr(plain, side).features)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("pq", "y has the classes 'p', 'q', and 'r' is to be the positive one: write one of them in spec.task"),
        ("pqr", "y has the classes 'p', 'q', 'r', and 'r' is to be the positive one: leave spec.task.classification"),
        ("abcdefgr", "y has the classes 'a', 'b', 'c', 'd', 'e' and 3 more, and 'r' is to be"),
    ],
)
def test_a_positive_label_is_one_of_two(labels: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read("r", labels)
    assert caught.value.message.startswith(message)
    assert (caught.value.reason, caught.value.field) == (
        "NotAPositiveLabel",
        "spec.task.classification.positiveLabel",
    )
