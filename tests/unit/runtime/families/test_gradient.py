"""The fit that gradient families share, and torch serving what it stored."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import quantize_dynamic
from onnxruntime.quantization.quant_utils import add_pre_process_metadata
from safetensors.numpy import load as load_weights
from safetensors.numpy import save as save_weights
from tests.unit.runtime.families.datasets import difference, fit, load, primary, run_onnx, with_values

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes
from modelservice.artifact.load import Artifact
from modelservice.contract.documents import read_document
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.contract.places import GPUS_ENV
from modelservice.contract.progress import Progress
from modelservice.contract.signature import SIGNATURE_FILE, ColumnKind, InputColumn, Signature
from modelservice.families import architecture, gradient, torch_engine
from modelservice.families.architecture import Architecture, Scale, Sigmoid, Softmax
from modelservice.families.base import Fitted
from modelservice.families.torch_engine import load_torch_engine
from modelservice.inference.engine import Differentiable
from modelservice.modalities.base import Dataset
from modelservice.tasks.base import Task
from modelservice.training.threads import limited_threads

SMALL = {"mlp": {"hiddenLayers": [8]}}
CNN = {"cnn": {"channels": [4], "hiddenLayers": [8]}}


def stored(fitted: Fitted) -> Architecture:
    return read_document(ARCHITECTURE_FILE, fitted.files[ARCHITECTURE_FILE], Architecture)


def test_progress_has_the_primary_metric_of_the_kept_weights() -> None:
    """For each task the number told after the best epoch is what the task says of the final model."""
    for data in ("iris", "breast_cancer", "diabetes"):
        dataset = load(data)
        observed: list[Progress] = []
        fitted = fit(dataset, SMALL, epochs=5, observed=observed)
        assert [(progress.stage, progress.done, progress.total) for progress in observed] == [
            ("train", epoch, 5) for epoch in range(1, 6)
        ]
        assert fitted.best_epoch is not None
        best = observed[fitted.best_epoch - 1]
        assert best.loss == min(progress.loss for progress in observed if progress.loss is not None)
        rows = dataset.validation
        scores = dataset.task.score(fitted.predict(rows.features), rows.values, dataset.labels)
        expected = scores.evaluation.primary_metric
        assert best.metric is not None
        assert best.metric.name == expected.name
        assert best.metric.value == pytest.approx(expected.value, abs=1e-6)


def test_the_curves_belong_to_the_training() -> None:
    fitted = fit(load("diabetes"), SMALL, epochs=5)
    assert fitted.curves is not None
    assert list(fitted.curves) == ["epoch", "trainLoss", "validationLoss", "validationR2"]
    assert list(fitted.curves["epoch"]) == [1, 2, 3, 4, 5]
    assert fitted.best_epoch == 1 + int(np.argmin(fitted.curves["validationLoss"]))


def test_files_hold_the_network_with_its_head() -> None:
    dataset = load("diabetes")
    fitted = fit(dataset, SMALL, epochs=1)
    values = dataset.train.values
    assert stored(fitted).head == Scale(mean=float(values.mean()), std=float(values.std()))
    assert set(load_weights(fitted.files[WEIGHTS_FILE])) == {"0.weight", "0.bias", "3.weight", "3.bias"}
    assert isinstance(stored(fit(load("iris"), SMALL, epochs=1)).head, Softmax)
    assert isinstance(stored(fit(load("breast_cancer"), SMALL, epochs=1)).head, Sigmoid)


@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0.0), (1e6, 1e9), (1.0, 0.0)])
def test_a_number_is_learned_in_any_unit(factor: Any, offset: Any) -> None:
    dataset = with_values(load("diabetes"), lambda values: values * factor + offset)
    fitted = fit(dataset, SMALL, epochs=20)
    assert primary(fitted, dataset) > 0.2
    assert difference(fitted, dataset) <= 1e-5


def test_a_target_that_is_the_same_in_all_training_rows_is_answered() -> None:
    dataset = load("diabetes")
    constant = replace(dataset, train=replace(dataset.train, values=np.full_like(dataset.train.values, 7.0)))
    answers = fit(constant, SMALL, epochs=30).predict(dataset.test.features)
    assert np.abs(answers - 7).max() < 2


@pytest.mark.parametrize("change", [{"epochs": 3}, {"l2": 0.1}, {"l1": 0.1}, {"batch_size": 7}])
def test_what_decides_the_result_changes_the_weights(change: Any) -> None:
    first, second = fit(load("iris"), SMALL, epochs=2), fit(load("iris"), SMALL, **{"epochs": 2, **change})
    assert first.files[WEIGHTS_FILE] != second.files[WEIGHTS_FILE]


def test_small_networks_are_the_same_on_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2):
        with limited_threads(threads):
            results.append(fit(load("iris"), SMALL, epochs=2).files)
    assert results[0] == results[1]


def test_memory_is_bounded_by_slices_which_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = load("digitImages")
    whole = fit(dataset, CNN, epochs=1)
    expected = whole.predict(dataset.test.features)
    monkeypatch.setattr(gradient, "_SLICE_VALUES", 4 * 64 * 50)
    assert gradient.slice_rows(stored(whole)) == 50
    sliced = fit(dataset, CNN, epochs=1)
    np.testing.assert_allclose(sliced.predict(dataset.test.features), expected, atol=1e-5)


def test_a_gpu_computes_convolutions_with_all_bits_and_repeatably() -> None:
    """Switches only, since no GPU is here; TF32 alone would be off by 1e-3."""
    cudnn = torch.backends.cudnn
    before = (cudnn.allow_tf32, cudnn.deterministic)
    with gradient.exact_convolutions("cuda"):
        assert (cudnn.enabled, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark) == (True, False, True, False)
    assert (cudnn.allow_tf32, cudnn.deterministic) == before


def test_a_network_beyond_bounds_names_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architecture, "MAX_PARAMETERS", 50)
    with pytest.raises(StageError, match="not possible: 67 parameters, at most 50 are possible: make it") as caught:
        fit(load("iris"), SMALL)
    assert (caught.value.reason, caught.value.field) == ("ModelTooLarge", "spec.model.mlp.hiddenLayers")


def test_divergence_names_the_learning_rate() -> None:
    steep = {"sgd": {"learningRate": 10.0, "momentum": 0.99}}
    with pytest.raises(StageError, match="which is 10") as caught:
        fit(load("iris"), SMALL, epochs=50, l2=1.0, optimizer=steep)
    assert (caught.value.reason, caught.value.field) == ("Diverged", "spec.training.optimizer.sgd.learningRate")


def test_onnxruntime_can_quantise_every_matrix_and_kernel(tmp_path: Any) -> None:
    dataset = load("digitImages")
    fitted = fit(dataset, CNN, epochs=3)
    graph = onnx.load_from_string(fitted.onnx)
    add_pre_process_metadata(graph)
    quantize_dynamic(graph, tmp_path / "small.onnx")
    small = onnx.load(tmp_path / "small.onnx")
    operators = [node.op_type for node in small.graph.node]
    assert not {"Gemm", "MatMul", "Conv"} & set(operators)
    assert (operators.count("MatMulInteger"), operators.count("ConvInteger")) == (2, 1)
    raw = run_onnx(small.SerializeToString(), dataset.test.features)
    agree = raw.argmax(axis=1) == fitted.predict(dataset.test.features).argmax(axis=1)
    assert agree.mean() > 0.95


@dataclass(frozen=True)
class Parts:
    """What an artifact for torch is put together from, to be changed by a test."""

    architecture: bytes
    weights: bytes
    labels: tuple[str, ...]
    task: Task

    def artifact(self) -> Artifact:
        signature = Signature(
            modality="Table",
            task=self.task.name,
            target="y",
            inputs=(InputColumn(name="x", type=ColumnKind.NUMBER, example=0.0),),
            outputs=self.task.outputs(self.labels),
        )
        contents = {
            SIGNATURE_FILE: document_bytes(signature),
            ARCHITECTURE_FILE: self.architecture,
            WEIGHTS_FILE: self.weights,
        }
        return Artifact(
            digest="",
            manifest=None,  # type: ignore[arg-type] # torch does not look at it
            manifest_bytes=b"",
            contents={name: content for name, content in contents.items() if content},
        )


def parts_of(fitted: Fitted, dataset: Dataset) -> Parts:
    return Parts(
        architecture=fitted.files[ARCHITECTURE_FILE],
        weights=fitted.files[WEIGHTS_FILE],
        labels=dataset.labels,
        task=dataset.task,
    )


@pytest.mark.parametrize(
    ("data", "model"), [("iris", SMALL), ("breast_cancer", SMALL), ("diabetes", SMALL), ("digitImages", CNN)]
)
def test_torch_serves_what_was_stored(data: Any, model: Any) -> None:
    dataset = load(data)
    fitted = fit(dataset, model, epochs=2)
    engine = load_torch_engine(parts_of(fitted, dataset).artifact())
    assert engine.name == "Torch"
    answered, expected = engine.run(dataset.test.features), fitted.predict(dataset.test.features)
    if torch.cuda.is_available():  # which adds up in another order
        np.testing.assert_allclose(answered, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(answered, expected)
    assert not torch.is_inference_mode_enabled()
    check_slopes(engine, dataset.test.features[:3])
    before = torch.get_num_threads()
    with limited_threads(before):
        engine.use_threads(before + 1)
        assert torch.get_num_threads() == before + 1


def check_slopes(engine: Any, rows: Any, *, steps: int = 256) -> None:
    """Slopes on the way from nothing to a row add up to what the answers for both differ by."""
    differentiable: Any = engine
    assert isinstance(differentiable, Differentiable)
    shares = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    for row in rows:
        way = shares.reshape(-1, *[1] * row.ndim) * row
        said = engine.gradients(way, 0)
        np.testing.assert_allclose(said[:, 0], engine.run(way)[:, 0], rtol=1e-5)
        nothing, whole = engine.run(np.stack([np.zeros_like(row), row]))[:, 0]
        assert said[:, 1:].mean(axis=0) @ row.ravel() == pytest.approx(whole - nothing, rel=0.02, abs=0.01)


NEWER = b"""{"kind": "Architecture", "schemaVersion": "1.1", "shape": [4], "skips": [0], "head": {"kind": "Softmax"},
"layers": [{"kind": "Linear", "inputs": 4, "outputs": 3}]}"""
"""What an older release would compute without the skips."""


def changed(weights: bytes, name: str, value: Any) -> bytes:
    arrays = load_weights(weights)
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value(arrays[name]) if callable(value) else value
    return save_weights(arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": b""}, r"has no architecture.json, from which torch serves: leave spec.serving.engine out"),
        ({"weights": b""}, "has no weights.safetensors"),
        ({"architecture": b"[]"}, "architecture.json is not an object"),
        ({"architecture": b'{"kind": "Architecture", "schemaVersion": "2.0"}'}, "use a newer release"),
        ({"architecture": NEWER}, "skips: there is no such field"),
        ({"labels": ("a", "b")}, "the signature asks for 2 outputs, the model gives 3"),
        ({"weights": b"\xff" * 64}, "weights.safetensors is not valid"),
        ({"weights": ("0.bias", None)}, "does not hold the weights that architecture.json describes"),
        ({"weights": ("0.weight", lambda array: array[:, :3].copy())}, "does not hold the weights"),
        ({"weights": ("0.weight", lambda array: array.astype(np.float16))}, "does not hold the weights"),
        ({"weights": ("more", np.zeros(1, np.float32))}, "does not hold the weights"),
        ({"weights": ("3.bias", np.array([0, np.nan, 0], np.float32))}, "holds values that are not finite"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change: Any, message: Any) -> None:
    dataset = load("iris")
    parts = parts_of(fit(dataset, SMALL, epochs=1), dataset)
    if isinstance(change.get("weights"), tuple):
        change = {"weights": changed(parts.weights, *change["weights"])}
    with pytest.raises(ArtifactError, match=message):
        load_torch_engine(replace(parts, **change).artifact())


def test_a_gpu_that_is_granted_and_not_seen_ends_the_training_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv(GPUS_ENV, "1")
    with pytest.raises(
        StageError, match=r"holds 1 GPU and torch sees none: set spec\.training\.runtimeClassName"
    ) as said:
        fit(load("iris"), SMALL, epochs=1)
    failure = said.value.failure()
    assert (failure.reason, failure.field) == ("GpuNotVisible", "spec.training.runtimeClassName")
    assert failure.exit_code == ExitCode.ORDER_INVALID, "another try would see none either"


def test_a_gpu_that_is_granted_and_not_seen_ends_a_server_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    dataset = load("iris")
    artifact = parts_of(fit(dataset, SMALL, epochs=1), dataset).artifact()
    monkeypatch.setenv(GPUS_ENV, "2")
    with pytest.raises(StageError, match=r"holds 2 GPUs and torch sees none: set spec\.serving\.runtimeClassName"):
        load_torch_engine(artifact)


def test_a_model_that_the_gpu_has_no_room_for_ends_a_server_with_the_field(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 MiB.")

    dataset = load("iris")
    artifact = parts_of(fit(dataset, SMALL, epochs=1), dataset).artifact()
    monkeypatch.setattr(torch_engine, "Network", fill)
    with pytest.raises(StageError, match="does not fit into what is free of the GPU's memory") as said:
        load_torch_engine(artifact)
    assert (said.value.reason, said.value.field) == ("OutOfMemory", "spec.serving.nodeSelector")
