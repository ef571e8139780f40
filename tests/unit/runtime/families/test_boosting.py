"""Gradient boosting: the graph parts the rows that the trees part, and the rounds are chosen on rows held back."""

from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.families.datasets import build, difference, fit, load, run_onnx, split_alike, with_values
from tests.unit.runtime.families.neighbours import close_rows, neighbours

from modelservice.contract.estimators import GradientBoosting
from modelservice.contract.failure import StageError
from modelservice.families import boosting, tree_ensemble
from modelservice.families.boosting import Boosted, fit_boosting
from modelservice.families.fit_rows import fit_rows

THREE = ("a", "b", "c")


def boost(features: Any, values: Any, *, classes: int = 0, weights: Any = None, **settings: Any) -> Boosted:
    return fit_boosting(
        GradientBoosting(**settings),
        np.asarray(features, np.float32),
        np.asarray(values),
        classes=classes,
        seed=0,
        observe=lambda _: None,
        weights=weights,
    )


def rounds_of(model: Boosted) -> int:
    return int(model.estimator.n_iter_)


@pytest.mark.parametrize("labels", [("n", "y"), THREE, ()])
def test_trees_and_their_graph_part_the_same_float32_numbers(labels: Any) -> None:
    """Thresholds lie half-way between numbers that are neighbours, where rounding one of them moves rows."""
    features = close_rows()
    dataset = split_alike(features, np.arange(len(features)) // 3 % (len(labels) or 2), labels=labels)
    fitted = fit(dataset, {"gradientBoosting": {"rounds": 20, "minSamplesLeaf": 1}})
    rows = neighbours(features)
    assert len(np.unique(fitted.predict(rows), axis=0)) > 5
    np.testing.assert_allclose(run_onnx(fitted.onnx, rows), fitted.predict(rows), rtol=0, atol=1e-6)


def test_a_row_at_a_threshold_goes_the_same_way() -> None:
    dataset = load("breast_cancer")
    rows = fit_rows(dataset)
    model = boost(rows.features, rows.values, classes=2, rounds=30)
    fitted = fit(dataset, {"gradientBoosting": {"rounds": 30}})
    nodes = np.concatenate([predictor.nodes for (predictor,) in model.estimator._predictors])
    splits = nodes[nodes["is_leaf"] == 0]
    at = np.repeat(dataset.test.features[:1], len(splits), axis=0)
    at[np.arange(len(splits)), splits["feature_idx"]] = splits["num_threshold"].astype(np.float32)
    beside = neighbours(at, steps=1)
    np.testing.assert_allclose(run_onnx(fitted.onnx, beside), model.predict(beside), rtol=0, atol=1e-6)


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**40])
def test_the_unit_of_a_number_does_not_matter(unit: float) -> None:
    dataset = load("diabetes")
    small = with_values(dataset, lambda values: values * unit)
    plain, scaled = fit(dataset, {"gradientBoosting": {}}), fit(small, {"gradientBoosting": {}})
    assert scaled.parameters == plain.parameters
    expected = plain.predict(dataset.test.features) * unit
    np.testing.assert_allclose(scaled.predict(dataset.test.features), expected, rtol=1e-5)
    assert difference(scaled, small) <= 1e-6


def test_noise_gets_few_rounds_and_a_clear_target_many() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 3))
    clear = np.sin(3 * features[:, 0]) + features[:, 1] * features[:, 2]
    assert rounds_of(boost(features, generator.normal(size=300))) < 20
    assert rounds_of(boost(features, clear)) > 100


def test_rounds_that_are_set_are_not_chosen() -> None:
    assert rounds_of(boost(np.random.default_rng(0).normal(size=(200, 2)), np.arange(200.0) % 7, rounds=40)) == 40


def test_many_rows_are_held_back_once_and_get_larger_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load("iris")
    observed: list[Any] = []
    small = fit(dataset, {"gradientBoosting": {"minSamplesLeaf": 1}}, observed=observed)
    assert [(one.done, one.total) for one in observed] == [(done, 6) for done in range(7)]
    monkeypatch.setattr(boosting, "_SMALL", 50)
    observed.clear()
    large = fit(dataset, {"gradientBoosting": {"minSamplesLeaf": 1}}, observed=observed)
    assert [(one.done, one.total) for one in observed] == [(0, 2), (1, 2), (2, 2)]
    assert small.onnx != large.onnx


def test_classes_of_few_rows_are_learned_and_never_held_back() -> None:
    """A class of one row, and classes of which none has a row for each fold."""
    features = np.arange(60.0)[:, np.newaxis]
    model = boost(features, [2, *([0] * 30), *([1] * 29)], classes=3, min_samples_leaf=1)
    assert model.predict(np.array([[0], [15], [50]], np.float32)).argmax(axis=1).tolist() == [2, 0, 1]
    assert rounds_of(boost([[0], [1]], [0, 1], classes=2)) == 1


def test_features_that_say_nothing_leave_the_shares_of_the_classes() -> None:
    side = (np.ones((40, 2)), np.arange(40) % 4 == 0)
    fitted = fit(build(side, side, side, labels=("n", "y")), {"gradientBoosting": {}})
    np.testing.assert_allclose(run_onnx(fitted.onnx, np.ones((1, 2))), [[0.75, 0.25]], atol=1e-4)


def test_rows_count_by_their_weights() -> None:
    """Equal rows that contradict each other: the shares of their classes are those of the weights."""
    classes, weights = np.arange(400) % 2, np.where(np.arange(400) % 2, 0.5, 1.5)
    model = boost(np.ones((400, 1)), classes, classes=2, weights=weights)
    assert model.predict(np.ones((1, 1), np.float32))[0, 1] == pytest.approx(0.25, abs=0.01)


def test_settings_decide() -> None:
    dataset = load("breast_cancer")
    base = {"rounds": 20}
    for fewer, more in (
        ({"rounds": 10}, base),
        ({**base, "maxLeaves": 2}, base),
        ({**base, "minSamplesLeaf": 80}, base),
    ):
        small, large = (fit(dataset, {"gradientBoosting": settings}) for settings in (fewer, more))
        assert small.parameters < large.parameters
    slow, fast = (fit(dataset, {"gradientBoosting": {**base, "learningRate": rate}}) for rate in (0.01, 0.3))
    certainty = [np.abs(one.predict(dataset.test.features) - 0.5).mean() for one in (slow, fast)]
    assert certainty[0] < certainty[1]


def test_parameters_are_counted() -> None:
    """For each of 3 rounds a split and two leaves for each of 3 classes, and the logits before the first round."""
    assert fit(load("iris"), {"gradientBoosting": {"rounds": 3, "maxLeaves": 2}}).parameters == 3 * 3 * (2 + 2) + 3


def test_what_is_too_large_to_serve_is_refused_and_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_ensemble, "MAX_NODES", 300)
    monkeypatch.setattr(boosting, "MAX_NODES", 300)
    fit(load("iris"), {"gradientBoosting": {}})
    with pytest.raises(StageError, match=r"grew 300 trees of .* at most 300 are possible: set fewer rounds") as caught:
        fit(load("iris"), {"gradientBoosting": {"rounds": 100}})
    assert (caught.value.reason, caught.value.field) == ("ModelTooLarge", "spec.model.gradientBoosting")
