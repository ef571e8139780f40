"""Every family on small real datasets: it learns, and its graph answers as it does."""

import subprocess
import sys
from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.runtime.families.datasets import difference, fit, load, primary, read_by, run_onnx

from modelservice import families
from modelservice.contract.model import GRADIENT_FAMILIES, Model
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters
from modelservice.families import FAMILIES, ensemble, family_named
from modelservice.families.base import Fitted
from modelservice.modalities.image.encoder import NAME as IMAGE
from modelservice.modalities.table.encoder import NAME as TABLE

LINEAR_SVM = {"svm": {"kernel": "Linear", "c": 0.1}}

LEARNS = [
    ("iris", {"mlp": {}}, 0.9),
    ("iris", {"logistic": {}}, 0.9),
    ("iris", {"svm": {}}, 0.9),
    ("iris", LINEAR_SVM, 0.9),
    ("iris", {"decisionTree": {}}, 0.9),
    ("iris", {"randomForest": {}}, 0.9),
    ("iris", {"gradientBoosting": {}}, 0.9),
    ("iris", {"kernelRidge": {}}, 0.9),
    ("wine", {"mlp": {"ensemble": 4}}, 0.85),
    ("wine", {"logistic": {}}, 0.9),
    ("wine", {"svm": {}}, 0.95),
    ("wine", {"decisionTree": {"maxDepth": 4, "minSamplesLeaf": 2}}, 0.8),
    ("breast_cancer", {"mlp": {"hiddenLayers": [16]}}, 0.94),
    ("wine", {"kernelRidge": {"gamma": 0.01}}, 0.85),
    ("breast_cancer", {"logistic": {}}, 0.94),
    ("breast_cancer", {"svm": {}}, 0.94),
    ("breast_cancer", LINEAR_SVM, 0.94),
    ("breast_cancer", {"decisionTree": {"minSamplesLeaf": 5}}, 0.88),
    ("breast_cancer", {"randomForest": {"maxDepth": 8, "minSamplesLeaf": 2}}, 0.93),
    ("breast_cancer", {"gradientBoosting": {}}, 0.92),
    ("breast_cancer", {"kernelRidge": {}}, 0.95),
    ("digits", {"svm": {}}, 0.97),
    ("digits", {"gradientBoosting": {"rounds": 20}}, 0.9),
    ("digits", {"randomForest": {"trees": 30}}, 0.93),
    ("digits", {"logistic": {}}, 0.95),
    ("digitImages", {"mlp": {"hiddenLayers": [32], "activation": "Tanh"}}, 0.93),
    ("digitImages", {"cnn": {"channels": [8, 16]}}, 0.93),
    ("diabetes", {"mlp": {"ensemble": 4}}, 0.2),
    ("diabetes", {"svm": {}}, 0.25),
    ("diabetes", LINEAR_SVM, 0.25),
    ("diabetes", {"decisionTree": {"maxDepth": 3}}, 0.15),
    ("diabetes", {"randomForest": {}}, 0.3),
    ("diabetes", {"gradientBoosting": {}}, 0.3),
    ("diabetes", {"kernelRidge": {}}, 0.3),
]


def name_of(value: Any) -> str | None:
    return next(iter(value)) if isinstance(value, dict) else None


@pytest.mark.parametrize(("data", "model", "least"), LEARNS, ids=name_of)
def test_a_family_learns_and_its_graph_agrees(
    data: Any, model: Any, least: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load(data)
    if "ensemble" in model.get("mlp", {}):  # which says for itself how many epochs there are
        monkeypatch.setattr(ensemble, "_EPOCHS", 30)
    observed: list[Progress] = []
    fitted = fit(dataset, model, observed=observed, epochs=6 if data == "digitImages" else 30)
    assert primary(fitted, dataset) >= least
    assert difference(fitted, dataset) <= 1e-5
    assert fitted.parameters > 0
    assert fitted.libraries
    assert observed[-1].done == observed[-1].total > 0
    if dataset.labels:
        np.testing.assert_allclose(fitted.predict(dataset.test.features).sum(axis=1), 1, rtol=1e-5)


FAST = [
    ("iris", {"mlp": {"hiddenLayers": [8]}}),
    ("digitImages", {"cnn": {"channels": [4], "hiddenLayers": []}}),
    ("iris", {"logistic": {}}),
    ("iris", {"svm": {}}),
    ("diabetes", {"svm": {}}),
    ("breast_cancer", {"decisionTree": {}}),
    ("wine", {"randomForest": {"trees": 30}}),
    ("diabetes", {"gradientBoosting": {"rounds": 30}}),
    ("wine", {"kernelRidge": {}}),
]


@pytest.mark.parametrize(("data", "model"), FAST, ids=name_of)
def test_the_same_dataset_and_seed_give_the_same_bytes(data: Any, model: Any) -> None:
    first, second = (fit(load(data), model, epochs=2, seed=3) for _ in range(2))
    assert first.onnx == second.onnx
    assert first.files == second.files
    assert first.curves == second.curves


@pytest.mark.parametrize(("data", "model"), [FAST[0], FAST[1], FAST[3], FAST[6], FAST[7]], ids=name_of)
def test_another_seed_gives_another_model(data: Any, model: Any) -> None:
    assert fit(load(data), model, epochs=2, seed=3).onnx != fit(load(data), model, epochs=2, seed=4).onnx


@pytest.mark.parametrize(("data", "model"), FAST, ids=name_of)
def test_a_graph_has_standard_operators_only_and_takes_any_number_of_rows(data: Any, model: Any) -> None:
    dataset = load(data)
    fitted = fit(dataset, model, epochs=1)
    graph = onnx.load_from_string(fitted.onnx)
    onnx.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} <= {"", "ai.onnx.ml"}
    assert {opset.domain: opset.version for opset in graph.opset_import if not opset.domain} == {"": 21}
    rows = dataset.test.features
    together = run_onnx(fitted.onnx, rows[:7])
    alone = [run_onnx(fitted.onnx, rows[index : index + 1]) for index in range(7)]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=1e-5, atol=1e-6)
    assert run_onnx(fitted.onnx, rows[:0]).shape == (0, together.shape[1])


CHEAP: dict[str, dict[str, Any]] = {
    "mlp": {"hiddenLayers": [4]},
    "auto": {"candidates": ["linear", "kernelRidge"]},
    "randomForest": {"trees": 3},
    "gradientBoosting": {"rounds": 3},
}
"""Settings of families whose defaults are many networks or trees."""


def test_families_are_those_of_the_contract() -> None:
    assert tuple(family.name for family in FAMILIES) == tuple(
        str(Model.model_fields[member].alias) for member in Model.members() if member not in {"artifact", "pretrained"}
    )
    others = [family.name for family in FAMILIES if family.name != "encoder"]  # which needs one: test_encoder.py
    assert {name for name in others if fit_is_by_gradient(name)} == GRADIENT_FAMILIES
    with pytest.raises(LookupError, match="there is no family perceptron, but mlp, cnn"):
        family_named("perceptron")


def fit_is_by_gradient(name: str) -> bool:
    return fit(read_by(name), {name: CHEAP.get(name, {})}, epochs=1).curves is not None


TABLES_ALONE = "takes tables only: choose mlp or cnn for images, rnn or transformer for texts"


@pytest.mark.parametrize(
    ("name", "modality", "task", "reason"),
    [
        ("mlp", TABLE, "Regression", None),
        ("mlp", IMAGE, "Binary", None),
        ("cnn", IMAGE, "Regression", None),
        ("cnn", TABLE, "Binary", "takes images only: choose mlp for a table"),
        ("logistic", TABLE, "Binary", None),
        ("logistic", TABLE, "Regression", "tells classes apart only: choose mlp, svm or decisionTree for numbers"),
        ("logistic", IMAGE, "Multiclass", TABLES_ALONE),
        ("svm", TABLE, "Regression", None),
        ("svm", IMAGE, "Multiclass", TABLES_ALONE),
        ("decisionTree", TABLE, "Multiclass", None),
        ("decisionTree", IMAGE, "Regression", TABLES_ALONE),
        ("randomForest", TABLE, "Regression", None),
        ("randomForest", IMAGE, "Binary", TABLES_ALONE),
        ("gradientBoosting", TABLE, "Regression", None),
        ("gradientBoosting", IMAGE, "Binary", TABLES_ALONE),
        ("kernelRidge", TABLE, "Regression", None),
        ("kernelRidge", IMAGE, "Binary", TABLES_ALONE),
    ],
)
def test_what_a_family_cannot_learn_it_says(name: Any, modality: Any, task: Any, reason: Any) -> None:
    assert family_named(name).unsuited(modality=modality, task=task) == reason


class Constant:
    """A family of one file: always the shares of the classes."""

    name = "constant"

    def unsuited(self, *, modality: str, task: str) -> str | None:
        return "predicts classes only: choose mlp for numbers" if task == "Regression" else None

    def fit(self, settings: Any, dataset: Any, training: Hyperparameters, *, observe: Any) -> Fitted:
        from modelservice.families.onnx_graph import Graph  # noqa: PLC0415

        counts = np.bincount(dataset.train.values, minlength=len(dataset.labels))
        shares = (counts / counts.sum()).astype(np.float32)[np.newaxis]
        graph = Graph()
        zeros = graph.add("MatMul", graph.value, graph.constant("zeros", np.zeros((*dataset.shape, 1), np.float32)))
        graph.add("Add", zeros, graph.constant("shares", shares))
        observe(Progress(done=1, total=1))
        return Fitted(
            onnx=graph.model(shape=dataset.shape, width=len(dataset.labels)),
            predict=lambda features: np.repeat(shares, len(features), axis=0),
            parameters=shares.size,
        )


def test_a_family_is_one_class_and_one_line_of_the_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "FAMILIES", (*FAMILIES, Constant()))
    dataset = load("iris")
    fitted = family_named("constant").fit(None, dataset, Hyperparameters(), observe=lambda _: None)
    assert difference(fitted, dataset) <= 1e-7
    assert 0.2 < primary(fitted, dataset) < 0.5


def test_the_registry_is_cheap_to_import() -> None:
    heavy = ("torch", "sklearn", "onnx", "onnxruntime", "scipy")
    code = f"import sys, modelservice.families; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
