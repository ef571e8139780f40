"""Kernel ridge regression: leave-one-out is exact, temperatures are the best, and the graph answers alike."""

from typing import Any

import numpy as np
import pytest
from sklearn import kernel_ridge
from sklearn.metrics import log_loss
from tests.unit.runtime.families.datasets import difference, fit, load, primary, run_onnx, split_alike, with_values

from modelservice.contract.estimators import KernelRidge
from modelservice.families import kernel_regression
from modelservice.families.fit_rows import fit_rows
from modelservice.families.kernel_regression import KernelMachine, fit_kernel_ridge
from modelservice.families.leave_one_out import Rbf, solve_all, solve_landmarks
from modelservice.families.temperature import fit_factor

PENALTIES = (1e-3, 0.1, 10.0)
KERNEL = Rbf(gamma=0.3)


def machine(features: Any, values: Any, *, classes: int = 0, seed: int = 0, **settings: Any) -> KernelMachine:
    return fit_kernel_ridge(
        KernelRidge(**settings),
        np.asarray(features, np.float32),
        np.asarray(values),
        classes=classes,
        seed=seed,
        observe=lambda _: None,
    )


def some_rows(count: int = 40) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(1)
    features = generator.normal(size=(count, 3))
    targets = np.stack([np.sin(features[:, 0]), features[:, 1] * features[:, 2]], axis=1)
    return features, targets, generator.uniform(0.5, 2, size=count)


def test_each_row_is_predicted_as_if_it_had_not_been_learned() -> None:
    features, targets, weights = some_rows()
    for penalty, solution in zip(PENALTIES, solve_all(KERNEL, features, targets, weights, PENALTIES), strict=True):
        for row in (0, 7, 39):
            others = np.arange(len(features)) != row
            reference = kernel_ridge.KernelRidge(alpha=penalty, kernel="rbf", gamma=KERNEL.gamma)
            reference.fit(features[others], targets[others], sample_weight=weights[others])
            np.testing.assert_allclose(solution.left_out[row], reference.predict(features[[row]])[0], rtol=1e-8)
        reference.fit(features, targets, sample_weight=weights)
        np.testing.assert_allclose(KERNEL(features, features) @ solution.dual, reference.predict(features), rtol=1e-8)


def test_landmarks_leave_rows_out_exactly_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelservice.families.leave_one_out._BLOCK", 16)
    features, targets, weights = some_rows()
    landmarks = features[::4]
    whole = solve_landmarks(KERNEL, features, targets, weights, PENALTIES, landmarks=landmarks)
    for row in (0, 7, 39):
        others = np.arange(len(features)) != row
        without = solve_landmarks(
            KERNEL, features[others], targets[others], weights[others], PENALTIES, landmarks=landmarks
        )
        for one, other in zip(whole, without, strict=True):
            predicted = KERNEL(features[[row]], landmarks) @ other.dual
            np.testing.assert_allclose(one.left_out[row], predicted[0], rtol=1e-6, atol=1e-9)


def test_all_rows_as_landmarks_are_no_approximation() -> None:
    features, targets, weights = some_rows()
    exact = solve_all(KERNEL, features, targets, weights, PENALTIES)
    for one, other in zip(
        exact, solve_landmarks(KERNEL, features, targets, weights, PENALTIES, landmarks=features), strict=True
    ):
        np.testing.assert_allclose(one.left_out, other.left_out, rtol=1e-5, atol=1e-7)


def test_a_row_of_weight_two_is_two_rows() -> None:
    features, targets, _ = some_rows(20)
    twice = np.repeat(np.arange(20), [2, *([1] * 19)])
    (weighed,) = solve_all(KERNEL, features, targets, np.array([2.0, *([1.0] * 19)]), (0.1,))
    (repeated,) = solve_all(KERNEL, features[twice], targets[twice], np.ones(21), (0.1,))
    predicted = KERNEL(features, features[twice]) @ repeated.dual
    np.testing.assert_allclose(KERNEL(features, features) @ weighed.dual, predicted, rtol=1e-8)
    np.testing.assert_allclose(weighed.left_out[1:], repeated.left_out[2:], rtol=1e-8)


def test_the_factor_has_the_least_cross_entropy() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 3)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (shares.cumsum(axis=1) < generator.uniform(size=(4000, 1))).sum(axis=1)
    factor, loss = fit_factor(logits / 7, codes, np.ones(4000))
    assert factor == pytest.approx(7, rel=0.05)
    assert loss == pytest.approx(log_loss(codes, shares), rel=0.01)


def test_scores_without_a_wrong_row_get_no_factor_without_end() -> None:
    scores = np.array([[1.0, -1.0], [-1.0, 1.0]] * 10)
    factor, _ = fit_factor(scores, np.array([0, 1] * 10), np.ones(20))
    assert 0.9 < 1 / (1 + np.exp(-2 * factor)) < 0.99


def test_numbers_are_those_of_scikit_learn_in_the_unit_of_the_target() -> None:
    dataset = with_values(load("diabetes"), lambda values: values * 1000 + 1e6)
    rows = fit_rows(dataset)
    model = machine(rows.features, rows.values, gamma=0.05, penalty=0.5)
    reference = kernel_ridge.KernelRidge(alpha=0.5, kernel="rbf", gamma=0.05)
    mean, std = rows.values.mean(), rows.values.std()
    reference.fit(model.scale(rows.features.astype(np.float32)), (rows.values - mean) / std)
    expected = reference.predict(model.scale(dataset.test.features)) * std + mean
    np.testing.assert_allclose(model.predict(dataset.test.features)[:, 0], expected, rtol=1e-6)
    assert difference(fit(dataset, {"kernelRidge": {"gamma": 0.05, "penalty": 0.5}}), dataset) <= 1e-6


def test_features_are_clipped_smoothly_and_rare_ones_are_kept() -> None:
    usual = np.linspace(-1, 1, 101)
    features = np.stack([usual, np.where(np.arange(101) < 3, 1e6, usual), np.arange(101) == 5, np.ones(101)], axis=1)
    scaled = machine(features, usual, gamma=0.1, penalty=1).scale(features.astype(np.float32))
    assert np.abs(scaled).max() <= 3
    assert np.median(scaled, axis=0) == pytest.approx(0)
    assert (np.diff(scaled[:, 0]) > 0).all()
    assert scaled[5, 2] > 1.5
    assert not scaled[:, 3].any()


def test_many_rows_get_landmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_regression, "_EXACT", 300)
    monkeypatch.setattr(kernel_regression, "_ROWS_FOR_GAMMA", 200)
    dataset = load("breast_cancer")
    fitted = fit(dataset, {"kernelRidge": {"landmarks": 60}})
    assert fitted.parameters == 2 * 30 + 60 * 30 + 60 + 1
    assert difference(fitted, dataset) <= 1e-6
    assert primary(fitted, dataset) >= 0.93
    assert fit(dataset, {"kernelRidge": {"landmarks": 60}}).onnx == fitted.onnx
    assert fit(dataset, {"kernelRidge": {"landmarks": 60}}, seed=1).onnx != fitted.onnx


def test_width_and_penalty_are_chosen_by_what_is_left_out() -> None:
    """A target that follows the rows closely asks for a small penalty, and noise for a large one."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(150, 2))
    clear = np.sin(3 * features[:, 0])
    fine, noise = machine(features, clear), machine(features, generator.normal(size=150))
    smooth = machine(features, features[:, 0])
    answers = [np.square(one.predict(features.astype(np.float32))[:, 0]).mean() for one in (fine, noise)]
    assert answers[0] == pytest.approx(np.square(clear).mean(), rel=0.05)
    assert answers[1] < 0.2
    assert fine.kernel.gamma > smooth.kernel.gamma


def test_rows_that_contradict_each_other_or_lie_far_away_get_probabilities() -> None:
    dataset = split_alike(np.repeat(np.eye(3), 20, axis=0), np.arange(60) % 3, labels=("a", "b", "c"))
    far = np.array([[1e6, -1e6, 0], [1e18, 1e18, 1e18], [0, 0, 0]], np.float32)
    fitted = fit(dataset, {"kernelRidge": {}})
    np.testing.assert_allclose(fitted.predict(far), run_onnx(fitted.onnx, far), atol=1e-6)
    np.testing.assert_allclose(fitted.predict(far), 1 / 3, atol=0.05)


def test_features_that_say_nothing_give_the_mean() -> None:
    dataset = split_alike(np.ones((40, 2)), np.arange(40) % 4, labels=())
    fitted = fit(dataset, {"kernelRidge": {}})
    np.testing.assert_allclose(run_onnx(fitted.onnx, np.ones((1, 2))), [[1.5]], atol=1e-4)
