"""Ensembles: one network for all members, rows that each keeps back, and a plan that suits the rows."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.families.datasets import build, difference, fit, load, primary, split_alike

from modelservice.artifact.files import document_bytes
from modelservice.contract.documents import read_document
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.training import Hyperparameters
from modelservice.families import ensemble as module
from modelservice.families.architecture import Architecture, MemberMean
from modelservice.families.ensemble import fit_ensemble, plan_for
from modelservice.families.kept_back import kept_back, out_of_fold
from modelservice.families.mlp import is_ensemble
from modelservice.families.sharpness import fit_sharpness, sharpen
from modelservice.training.members import Plan

QUICK = Plan(members=6, epochs=12, batch=16, learning_rate=0.01)


def quick(name: str, **changes: Any) -> Any:
    dataset = load(name)
    settings = {"classes": len(dataset.labels), "seed": 0, "observe": lambda _: None, **changes}
    return fit_ensemble(QUICK, dataset.train.features, dataset.train.values, **settings)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (20, Plan(members=16, epochs=100, batch=16, learning_rate=0.001)),
        (500, Plan(members=16, epochs=100, batch=16, learning_rate=0.001)),
        (501, Plan(members=16, epochs=100, batch=64, learning_rate=0.003)),
        (2500, Plan(members=16, epochs=100, batch=64, learning_rate=0.003)),
        (10_000, Plan(members=16, epochs=42, batch=256, learning_rate=0.003 * 4**0.25)),
        (50_000, Plan(members=8, epochs=24, batch=1024, learning_rate=0.006)),
        (5_000_000, Plan(members=8, epochs=24, batch=1024, learning_rate=0.006)),
    ],
)
def test_the_plan_suits_the_rows(rows: int, expected: Plan) -> None:
    assert plan_for(rows) == expected
    assert plan_for(rows, members=3) == replace(expected, members=3)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(1, 16), st.integers(0, 5))
def test_members_keep_a_fifth_back_and_five_of_them_each_row_once(codes: Any, members: int, seed: int) -> None:
    strata = np.array(codes)
    kept = kept_back(strata, members=members, seed=seed)
    assert len(kept) == members
    for places in kept:
        assert 0 < len(places) < len(strata)
    folds = min(5, len(strata))
    for start in range(0, members - folds + 1, folds):
        assert sorted(np.concatenate(kept[start : start + folds]).tolist()) == list(range(len(strata)))
    for places in kept:
        counts = Counter(strata[places].tolist())
        assert all(abs(counts[code] - (strata == code).sum() / folds) < 1 for code in set(codes))


def test_what_members_say_of_rows_that_they_kept_back_is_averaged() -> None:
    outputs = np.array([[[1.0], [2.0]], [[10.0], [20.0]], [[100.0], [200.0]]])
    assert out_of_fold(outputs, [np.array([0]), np.array([1]), np.array([0])]).tolist() == [[50.5], [20.0]]
    assert np.isnan(out_of_fold(outputs, [np.array([0])] * 3)).tolist() == [[False], [True]]


def test_probabilities_get_as_sure_as_they_are_right() -> None:
    generator = np.random.default_rng(0)
    true = generator.uniform(size=3000)
    classes = (generator.uniform(size=3000) < true).astype(np.int64)
    honest = np.stack([1 - true, true], axis=1)
    timid = sharpen(honest, 0.5)
    assert fit_sharpness(honest, classes) == pytest.approx(1, rel=0.1)
    assert fit_sharpness(timid, classes) == pytest.approx(2, rel=0.1)
    # A few rows that are all right do not make it certain.
    assert 1 < fit_sharpness(timid[:3], timid[:3].argmax(axis=1)) < 2.5


@pytest.mark.parametrize("data", ["iris", "breast_cancer", "diabetes"])
def test_an_ensemble_is_one_model(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EPOCHS", 10)
    dataset = load(data)
    observed: list[Any] = []
    fitted = fit(dataset, {"mlp": {"ensemble": 3}}, observed=observed)
    assert difference(fitted, dataset) < 1e-5
    architecture = read_document(ARCHITECTURE_FILE, fitted.files[ARCHITECTURE_FILE], Architecture)
    assert document_bytes(architecture) == fitted.files[ARCHITECTURE_FILE]
    assert isinstance(architecture.head, MemberMean)
    assert architecture.head.members == 3
    assert (architecture.head.sharpness != 1) == bool(dataset.labels)
    assert (observed[-1].done, observed[-1].total) == (10, 10)
    assert fitted.curves is not None
    assert len(fitted.curves["epoch"]) == 10
    assert fitted.best_epoch is None
    assert "ensemble of 3 networks" in fitted.notes[0]


def test_classes_of_a_single_row_are_learned_by_most_members() -> None:
    features = np.random.default_rng(0).normal(size=(12, 2))
    fitted = fit(split_alike(features, [0] * 11 + [1], labels=("a", "b")), {"mlp": {"ensemble": 2}})
    assert np.isfinite(fitted.predict(features.astype(np.float32))).all()


def test_columns_of_one_value_and_outliers_change_nothing_far() -> None:
    features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    features[:, 1] = 7
    labels = (features[:, 0] > 0).astype(int)
    fitted = fit(split_alike(features, labels, labels=("a", "b")), {"mlp": {"ensemble": 5}})
    far = features.copy()
    far[:, 1:] = 1e15
    assert np.isfinite(fitted.predict(far)).all()


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    first, same, other = quick("iris"), quick("iris"), quick("iris", seed=1)
    assert first.as_fitted().files == same.as_fitted().files
    assert first.as_fitted().files[WEIGHTS_FILE] != other.as_fitted().files[WEIGHTS_FILE]


def test_members_differ_and_rows_that_were_kept_back_are_judged_by_others() -> None:
    ensemble, dataset = quick("wine"), load("wine")
    weight = next(iter(ensemble.module[2].parameters()))
    assert not torch.equal(weight[0], weight[1])
    right = ensemble.out_of_fold.argmax(axis=1) == dataset.train.values
    assert right.mean() > 0.9
    np.testing.assert_allclose(ensemble.out_of_fold.sum(axis=1), 1, rtol=1e-5)


def test_heavy_rows_decide() -> None:
    features = np.zeros((40, 1), np.float32)
    values = np.arange(40) % 2
    heavy = np.where(values == 1, 1.8, 0.2)
    fitted = fit_ensemble(QUICK, features, values, classes=2, seed=0, observe=lambda _: None, weights=heavy)
    assert fitted.predict(features)[0, 1] > 0.75


@pytest.mark.parametrize(
    ("settings", "training", "shape", "expected"),
    [
        ({}, {}, (4,), True),
        ({}, {"seed": 3}, (4,), True),
        ({"hiddenLayers": [64, 64]}, {"epochs": 60}, (4,), True),  # what equals its default was not said
        ({"hiddenLayers": [32]}, {}, (4,), False),
        ({"activation": "GELU"}, {}, (4,), False),
        ({}, {"epochs": 10}, (4,), False),
        ({}, {}, (1, 8, 8), False),
        ({"ensemble": 1}, {}, (4,), False),
        ({"ensemble": 2}, {}, (4,), True),
    ],
)
def test_an_ensemble_is_what_suits_a_table_where_nothing_else_is_asked_for(
    settings: Any, training: Any, shape: Any, expected: bool
) -> None:
    asked = MultilayerPerceptron.model_validate(settings)
    assert is_ensemble(asked, Hyperparameters.model_validate(training), shape) is expected


def test_an_ensemble_of_images_is_refused() -> None:
    with pytest.raises(StageError, match=r"tables only: set spec\.model\.mlp\.ensemble to 1, or choose cnn") as caught:
        fit(load("digitImages"), {"mlp": {"ensemble": 4}})
    assert (caught.value.reason, caught.value.field) == ("ModelUnsuited", "spec.model.mlp.ensemble")


def test_few_rows_are_enough() -> None:
    rows = ([[0.0], [1.0]], [0.0, 1.0])
    fitted = fit(build(rows, ([[0.5]], [0.5]), rows), {"mlp": {"ensemble": 16}})
    assert np.isfinite(fitted.predict(np.array([[0.25]], np.float32))).all()


def test_a_short_training_reads_digits_better_than_a_linear_model() -> None:
    dataset = load("digits")
    plan = Plan(members=8, epochs=15, batch=64, learning_rate=0.003)
    ensemble = fit_ensemble(
        plan, dataset.train.features, dataset.train.values, classes=10, seed=0, observe=lambda _: None
    )
    assert primary(ensemble.as_fitted(), dataset) > primary(fit(dataset, {"logistic": {}}), dataset)
