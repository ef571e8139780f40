"""What is special about the families of scikit-learn: exactness where float32 is tight, and what they refuse."""

from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC, SVR
from tests.unit.runtime.families.datasets import (
    build,
    difference,
    fit,
    load,
    primary,
    run_onnx,
    split_alike,
    with_values,
)
from tests.unit.runtime.families.neighbours import close_rows, neighbours

from modelservice.contract.failure import DataError, StageError
from modelservice.families import logistic, tree_ensemble
from modelservice.families.fit_rows import fit_rows

THREE = ("a", "b", "c")


@pytest.mark.parametrize("labels", [("n", "y"), ()])
def test_a_tree_and_its_graph_part_the_same_float32_numbers(labels: Any) -> None:
    """Thresholds lie between float32 numbers that are neighbours, where rounding one of them moves rows."""
    features = close_rows()
    values = np.random.default_rng(0).integers(0, 2, len(features))
    dataset = split_alike(features, values, labels=labels)
    fitted = fit(dataset, {"decisionTree": {}})
    rows_and_beside = neighbours(features)
    np.testing.assert_array_equal(run_onnx(fitted.onnx, rows_and_beside), fitted.predict(rows_and_beside))
    assert primary(fitted, dataset) == 1


@pytest.mark.parametrize("family", ["decisionTree", "svm"])
@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-27, 2.0**40])
def test_the_unit_of_a_number_does_not_matter(family: str, unit: float) -> None:
    """scikit-learn's trees take a variance under 2.2e-16 for none. Powers of two round nothing, so ties stay ties."""
    dataset = load("diabetes")
    small = with_values(dataset, lambda values: values * unit)
    plain, scaled = fit(dataset, {family: {}}), fit(small, {family: {}})
    assert scaled.parameters == plain.parameters
    expected = plain.predict(dataset.test.features) * unit
    np.testing.assert_allclose(scaled.predict(dataset.test.features), expected, rtol=1e-5)
    np.testing.assert_allclose(run_onnx(scaled.onnx, dataset.test.features), expected, rtol=1e-5)


@pytest.mark.parametrize("c", [1, 100, 10_000])
@pytest.mark.parametrize("kernel", ["Linear", "RBF"])
@pytest.mark.parametrize("data", ["iris", "wine", "breast_cancer"])
def test_a_machine_of_any_stiffness_agrees_with_its_graph(data: Any, kernel: Any, c: Any) -> None:
    dataset = load(data)
    assert difference(fit(dataset, {"svm": {"kernel": kernel, "c": c}}), dataset) <= 1e-6


@pytest.mark.parametrize("c", [1e-3, 1, 1e6])
@pytest.mark.parametrize("data", ["iris", "wine", "breast_cancer"])
def test_a_regression_without_much_penalty_agrees_with_its_graph(data: Any, c: Any) -> None:
    """Coefficients of separable classes grow to thousands."""
    dataset = load(data)
    assert difference(fit(dataset, {"logistic": {"c": c}}), dataset) <= 1e-6


@pytest.mark.parametrize(("data", "kernel"), [("iris", "RBF"), ("wine", "Linear"), ("breast_cancer", "RBF")])
def test_probabilities_are_those_of_scikit_learn(data: Any, kernel: Any) -> None:
    dataset = load(data)
    rows = fit_rows(dataset)
    folds = StratifiedKFold(5, shuffle=True, random_state=7)
    machine = CalibratedClassifierCV(SVC(kernel=kernel.lower(), gamma=0.1), ensemble=False, cv=folds)
    reference = machine if len(dataset.labels) == 2 else OneVsRestClassifier(machine)
    reference.fit(rows.features, rows.values)
    fitted = fit(dataset, {"svm": {"kernel": kernel, "gamma": 0.1}}, seed=7)
    expected = reference.predict_proba(dataset.test.features.astype(np.float64))
    np.testing.assert_allclose(fitted.predict(dataset.test.features), expected, rtol=1e-6, atol=1e-7)


def test_numbers_are_those_of_scikit_learn_in_the_unit_of_the_target() -> None:
    dataset = with_values(load("diabetes"), lambda values: values * 1000 + 1e6)
    rows = fit_rows(dataset)
    mean, std = rows.values.mean(), rows.values.std()
    reference = SVR(gamma=0.1).fit(rows.features, (rows.values - mean) / std)
    expected = reference.predict(dataset.test.features.astype(np.float64)) * std + mean
    fitted = fit(dataset, {"svm": {"gamma": 0.1}})
    np.testing.assert_allclose(fitted.predict(dataset.test.features)[:, 0], expected, rtol=1e-6)
    assert difference(fitted, dataset) <= 1e-6


def test_the_default_width_of_the_kernel_is_scikit_learns() -> None:
    dataset = load("diabetes")
    rows = fit_rows(dataset)
    gamma = 1 / (rows.features.shape[1] * rows.features.var())
    assert fit(dataset, {"svm": {}}).onnx == fit(dataset, {"svm": {"gamma": gamma}}).onnx
    constant = split_alike(np.ones((20, 2)), np.arange(20) % 2, labels=("n", "y"))
    np.testing.assert_allclose(fit(constant, {"svm": {}}).predict(np.ones((1, 2), np.float32)), 0.5, atol=0.01)


def test_rows_that_contradict_each_other_or_lie_far_away_get_probabilities() -> None:
    """One-vs-one votes would be decided by the last bit here, and sigmoids far away are all 0."""
    features = np.repeat(np.eye(3), 20, axis=0)
    dataset = split_alike(features, np.arange(60) % 3, labels=THREE)
    far = np.array([[1e6, -1e6, 0], [1e18, 1e18, 1e18], [0, 0, 0]], np.float32)
    models: tuple[dict[str, Any], ...] = ({}, {"kernel": "Linear", "c": 1000})
    for model in models:
        fitted = fit(dataset, {"svm": model})
        assert difference(fitted, dataset) <= 1e-6
        np.testing.assert_allclose(fitted.predict(far), run_onnx(fitted.onnx, far), atol=1e-6)
        np.testing.assert_allclose(fitted.predict(far).sum(axis=1), 1, rtol=1e-6)


def test_training_and_validation_rows_are_learned_and_test_rows_are_not() -> None:
    train = ([[0.0], [1.0]], [0, 1])
    dataset = build(train, ([[2.0]], [0]), ([[3.0]], [1]), labels=("n", "y"))
    probabilities = fit(dataset, {"decisionTree": {}}).predict(np.array([[0], [1], [2], [3]], np.float32))
    assert probabilities.argmax(axis=1).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    "family", ["logistic", "svm", "decisionTree", "randomForest", "gradientBoosting", "kernelRidge"]
)
def test_a_class_of_test_rows_only_is_refused(family: Any) -> None:
    side = ([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    dataset = build(side, side, ([[5.0]], [2]), labels=THREE)
    with pytest.raises(DataError, match="y has no row of class 'c' outside the test rows: add rows of it") as caught:
        fit(dataset, {family: {}})
    assert (caught.value.reason, caught.value.field) == ("ClassTooSmall", "spec.data.target")


def test_a_class_of_one_row_is_too_small_for_calibrated_probabilities_and_two_are_not() -> None:
    side = ([[float(n)] for n in range(8)], [0, 0, 0, 0, 1, 1, 1, 1])
    dataset = build(side, ([[9.0]], [2]), side, labels=THREE)
    with pytest.raises(DataError, match="y has the class 'c' in one row besides the test rows, and svm") as caught:
        fit(dataset, {"svm": {}})
    assert caught.value.reason == "ClassTooSmall"
    two = build(side, ([[9.0], [10.0]], [2, 2]), side, labels=THREE)
    assert difference(fit(two, {"svm": {}}), two) <= 1e-6


def test_a_fit_that_did_not_converge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit(load("iris"), {"logistic": {}}).notes == ()
    monkeypatch.setattr(logistic, "_ITERATIONS", 1)
    (note,) = fit(load("iris"), {"logistic": {}}).notes
    assert note.startswith("the fit stopped before it converged: a smaller spec.model.logistic.c")


def test_a_tree_that_is_too_large_to_serve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree_ensemble, "MAX_NODES", 10)
    with pytest.raises(
        StageError, match=r"spec\.model\.decisionTree grew 1 tree of \d+ nodes, at most 10 are"
    ) as caught:
        fit(load("iris"), {"decisionTree": {}})
    assert (caught.value.reason, caught.value.field) == ("ModelTooLarge", "spec.model.decisionTree")


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ({"logistic": {}}, (4 + 1) * 3),
        ({"svm": {"kernel": "Linear"}}, (4 + 1) * 3),
        ({"decisionTree": {"maxDepth": 1}}, 2 + 2 * 3),
    ],
)
def test_parameters_are_counted(model: Any, parameters: Any) -> None:
    assert fit(load("iris"), model).parameters == parameters


def test_settings_decide() -> None:
    dataset = load("breast_cancer")
    shallow, deep = (fit(dataset, {"decisionTree": {"maxDepth": depth}}).parameters for depth in (2, 10))
    assert shallow < deep
    few, many = (fit(dataset, {"decisionTree": {"minSamplesLeaf": rows}}).parameters for rows in (50, 1))
    assert few < many
    weak, strong = (
        np.abs(fit(dataset, {"logistic": {"c": c}}).predict(dataset.test.features) - 0.5) for c in (1e-4, 1)
    )
    assert weak.mean() < strong.mean()


def test_a_machine_of_a_handful_of_rows_is_never_turned_around() -> None:
    """On rows that are held out, noise is told apart worse than by chance, which says nothing of the machine."""
    said: list[str] = []
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(size=(16, 40))
        dataset = build((noise, np.arange(16) % 2), (noise[:0], []), (noise, np.arange(16) % 2), labels=("no", "yes"))
        fitted = fit(dataset, {"svm": {}})
        assert (run_onnx(fitted.onnx, dataset.test.features).argmax(axis=1) == dataset.test.values).all()
        said += fitted.notes
    assert set(said) == {"there are too few rows to measure how sure svm may be of 1 of 1 decisions"}
