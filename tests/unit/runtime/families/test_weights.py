"""Every family learns more from heavy rows than from light ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.families.datasets import difference, fit, split_alike

from modelservice.families import FAMILIES
from modelservice.modalities.base import Dataset

SETTINGS: dict[str, dict[str, Any]] = {
    "mlp": {"hiddenLayers": [8]},
    "cnn": {"channels": [4]},
    "auto": {"candidates": ["linear", "kernelRidge"]},  # a network has a test of its own
    "decisionTree": {"maxDepth": 2, "minSamplesLeaf": 5},
    "randomForest": {"trees": 20},
}
TRAINING: dict[str, dict[str, Any]] = {"mlp": {"epochs": 30}, "cnn": {"epochs": 30}}
CLASSES = [
    family.name
    for family in FAMILIES
    if family.name == "cnn" or family.unsuited(modality="Table", task="Binary") is None  # the others read texts
]
NUMBERS = [family for family in FAMILIES if family.unsuited(modality="Table", task="Regression") is None]


def rows(name: str, *, classes: bool) -> Dataset:
    """Two answers for the same rows: only weights tell which one counts."""
    generator = np.random.default_rng(0)
    different = generator.normal(size=(80, 1, 8, 8) if name == "cnn" else (80, 3)).astype(np.float32)
    features = np.repeat(different, 2, axis=0)
    values = np.arange(160) % 2 if classes else np.arange(160) % 2 * 1.0
    return split_alike(features, values, labels=("n", "y") if classes else ())


def weighed(dataset: Dataset, heavy: int) -> Dataset:
    """The dataset with rows of one answer nine times as heavy."""
    train, validation, test = (
        replace(side, weights=np.where(side.values == heavy, 9.0, 1.0))
        for side in (dataset.train, dataset.validation, dataset.test)
    )
    return replace(dataset, train=train, validation=validation, test=test)


def answers(name: str, dataset: Dataset) -> float:
    """The mean probability of the second class, or the mean number."""
    fitted = fit(dataset, {name: SETTINGS.get(name, {})}, **TRAINING.get(name, {}))
    assert difference(fitted, dataset) < 1e-5
    return float(fitted.predict(dataset.train.features)[:, -1].mean())


@pytest.mark.parametrize("name", CLASSES)
def test_heavy_classes_are_more_probable(name: str) -> None:
    dataset = rows(name, classes=True)
    light, even, heavy = (answers(name, one) for one in (weighed(dataset, 0), dataset, weighed(dataset, 1)))
    assert light + 0.2 < even < heavy - 0.2


@pytest.mark.parametrize("name", [family.name for family in NUMBERS if family.name != "cnn"])
def test_heavy_numbers_draw_the_answer(name: str) -> None:
    dataset = rows(name, classes=False)
    light, even, heavy = (answers(name, one) for one in (weighed(dataset, 0), dataset, weighed(dataset, 1)))
    assert light + 0.1 < even < heavy - 0.1
