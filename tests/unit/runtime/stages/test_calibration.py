"""Calibration: probabilities to believe, the same by onnxruntime and by torch; a temperature changes no answers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import f1_score
from tests.support.helm import ROOT
from tests.unit.runtime.families.datasets import fit, load, read_by, run_onnx
from tests.unit.runtime.stages.pipelines import compress_work, produce, store, train_work

from modelservice.contract.data import Format
from modelservice.contract.failure import DataError
from modelservice.contract.manifest import ARCHITECTURE_FILE
from modelservice.contract.model import GRADIENT_FAMILIES
from modelservice.contract.task import Classification, ClassificationLoss, Task
from modelservice.families import ensemble
from modelservice.families.architecture import Architecture, Curve, Isotonic, Linear, Softmax
from modelservice.families.calibration import sharpened_graph
from modelservice.families.isotonic import fit_curves, follow
from modelservice.families.modules import apply_head
from modelservice.families.onnx_graph import Graph
from modelservice.families.sharpness import sharpen
from modelservice.families.torch_engine import load_torch_engine
from modelservice.inference.engine import EngineLoader
from modelservice.inference.onnx_engine import load_onnx_engine
from modelservice.inference.predictor import Predictor
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.imbalance import by_class_weight
from modelservice.modalities.sources import read_source
from modelservice.stages.base import Produced
from modelservice.stages.calibration import FEWEST_OF_A_CLASS, FEWEST_ROWS
from modelservice.stages.recipe import Recipe
from modelservice.tasks.threshold import BinaryThreshold

ENGINES: tuple[EngineLoader, ...] = (load_onnx_engine, load_torch_engine)
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


def table(classes: int, rows: int = 1000) -> bytes:
    """Classes that overlap, so that whoever is sure is wrong now and then."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, classes, size=rows)
    x = generator.normal(size=(rows, 2)) + 0.9 * np.stack([codes == 1, codes == 2], axis=1)
    lines = (f"{a:.5f},{b:.5f},{'pqr'[code]}" for (a, b), code in zip(x, codes, strict=True))
    return "\n".join(["a,b,y", *lines]).encode()


def trained(model: dict[str, Any], classes: int, *, content: bytes | None = None, **asked: Any) -> Produced:
    epochs = {} if "ensemble" in model.get("mlp", {}) else {"epochs": 6, "batch_size": 32}
    work = train_work(target="y", model=model)
    work = work.model_copy(update={"training": work.training.model_copy(update=epochs if "mlp" in model else {})})
    work = work.model_copy(update={"task": Task.model_validate({"classification": asked})})
    return produce(work, table(classes) if content is None else content)


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ensembles, which say for themselves how many there are."""
    for name in ("_EPOCHS", "_FEW_EPOCHS"):
        monkeypatch.setattr(ensemble, name, 8)


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


@pytest.mark.usefixtures("few_epochs")
@pytest.mark.parametrize("model", [one for one in MODELS if "mlp" in one], ids=["network", "ensemble"])
def test_torch_serves_what_onnxruntime_does(model: dict[str, Any]) -> None:
    artifact = trained(model, 3, calibration="Temperature", imbalance="ClassWeight").as_artifact()
    rows = [[0.1, 0.2], [-1.0, 2.0], [3.0, -3.0]]
    by_onnx, by_torch = (Predictor.from_artifact(artifact, engine=engine).predict_proba(rows) for engine in ENGINES)
    np.testing.assert_allclose(by_torch, by_onnx, atol=1e-5)


@pytest.mark.parametrize("name", sorted(GRADIENT_FAMILIES))
def test_a_family_that_torch_serves_scales_itself(name: str) -> None:
    dataset = read_by(name)
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
    content = sharpened_graph(fitted.onnx, shape=dataset.shape, width=3, power=power)
    expected = sharpen(fitted.predict(dataset.test.features).astype(np.float64), power)
    np.testing.assert_allclose(run_onnx(content, dataset.test.features), expected, atol=1e-6)


def scores(classes: int, rows: int = 400) -> tuple[Any, Any, Any]:
    """Probabilities as a model in float32 gives them, with ties and certainties, and true codes and weights."""
    generator = np.random.default_rng(classes)
    logits = generator.normal(scale=3, size=(rows, classes))
    shares = np.exp(logits)
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    shares[:20] = shares[0]
    shares[20:24] = np.eye(classes)[0]
    codes = (logits + generator.gumbel(scale=4, size=logits.shape)).argmax(axis=1)
    return shares.astype(np.float64), codes, generator.uniform(0.5, 3, size=rows)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_curves_are_scikit_learns_isotonic_regression(classes: int, weighed: bool) -> None:
    learned, codes, weights = scores(classes)
    weights = weights if weighed else None
    asked, *_ = scores(classes, rows=5000)
    asked = np.concatenate([asked, learned])
    least = 1 / (len(learned) + 2)

    def by_scikit_learn(code: int) -> Any:
        regression = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip")
        regression.fit(learned[:, code], codes == code, sample_weight=weights)
        return regression.predict(asked[:, code])

    if classes == 2:
        expected = np.stack([1 - by_scikit_learn(1), by_scikit_learn(1)], axis=1)
    else:
        expected = np.stack([by_scikit_learn(code) for code in range(classes)], axis=1)
        expected /= expected.sum(axis=1, keepdims=True)
    curves = fit_curves(learned, codes, weights)
    found = follow(curves, asked)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    assert found.min() > 0
    assert found.max() < 1
    graph = Graph()
    graph.add_isotonic(curves)
    content = graph.model(shape=(classes,), width=classes)
    np.testing.assert_allclose(run_onnx(content, asked), expected.astype(np.float32), rtol=0, atol=1e-7)
    logits = torch.from_numpy(np.log(np.clip(asked, 1e-30, 1)).astype(np.float32))
    head = Isotonic(head=Softmax(), curves=curves)
    probabilities = torch.softmax(logits, dim=1).numpy().astype(np.float64)
    by_torch = apply_head(head, logits).numpy()
    np.testing.assert_allclose(by_torch, follow(curves, probabilities), rtol=0, atol=1e-6)


def test_one_score_for_all_rows_is_as_often_right_as_it_was() -> None:
    same = np.tile([0.7, 0.3], (50, 1))
    curves = fit_curves(same, (np.arange(50) % 5 == 0).astype(np.int64))
    np.testing.assert_allclose(follow(curves, np.array([[0.9, 0.1], [0.0, 1.0]]))[:, 1], [0.2, 0.2])


@pytest.mark.usefixtures("few_epochs")
@pytest.mark.parametrize(
    ("model", "classes"),
    [
        ({"logistic": {}}, 2),
        ({"logistic": {}}, 3),
        ({"mlp": {"hiddenLayers": [16]}}, 2),
        ({"mlp": {"hiddenLayers": [16]}}, 3),
        (ENSEMBLE, 3),
    ],
    ids=str,
)
@pytest.mark.usefixtures("few_epochs")
def test_isotonic_regression_is_served_as_it_was_fitted(model: dict[str, Any], classes: int) -> None:
    produced = trained(model, classes, calibration="Isotonic", content=table(classes, rows=3600))
    assert produced.manifest.data is not None
    (note,) = [one for one in produced.manifest.data.notes if one.startswith("probabilities follow rising curves of ")]
    assert note.endswith(" validation rows")
    assert on_test(produced, "logLoss") < 0.97 * np.log(classes)
    artifact = produced.as_artifact()
    if "mlp" in model:
        rows = np.random.default_rng(1).normal(size=(300, 2)).tolist()
        by_onnx, by_torch = (Predictor.from_artifact(artifact, engine=engine).predict_proba(rows) for engine in ENGINES)
        # A piece may be steep, and amplifies what rounding leaves of a difference.
        assert np.mean(np.abs(by_torch - by_onnx)) < 1e-5


def test_a_model_that_is_too_sure_is_believed_as_often_as_it_is_right() -> None:
    model, content = {"decisionTree": {"minSamplesLeaf": 3}}, table(2, rows=4000)
    plain = trained(model, 2, content=content)
    risen = trained(model, 2, calibration="Isotonic", content=content)
    assert on_test(risen, "calibrationError") < on_test(plain, "calibrationError") / 2
    assert on_test(risen, "logLoss") < on_test(plain, "logLoss") / 2


def test_too_few_rows_for_isotonic_regression_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        trained({"logistic": {}}, 2, calibration="Isotonic")
    assert (caught.value.reason, caught.value.field) == (
        "TooFewToCalibrate",
        "spec.task.classification.calibration",
    )
    assert caught.value.message.startswith("there are 15")
    rare = table(2, rows=4000).replace(b",q", b",p").replace(b",p", b",q", 40)
    with pytest.raises(DataError, match="validation rows have the class 'q', and isotonic regression needs 10"):
        trained({"logistic": {}}, 2, calibration="Isotonic", content=rare)


def test_a_network_that_is_made_smaller_keeps_its_curves(tmp_path: Path) -> None:
    content = table(3, rows=3600)
    work = train_work(target="y", model={"mlp": {"hiddenLayers": [32]}}, epochs=4, batch_size=32)
    work = work.model_copy(update={"task": Task.model_validate({"classification": {"calibration": "Isotonic"}})})
    parent = produce(work, content)
    folder = store(parent, tmp_path / "parent")
    smaller = produce(compress_work(work, folder, parent.digest, maxAccuracyDrop=0.5), content)
    rows = np.random.default_rng(1).normal(size=(300, 2)).tolist()
    before, after = (Predictor.from_artifact(one.as_artifact()).predict_proba(rows) for one in (parent, smaller))
    assert smaller.manifest.compression is not None
    assert np.mean(np.abs(before - after)) < 0.02


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"knots": (0.1, 0.1)}, "the knots of a curve must rise"),
        ({"values": (0.5, 0.4)}, "the values of a curve must not fall"),
        ({"values": (0.5, 0.5, 0.6)}, "a curve has 2 knots and 3 values"),
    ],
)
def test_a_curve_rises(change: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Curve.model_validate({"knots": (0.1, 0.2), "values": (0.5, 0.5), **change})


def test_each_class_has_its_curve() -> None:
    curve = Curve(knots=(0.1, 0.9), values=(0.2, 0.8))
    layers = (Linear(inputs=2, outputs=3),)
    with pytest.raises(ValidationError, match="1 curves do not fit 3 outputs"):
        Architecture(shape=(2,), layers=layers, head=Isotonic(head=Softmax(), curves=(curve,)))
    assert Architecture(shape=(2,), layers=layers, head=Isotonic(head=Softmax(), curves=(curve,) * 3)).width == 3


def test_class_weights_teach_and_the_rows_own_weights_calibrate_and_decide() -> None:
    """Focal loss, ClassWeight, sampleWeight, isotonic regression and a threshold: each takes the weights it must."""
    generator = np.random.default_rng(3)
    codes = (generator.uniform(size=4000) < 0.2).astype(int)
    x = generator.normal(size=4000) + codes
    heavy = generator.uniform(0.5, 3, size=4000)
    lines = (f"{a:.5f},{w:.4f},{'np'[code]}" for a, w, code in zip(x, heavy, codes, strict=True))
    asked = {
        "positiveLabel": "p",
        "loss": {"focal": {"gamma": 1}},
        "imbalance": "ClassWeight",
        "calibration": "Isotonic",
        "threshold": {"maximize": "F1"},
    }
    work = train_work(target="y", model={"mlp": {"hiddenLayers": [8]}}, epochs=3)
    data = work.data.model_copy(update={"sample_weight": "w"})
    work = work.model_copy(update={"data": data, "task": Task.model_validate({"classification": asked})})
    dataset = build_dataset(read_source("\n".join(["x,w,y", *lines]).encode(), format=Format.CSV), data, work.task)
    fitted, answered, plain = Recipe.of(work, dataset).learn(dataset, lambda _: None)
    side = dataset.validation
    assert side.weights is not None

    focal = ClassificationLoss.model_validate(asked["loss"])
    by_hand = fit(replace(by_class_weight(dataset), loss=focal), {"mlp": {"hiddenLayers": [8]}}, epochs=3)
    np.testing.assert_array_equal(by_hand.predict(side.features), plain.predict(side.features))
    unseen = run_onnx(plain.onnx, side.features).astype(np.float64)
    regression = IsotonicRegression(y_min=1 / (len(unseen) + 2), y_max=1 - 1 / (len(unseen) + 2))
    expected = regression.fit_transform(unseen[:, 1], side.values, sample_weight=side.weights)
    found = run_onnx(fitted.onnx, side.features)[:, 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    # Balanced classes made the positive one more probable than it is; the calibration takes that back.
    truth = np.average(side.values, weights=side.weights)
    assert np.average(unseen[:, 1], weights=side.weights) > truth + 0.1
    assert np.average(found, weights=side.weights) == pytest.approx(truth, abs=1e-3)

    def f1(threshold: float) -> float:
        return float(f1_score(side.values, found >= threshold, sample_weight=side.weights))

    assert isinstance(answered.task, BinaryThreshold)
    assert f1(answered.task.threshold) == pytest.approx(max(map(f1, np.unique(found))), abs=1e-12)


def test_how_many_rows_isotonic_regression_needs_is_said() -> None:
    described = Classification.model_fields["calibration"].description or ""
    assert f"validation rows, at least {FEWEST_ROWS}," in described
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert f"fewer than {FEWEST_ROWS} validation rows, or {FEWEST_OF_A_CLASS} of a class, are refused" in page
