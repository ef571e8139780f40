"""Temperature scaling: probabilities to believe, the same by onnxruntime and by torch, and no other answers."""

from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.families.datasets import fit, load, run_onnx
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.contract.manifest import ARCHITECTURE_FILE
from modelservice.contract.model import GRADIENT_FAMILIES
from modelservice.contract.task import Task
from modelservice.families.calibration import calibrated_graph
from modelservice.families.sharpness import sharpen
from modelservice.families.torch_engine import load_torch_engine
from modelservice.inference.predictor import Predictor
from modelservice.stages.base import Produced

ENSEMBLE: dict[str, Any] = {"mlp": {"ensemble": 2}}
MODELS: list[dict[str, Any]] = [
    {"mlp": {"hiddenLayers": [16]}},
    ENSEMBLE,
    {"logistic": {}},
    {"svm": {}},
    {"decisionTree": {"minSamplesLeaf": 3}},
    {"randomForest": {"trees": 10}},
]


def name_of(model: dict[str, Any]) -> str:
    return next(iter(model))


def table(classes: int) -> bytes:
    """Classes that overlap, so that whoever is sure is wrong now and then."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, classes, size=1000)
    x = generator.normal(size=(1000, 2)) + 0.9 * np.stack([codes == 1, codes == 2], axis=1)
    lines = (f"{a:.5f},{b:.5f},{'pqr'[code]}" for (a, b), code in zip(x, codes, strict=True))
    return "\n".join(["a,b,y", *lines]).encode()


def trained(model: dict[str, Any], classes: int, **asked: Any) -> Produced:
    epochs = {} if "ensemble" in model.get("mlp", {}) else {"epochs": 15}
    work = train_work(target="y", model=model)
    work = work.model_copy(update={"training": work.training.model_copy(update=epochs if "mlp" in model else {})})
    return produce(work.model_copy(update={"task": Task.model_validate({"classification": asked})}), table(classes))


def on_test(produced: Produced, name: str) -> float:
    metric = produced.metrics.test.metric(name)
    assert metric is not None
    return metric.value


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("model", [one for one in MODELS if one != ENSEMBLE], ids=name_of)
def test_probabilities_are_no_worse_and_answers_the_same(model: dict[str, Any], classes: int) -> None:
    plain, scaled = trained(model, classes), trained(model, classes, calibration="Temperature")
    assert on_test(scaled, "accuracy") == on_test(plain, "accuracy")
    # Each class against all others may change its ranks; the most probable one stays so.
    assert on_test(scaled, "rocAuc") == pytest.approx(on_test(plain, "rocAuc"), abs=1e-6 if classes == 2 else 0.03)
    assert on_test(scaled, "logLoss") < on_test(plain, "logLoss") + 0.02
    assert scaled.manifest.data is not None
    assert any(note.startswith("probabilities have the temperature ") for note in scaled.manifest.data.notes)
    assert scaled.manifest.model.max_difference is not None


def test_a_tree_of_pure_leaves_is_believed_no_more() -> None:
    model = {"decisionTree": {"minSamplesLeaf": 3}}
    plain, scaled = trained(model, 2), trained(model, 2, calibration="Temperature")
    assert on_test(scaled, "logLoss") < on_test(plain, "logLoss") / 2
    assert on_test(scaled, "calibrationError") < on_test(plain, "calibrationError")


@pytest.mark.parametrize("model", [one for one in MODELS if "mlp" in one], ids=["network", "ensemble"])
def test_torch_serves_what_onnxruntime_does(model: dict[str, Any]) -> None:
    artifact = trained(model, 3, calibration="Temperature", imbalance="ClassWeight").as_artifact()
    rows = [[0.1, 0.2], [-1.0, 2.0], [3.0, -3.0]]
    by_onnx, by_torch = (
        Predictor.from_artifact(artifact, **given).predict_proba(rows) for given in ({}, {"engine": load_torch_engine})
    )
    np.testing.assert_allclose(by_torch, by_onnx, atol=1e-5)


@pytest.mark.parametrize("name", sorted(GRADIENT_FAMILIES))
def test_a_family_that_torch_serves_scales_itself(name: str) -> None:
    dataset = load("digitImages" if name == "cnn" else "iris")
    fitted = fit(dataset, {name: {}}, epochs=2)
    assert ARCHITECTURE_FILE in fitted.files
    assert fitted.sharpened is not None
    # Where a probability is under 1e-7, a network knows it better than its float32 in 1 - p does.
    for power in (0.8, 2.5):
        scaled = fitted.sharpened(power)
        expected = sharpen(fitted.predict(dataset.test.features).astype(np.float64), power)
        np.testing.assert_allclose(scaled.predict(dataset.test.features), expected, atol=1e-4)
        np.testing.assert_allclose(run_onnx(scaled.onnx, dataset.test.features), expected, atol=1e-4)


@pytest.mark.parametrize("power", [0.3, 1.0, 4.0])
def test_the_nodes_behind_a_model_are_the_same_function(power: float) -> None:
    dataset = load("iris")
    fitted = fit(dataset, {"decisionTree": {}})
    content = calibrated_graph(fitted.onnx, shape=dataset.shape, width=3, power=power)
    expected = sharpen(fitted.predict(dataset.test.features).astype(np.float64), power)
    np.testing.assert_allclose(run_onnx(content, dataset.test.features), expected, atol=1e-6)
