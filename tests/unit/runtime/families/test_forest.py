"""Random forests: the graph parts the rows that the forest parts, and nothing gets a probability of 0."""

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from tests.unit.runtime.families.datasets import build, difference, fit, load, run_onnx, split_alike, with_values
from tests.unit.runtime.families.neighbours import close_rows, neighbours

from modelservice.contract.estimators import RandomForest
from modelservice.contract.failure import StageError
from modelservice.families import tree_ensemble
from modelservice.families.fit_rows import fit_rows
from modelservice.families.forest import default_leaf, fit_forest


@pytest.mark.parametrize("labels", [("n", "y"), ()])
def test_a_forest_and_its_graph_part_the_same_float32_numbers(labels: Any) -> None:
    features = close_rows()
    dataset = split_alike(features, np.random.default_rng(0).integers(0, 2, len(features)), labels=labels)
    fitted = fit(dataset, {"randomForest": {"trees": 10}})
    rows = neighbours(features)
    np.testing.assert_allclose(run_onnx(fitted.onnx, rows), fitted.predict(rows), rtol=0, atol=1e-7)


def test_probabilities_are_those_of_scikit_learn_and_the_shares_of_the_classes_as_one_more_tree() -> None:
    dataset = load("wine")
    rows = fit_rows(dataset)
    reference = RandomForestClassifier(50, random_state=5).fit(rows.features, rows.values)
    shares = (np.bincount(rows.values) + 1) / (len(rows.values) + 3)
    expected = (50 * reference.predict_proba(dataset.test.features) + shares) / 51
    fitted = fit(dataset, {"randomForest": {"trees": 50}}, seed=5)
    np.testing.assert_allclose(fitted.predict(dataset.test.features), expected, rtol=1e-6)
    assert fitted.predict(dataset.test.features).min() > 0


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
def test_numbers_are_those_of_scikit_learn_in_any_unit(unit: float) -> None:
    dataset = with_values(load("diabetes"), lambda values: values * unit)
    rows = fit_rows(dataset)
    mean, std = rows.values.mean(), rows.values.std()
    forest = RandomForestRegressor(30, max_features=1 / 3, random_state=0)
    forest.fit(rows.features, (rows.values - mean) / std)
    expected = forest.predict(dataset.test.features) * std + mean
    fitted = fit(dataset, {"randomForest": {"trees": 30}})
    np.testing.assert_allclose(fitted.predict(dataset.test.features)[:, 0], expected, rtol=1e-6)
    assert difference(fitted, dataset) <= 1e-6


def test_settings_decide() -> None:
    dataset = load("breast_cancer")
    for fewer, more in (
        ({"trees": 10}, {"trees": 20}),
        ({"trees": 10, "maxDepth": 2}, {"trees": 10}),
        ({"trees": 10, "minSamplesLeaf": 20}, {"trees": 10}),
    ):
        small, large = (fit(dataset, {"randomForest": settings}) for settings in (fewer, more))
        assert small.parameters < large.parameters
        assert len(small.onnx) < len(large.onnx)
    narrow, wide = (fit(dataset, {"randomForest": {"trees": 10, "maxFeatures": share}}) for share in (0.05, 1))
    assert narrow.onnx != wide.onnx


def test_parameters_are_counted() -> None:
    """A split is a feature and a threshold, a leaf the shares of 3 classes; 3 more are those of all rows."""
    assert fit(load("iris"), {"randomForest": {"trees": 7, "maxDepth": 1}}).parameters == 7 * (2 + 2 * 3) + 3


def test_a_forest_that_is_too_large_to_serve_is_refused_before_all_of_it_is_grown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_ensemble, "MAX_NODES", 100)
    observed: list[Any] = []
    with pytest.raises(
        StageError, match=r"spec\.model\.randomForest grew 20 trees of \d+ nodes, at most 100"
    ) as caught:
        fit(load("iris"), {"randomForest": {}}, observed=observed)
    assert (caught.value.reason, caught.value.field) == ("ModelTooLarge", "spec.model.randomForest")
    assert [progress.done for progress in observed] == [0]


def test_threads_of_scikit_learn_leave_the_filters_of_warnings_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    grow = RandomForestClassifier.fit

    def clearing(self: Any, *rows: Any) -> Any:
        grown = grow(self, *rows)
        warnings.resetwarnings()
        return grown

    monkeypatch.setattr(RandomForestClassifier, "fit", clearing)
    before = list(warnings.filters)
    fit(load("iris"), {"randomForest": {"trees": 30}})
    assert before
    assert list(warnings.filters) == before


def test_progress_counts_trees() -> None:
    observed: list[Any] = []
    fit(load("iris"), {"randomForest": {"trees": 50}}, observed=observed)
    assert [(progress.done, progress.total) for progress in observed] == [(0, 50), (20, 50), (40, 50), (50, 50)]


def test_a_leaf_that_says_zero_is_a_leaf() -> None:
    side = ([[0.0], [1.0], [2.0], [3.0]], [0.0, 0.0, 4.0, 4.0])
    dataset = build(side, side, side)
    fitted = fit(with_values(dataset, lambda values: values - 2), {"randomForest": {"trees": 3, "maxDepth": 1}})
    assert difference(fitted, dataset) <= 1e-6


def test_rows_count_by_their_weights() -> None:
    """Equal rows that contradict each other: the shares of their classes are those of the weights."""
    classes, weights = np.arange(400) % 2, np.where(np.arange(400) % 2, 0.5, 1.5)
    forest = fit_forest(
        RandomForest(),
        np.ones((400, 1), np.float32),
        classes,
        classes=2,
        seed=0,
        observe=lambda _: None,
        weights=weights,
    )
    assert forest.predict(np.ones((1, 1), np.float32))[0, 1] == pytest.approx(0.25, abs=0.02)


def test_many_rows_get_larger_leaves_so_that_the_forest_can_be_served() -> None:
    assert [default_leaf(rows=rows, trees=200) for rows in (20, 5000, 5001, 50_000)] == [1, 1, 2, 10]
    generator = np.random.default_rng(0)
    features, noise = generator.normal(size=(12_000, 3)), generator.normal(size=12_000)

    def nodes_of_200(leaf: int) -> float:
        (tree,) = RandomForestRegressor(1, min_samples_leaf=leaf, random_state=0).fit(features, noise).estimators_
        return float(tree.tree_.node_count * 200)

    assert nodes_of_200(1) > tree_ensemble.MAX_NODES > nodes_of_200(default_leaf(rows=12_000, trees=200))
