"""The stage train: the same data and settings give the same bytes, and what is served is what was measured."""

import dataclasses
import io
import json
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import onnx
import pyarrow.csv
import pytest
from tests.unit.runtime.stages.pipelines import IRIS, produce, train_work

from modelservice.contract.failure import DataError, StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, MODEL_FILE, WEIGHTS_FILE, Manifest
from modelservice.families import architecture, ensemble
from modelservice.families.base import Fitted
from modelservice.families.mlp import Mlp
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.inference.predictor import Predictor
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import read_source
from modelservice.stages.base import Produced
from modelservice.stages.folds import cross_validate
from modelservice.stages.threads import engine_of
from modelservice.stages.train import MAX_DIFFERENCE, check_conversion
from modelservice.training.threads import limited_threads

FAMILIES = [
    {"mlp": {"hiddenLayers": [8]}},
    {"logistic": {}},
    {"svm": {}},
    {"decisionTree": {}},
    {"randomForest": {"trees": 20}},
    {"gradientBoosting": {"rounds": 9}},
    {"kernelRidge": {}},
]


def images(*, classes: int = 3, rows: int = 60, size: int = 6) -> bytes:
    """Each class is bright in another corner."""
    random = np.random.default_rng(0)
    y = np.arange(rows) % classes
    x = random.integers(0, 60, size=(rows, size, size)).astype(np.uint8)
    for row, label in enumerate(y):
        x[row, : size // 2, label : label + 2] += 150
    content = io.BytesIO()
    np.savez(content, X=x, y=np.array([f"corner{label}" for label in y]))
    return content.getvalue()


def predictor_of(produced: Produced) -> Predictor:
    return Predictor.from_artifact(produced.as_artifact())


def test_the_same_table_and_seed_give_the_same_bytes() -> None:
    first, second = produce(train_work()), produce(train_work())
    assert first.files == second.files
    assert first.digest == second.digest


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 2}, {"l2": 0.1}, {"batch_size": 7}])
def test_what_decides_the_result_changes_the_weights(change: Any) -> None:
    assert produce(train_work()).files[WEIGHTS_FILE] != produce(train_work(**change)).files[WEIGHTS_FILE]


def test_small_networks_are_the_same_on_any_number_of_threads() -> None:
    with limited_threads(1):
        one = produce(train_work())
    with limited_threads(2):
        two = produce(train_work())
    assert one.files == two.files


def test_defaults_classify_iris(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "_MEMBERS", 4)  # a quarter of the networks, which take a second each
    produced = produce(train_work(epochs=60, hidden=(64, 64)))
    confusion = produced.metrics.confusion_matrix
    assert confusion is not None
    assert produced.metrics.test.rows == sum(map(sum, confusion.counts))
    assert produced.metrics.test.primary_metric.value >= 0.93


@pytest.mark.parametrize("model", FAMILIES)
def test_metrics_are_those_of_the_stored_model(model: dict[str, Any]) -> None:
    produced = produce(train_work(epochs=20, model=model))
    table = pyarrow.csv.read_csv(IRIS)
    predicted, true = predictor_of(produced).predict(table), table["species"].to_pylist()
    right = sum(map(str.__eq__, predicted, true))
    metrics = produced.metrics
    sides = [side for side in (metrics.train, metrics.validation, metrics.test) if side is not None]
    assert sum(side.rows for side in sides) == 150
    assert right == sum(round(side.primary_metric.value * side.rows) for side in sides)


@pytest.mark.parametrize("model", FAMILIES)
def test_the_manifest_says_where_it_comes_from(model: dict[str, Any]) -> None:
    manifest = produce(train_work(model=model), key="k1").manifest
    assert (manifest.stage, manifest.key, manifest.parent, manifest.compression) == ("train", "k1", None, None)
    assert (manifest.family, manifest.modality, manifest.task) == (next(iter(model)), "Table", "Multiclass")
    assert manifest.data is not None
    assert (manifest.data.rows, manifest.data.features, manifest.data.classes) == (150, 4, 3)
    assert manifest.parameters is not None
    assert manifest.parameters > 0
    assert manifest.producer.libraries.keys() >= {"onnx"}
    gradient = "mlp" in model
    assert ("torch" in manifest.producer.libraries) == gradient
    assert ({ARCHITECTURE_FILE, WEIGHTS_FILE} <= manifest.files.keys()) == gradient
    assert manifest.model.max_difference is not None
    assert manifest.model.max_difference <= 1e-5


@pytest.mark.parametrize("model", FAMILIES)
def test_the_graph_is_of_stock_operators_and_its_opset_is_recorded(model: dict[str, Any]) -> None:
    produced = produce(train_work(model=model))
    file = onnx.load_from_string(produced.files[MODEL_FILE])
    assert {node.domain for node in file.graph.node} <= {"", "ai.onnx", "ai.onnx.ml"}
    versions = {used.domain: used.version for used in file.opset_import}
    assert versions[""] == produced.manifest.model.opset


def test_a_report_counts_the_bytes_of_the_files() -> None:
    produced = produce(train_work())
    success = produced.success(produced.digest, {"read": 1.0})
    assert success.artifact_bytes == sum(map(len, produced.files.values()))
    assert success.parameters == (4 + 1) * 8 + (8 + 1) * 3
    assert success.evaluation == produced.metrics.test
    assert success.signature == produced.signature


def test_a_regression_ends_with_numbers() -> None:
    work = train_work(target="petal_width", epochs=40, hidden=(16,))
    produced = produce(work)
    assert produced.manifest.task == "Regression"
    assert produced.manifest.data is not None
    assert produced.manifest.data.classes is None
    assert produced.metrics.test.primary == "r2"
    assert produced.metrics.test.primary_metric.value > 0.8
    assert produced.metrics.confusion_matrix is None
    table = pyarrow.csv.read_csv(IRIS)
    errors = np.array(predictor_of(produced).predict(table)) - np.array(table["petal_width"].to_pylist())
    assert np.sqrt(np.mean(errors**2)) < 0.4


def test_two_classes_are_a_binary_task() -> None:
    content = "\n".join(line for line in IRIS.read_text().splitlines() if "virginica" not in line).encode()
    produced = produce(train_work(epochs=20), content)
    assert (produced.manifest.task, produced.signature.labels) == ("Binary", ("setosa", "versicolor"))
    assert produced.metrics.test.primary_metric.value == 1
    assert predictor_of(produced).predict_proba([[5.1, 3.5, 1.4, 0.2]]).shape == (1, 2)


def test_images_are_learned_by_a_convolutional_network() -> None:
    content = images()
    work = train_work(target="y", file="images.npz", model={"cnn": {"channels": [4], "hiddenLayers": []}}, epochs=15)
    produced = produce(work, content)
    assert (produced.manifest.modality, produced.manifest.family) == ("Image", "cnn")
    assert produced.manifest.data is not None
    assert produced.manifest.data.sizes == "60 images of 6 x 6, 3 classes"
    assert produced.metrics.test.primary_metric.value > 0.9
    with np.load(io.BytesIO(content)) as stored:
        predicted = predictor_of(produced).predict(stored["X"])
        assert np.mean(np.array(predicted) == stored["y"]) > 0.9


def test_a_family_says_what_it_cannot_learn() -> None:
    with pytest.raises(StageError, match=r"^spec\.model\.decisionTree ") as caught:
        produce(train_work(target="y", file="images.npz", model={"decisionTree": {}}), images())
    assert (caught.value.reason, caught.value.field) == ("ModelUnsuited", "spec.model")


def test_a_model_that_answers_otherwise_as_onnx_is_not_stored() -> None:
    work = train_work()
    dataset = build_dataset(read_source(IRIS.read_bytes(), format=work.data.format_of("iris.csv")), work.data)
    fitted = Mlp().fit(work.model.chosen, dataset, work.training, observe=lambda _: None)
    run = engine_of(fitted).run
    raw, difference = check_conversion(fitted, run, dataset)
    assert difference <= MAX_DIFFERENCE
    assert sum(map(len, raw)) == 150

    def shifted(by: float) -> Fitted:
        return dataclasses.replace(fitted, predict=lambda rows: fitted.predict(rows) + np.float32(by))

    assert check_conversion(shifted(5e-6), run, dataset)[1] == pytest.approx(5e-6, rel=0.2)
    for by in (2e-4, float("nan")):
        with pytest.raises(StageError, match="answers differently") as caught:
            check_conversion(shifted(by), run, dataset)
        assert caught.value.reason == "ConversionDiffers"


def test_what_is_served_is_opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Fitted] = []

    def counted(fitted: Fitted) -> Any:
        opened.append(fitted)
        return engine_of(fitted)

    monkeypatch.setattr("modelservice.stages.train.engine_of", counted)
    produce(train_work())
    assert len(opened) == 1


def test_what_is_served_is_not_open_while_the_models_of_folds_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: weakref.WeakSet[OnnxEngine] = weakref.WeakSet()
    held: list[int] = []

    def kept_in_sight(fitted: Fitted) -> OnnxEngine:
        engine = engine_of(fitted)
        opened.add(engine)
        return engine

    def counted(*args: Any) -> Any:
        held.append(len(opened))
        return cross_validate(*args)

    monkeypatch.setattr("modelservice.stages.train.engine_of", kept_in_sight)
    monkeypatch.setattr("modelservice.stages.train.cross_validate", counted)
    produce(train_work(model={"logistic": {}}, split={"folds": 2}))
    assert held == [0]


def test_categories_and_gaps_are_learned_and_served_alike() -> None:
    """The class depends on a category alone, and is missing now and then."""
    rows = [f"{'red' if n % 2 else 'blue'},{n % 7 or ''},{'stop' if n % 2 else 'go'}" for n in range(200)]
    produced = produce(train_work(epochs=20, target="y"), "\n".join(["colour,noise,y", *rows]).encode())
    assert produced.metrics.test.primary_metric.value == 1
    predictor = predictor_of(produced)
    assert predictor.predict([{"colour": "red", "noise": None}, ["blue", 3]]) == ["stop", "go"]
    assert predictor.predict_proba([["green", 3]]).shape == (1, 2)


def test_a_number_far_from_the_training_rows_is_a_data_error() -> None:
    """The second different row of a class is a test row, which no mean and deviation were measured on."""
    rows = [f"{'1e45' if n == 2 else n % 5},{'pq'[n % 2]}" for n in range(40)]
    with pytest.raises(DataError, match=r"column a: 1e\+45 is too far from the training data: correct") as caught:
        produce(train_work(target="y"), "\n".join(["a,y", *rows]).encode())
    assert caught.value.reason == "NotANumber"


def test_a_model_beyond_bounds_names_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "MAX_PARAMETERS", 50)
    with pytest.raises(StageError, match="67 parameters, at most 50") as caught:
        produce(train_work())
    assert (caught.value.reason, caught.value.field) == ("ModelTooLarge", "spec.model.mlp.hiddenLayers")


LATER = ("onnx", "onnxruntime", "openpyxl", "rich", "scipy", "sklearn")
"""Each costs the start of every training 0.05 to 0.2 s where its first step waits for it."""
COMPILER = ("torch._dynamo", "sympy", "torch.onnx", "onnxscript")
"""torch's compiler, which costs 6 s and 150 MB."""


def test_a_training_imports_what_it_needs_when_it_needs_it_and_no_compiler() -> None:
    """One network, several and one that convolves, in a process of their own: importing torch takes seconds."""
    code = (
        "import sys, modelservice.stages.local, modelservice.families.gradient, modelservice.training.progress\n"
        f"print([name for name in {LATER!r} if name in sys.modules])\n"
        "import modelservice.families.component, modelservice.families.kernel_regression\n"
        "print('sklearn' in sys.modules)\n"
        "from tests.unit.runtime.stages.pipelines import produce, train_work\n"
        "from tests.unit.runtime.stages.test_train import images\n"
        "produce(train_work())\n"
        "produce(train_work(epochs=60, model={'mlp': {'ensemble': 2}}))\n"
        "produce(train_work(target='y', file='images.npz', model={'cnn': {'channels': [4]}}, epochs=1), images())\n"
        f"print([name for name in {COMPILER!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "False", "[]", ""]


def test_the_curves_belong_to_the_training() -> None:
    metrics = produce(train_work(epochs=5)).metrics
    assert metrics.curves is not None
    assert metrics.best_epoch is not None
    assert metrics.validation is not None
    assert list(metrics.curves["epoch"]) == [1, 2, 3, 4, 5]
    losses = metrics.curves["validationLoss"]
    assert losses[metrics.best_epoch - 1] == min(losses)
    loss = metrics.validation.metric("logLoss")
    assert loss is not None
    assert loss.value == pytest.approx(min(losses), rel=1e-4)


def test_families_without_epochs_keep_no_validation_rows_apart() -> None:
    metrics = produce(train_work(model={"logistic": {}})).metrics
    assert (metrics.validation, metrics.best_epoch, metrics.curves) == (None, None, None)
    assert metrics.train.rows + metrics.test.rows == 150


def test_nothing_in_the_files_depends_on_the_clock_or_the_machine() -> None:
    produced = produce(train_work())
    manifest = Manifest.model_validate_json(produced.manifest.model_dump_json())
    assert manifest == produced.manifest
    assert not {"seconds", "time", "host"} & json.loads(manifest.model_dump_json()).keys()
