"""Weights of 8 bits."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tests.unit.runtime.compression.learning import NOTHING, apply_steps, random_network
from tests.unit.runtime.inference.graphs import model, tensor, value
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice import compression
from modelservice.compression import Compressible, StepContext
from modelservice.compression.four_bits import packed
from modelservice.contract.compression import Compression, Quantize, Step
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import MODEL_FILE
from modelservice.families.architecture import Architecture, Linear, Softmax, TokenAttention
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.tasks.base import Array

Shape = tuple[int, ...]
FORMS = [("Int8", "None"), ("Int8", "Dynamic"), ("Int8", "Static"), ("Int4", "None"), ("Int4", "Dynamic")]


def quantised_bytes(content: bytes, weights: str = "Int8", activations: str = "Dynamic", shape: Shape = (4,)) -> bytes:
    asked = Compression.model_validate({"steps": [{"quantize": {"weights": weights, "activations": activations}}]})
    random = np.random.default_rng(9)
    train = replace(NOTHING.dataset.train, features=random.normal(size=(700, *shape)).astype(np.float32))
    context = replace(NOTHING, dataset=replace(NOTHING.dataset, train=train))
    return apply_steps(Compressible(onnx=content), asked.steps, context).onnx


def perceptron(random: np.random.Generator) -> bytes:
    nodes = [
        helper.make_node("Gemm", ["features", "w0", "b0"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w1", "b1"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["raw"], axis=-1),
    ]
    weights = [
        tensor("w0", random.normal(size=(64, 4)) / 2),
        tensor("b0", random.normal(size=64)),
        tensor("w1", random.normal(size=(3, 64)) / 8),
        tensor("b1", random.normal(size=3)),
    ]
    return bytes(model(nodes, weights=weights).SerializeToString())


def convolutions(random: np.random.Generator) -> bytes:
    nodes = [
        helper.make_node("Conv", ["features", "w0", "b0"], ["maps"], kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("MaxPool", ["active"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["raw"], axis=-1),
    ]
    weights = [
        tensor("w0", random.normal(size=(16, 1, 3, 3)) / 3),
        tensor("b0", random.normal(size=16)),
        tensor("w1", random.normal(size=(3, 256)) / 16),
        tensor("b1", random.normal(size=3)),
    ]
    return bytes(model(nodes, weights=weights, inputs=[value("features", ["rows", 1, 8, 8])]).SerializeToString())


def ensemble(random: np.random.Generator) -> bytes:
    nodes = [
        helper.make_node("Mul", ["features", "w0"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "w1"], ["products"]),
        helper.make_node("Add", ["products", "b1"], ["hidden"]),
        helper.make_node("Sigmoid", ["hidden"], ["gate"]),
        helper.make_node("Mul", ["hidden", "gate"], ["active"]),
        helper.make_node("MatMul", ["active", "w2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["members"], axis=2),
        helper.make_node("ReduceMean", ["members", "axes"], ["raw"], keepdims=0),
    ]
    weights = [
        tensor("w0", random.uniform(0.5, 2, size=(5, 1, 4))),
        tensor("w1", random.normal(size=(5, 4, 32)) / 2),
        tensor("b1", random.normal(size=(5, 1, 32))),
        tensor("w2", random.normal(size=(5, 32, 3)) / 8),
        numpy_helper.from_array(np.array([0], np.int64), "axes"),
    ]
    return bytes(model(nodes, weights=weights).SerializeToString())


@pytest.mark.parametrize(("build", "shape"), [(perceptron, (4,)), (convolutions, (1, 8, 8)), (ensemble, (4,))])
def test_a_network_becomes_smaller_and_answers_nearly_alike(
    build: Callable[[Any], bytes], shape: tuple[int, ...]
) -> None:
    random = np.random.default_rng(0)
    content = build(random)
    smaller = quantised_bytes(content)
    assert len(smaller) < 0.6 * len(content) + 3000
    rows = random.normal(size=(64, *shape)).astype(np.float32)
    before, after = OnnxEngine(content).run(rows), OnnxEngine(smaller).run(rows)
    assert 0 < np.abs(before - after).max() < 0.05
    assert smaller == quantised_bytes(content)


@pytest.mark.parametrize(("build", "shape"), [(perceptron, (4,)), (convolutions, (1, 8, 8)), (ensemble, (4,))])
def test_a_row_gets_the_same_bits_in_any_company(build: Callable[[Any], bytes], shape: tuple[int, ...]) -> None:
    """Requests of several clients are answered in one batch: none may take the precision away from the others."""
    random = np.random.default_rng(1)
    engine = OnnxEngine(quantised_bytes(build(random)))
    rows = random.normal(size=(33, *shape)).astype(np.float32)
    rows[3] *= 1e6
    rows[7] = 0
    alone = np.concatenate([engine.run(rows[index : index + 1]) for index in range(len(rows))])
    np.testing.assert_array_equal(engine.run(rows), alone)
    assert np.isfinite(alone).all()


@pytest.mark.parametrize(("weights", "activations"), FORMS)
@pytest.mark.parametrize(("build", "shape"), [(perceptron, (4,)), (convolutions, (1, 8, 8)), (ensemble, (4,))])
def test_all_forms_are_smaller_and_answer_nearly_alike(
    build: Callable[[Any], bytes], shape: Shape, weights: str, activations: str
) -> None:
    random = np.random.default_rng(0)
    content = build(random)
    smaller = quantised_bytes(content, weights, activations, shape)
    assert len(smaller) < (0.35 if weights == "Int4" else 0.5) * len(content) + 4000
    rows = random.normal(size=(64, *shape)).astype(np.float32)
    before, after = OnnxEngine(content).run(rows), OnnxEngine(smaller).run(rows)
    assert 0 < np.abs(before - after).max() < (0.3 if weights == "Int4" else 0.1)
    assert smaller == quantised_bytes(content, weights, activations, shape)


@pytest.mark.parametrize(("build", "shape"), [(perceptron, (4,)), (convolutions, (1, 8, 8)), (ensemble, (4,))])
@pytest.mark.parametrize(("weights", "activations"), [("Int8", "Static"), ("Int4", "Dynamic")])
def test_rows_keep_their_answers_in_any_company(
    build: Callable[[Any], bytes], shape: Shape, weights: str, activations: str
) -> None:
    random = np.random.default_rng(1)
    engine = OnnxEngine(quantised_bytes(build(random), weights, activations, shape))
    rows = random.normal(size=(9, *shape)).astype(np.float32)
    rows[3] *= 1e6
    alone = np.concatenate([engine.run(rows[index : index + 1]) for index in range(len(rows))])
    np.testing.assert_allclose(engine.run(rows), alone, atol=1e-5)
    assert np.isfinite(alone).all()


def operators(content: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(content).graph.node)


def attention() -> tuple[bytes, Array]:
    """A small transformer whose queries, keys and values are three layers of one value, and tokens of 40 texts."""
    layer = TokenAttention(vocabulary=30, length=12, width=64, heads=4, layers=2, feed_forward=64, dropout=0)
    architecture = Architecture(shape=(12,), layers=(layer, Linear(inputs=64, outputs=3)), head=Softmax())
    network = random_network(architecture)
    weights = {
        name: np.ones_like(array) if "norm" in name and name.endswith("weight") else array / np.float32(8)
        for name, array in network.weights.items()
    }
    tokens = np.random.default_rng(4).integers(1, 31, size=(40, 12)).astype(np.float32)
    tokens[::3, 7:] = 0
    return replace(network, weights=weights).to_onnx(), tokens


@pytest.mark.parametrize(("weights", "activations"), FORMS)
def test_layers_of_one_value_answer_nearly_alike(weights: str, activations: str) -> None:
    content, tokens = attention()
    asked = Compression.model_validate({"steps": [{"quantize": {"weights": weights, "activations": activations}}]})
    train = replace(NOTHING.dataset.train, features=tokens)
    context = replace(NOTHING, dataset=replace(NOTHING.dataset, train=train))
    smaller = apply_steps(Compressible(onnx=content), asked.steps, context).onnx
    assert len(smaller) < 0.6 * len(content)
    before, after = (OnnxEngine(one).run(tokens) for one in (content, smaller))
    assert np.ptp(before, axis=0).min() > 0.2, "texts are answered apart"
    assert np.abs(before - after).max() < (0.3 if weights == "Int4" else 0.1)
    alone = np.concatenate([OnnxEngine(smaller).run(tokens[row : row + 1]) for row in range(5)])
    np.testing.assert_allclose(after[:5], alone, atol=1e-6)


def test_each_form_has_its_operators() -> None:
    linear, maps = perceptron(np.random.default_rng(0)), convolutions(np.random.default_rng(0))
    found = {form: operators(quantised_bytes(linear, *form)) for form in FORMS}
    assert found["Int8", "None"]["DequantizeLinear"] == 2
    assert found["Int8", "Dynamic"]["MatMulInteger"] == 2
    assert found["Int8", "Static"]["QGemm"] == 2
    # Of four inputs a layer has no block to fill.
    assert (found["Int4", "None"]["MatMulNBits"], found["Int4", "None"]["DequantizeLinear"]) == (1, 1)
    assert operators(quantised_bytes(maps, "Int8", "Static", (1, 8, 8)))["QLinearConv"] == 1
    assert operators(quantised_bytes(maps, "Int4", "Dynamic", (1, 8, 8)))["MatMulNBits"] == 1


def test_blocks_of_four_bits_are_within_half_a_step() -> None:
    matrix = np.random.default_rng(0).normal(size=(70, 3)).astype(np.float32)
    matrix[:32, 1] = 0
    pairs, sizes = packed(matrix)
    assert (pairs.shape, sizes.shape) == ((3, 3, 16), (3, 3))
    integers = np.stack([pairs & 15, pairs >> 4], axis=-1).reshape(3, 3, 32).astype(np.float32) - 8
    restored = (integers * sizes[..., None]).reshape(3, 96).T
    assert (np.abs(restored[:70] - matrix) <= np.repeat(sizes, 32, axis=1).T[:70] * 0.5001).all()
    assert (restored[70:] == 0).all()


def test_layers_of_any_width_stay_in_the_one_file() -> None:
    random = np.random.default_rng(2)
    nodes = [helper.make_node("Gemm", ["features", "w", "b"], ["raw"], transB=1)]
    weights = [tensor("w", random.normal(size=(512, 4))), tensor("b", random.normal(size=512))]
    content = bytes(model(nodes, weights=weights, outputs=[value("raw", ["rows", 512])]).SerializeToString())
    rows = random.normal(size=(8, 4)).astype(np.float32)
    expected = OnnxEngine(content).run(rows)
    np.testing.assert_allclose(OnnxEngine(quantised_bytes(content)).run(rows), expected, atol=0.2)


def test_weights_are_of_8_bits_with_room_for_any_cpu() -> None:
    quantised = onnx.load_from_string(quantised_bytes(perceptron(np.random.default_rng(0))))
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in quantised.graph.initializer}
    integers = [array for array in weights.values() if array.dtype == np.int8 and array.ndim == 2]
    assert [array.shape for array in integers] == [(4, 64), (64, 3)]
    assert max(np.abs(array.astype(int)).max() for array in integers) <= 64
    assert {node.domain for node in quantised.graph.node} == {""}


def test_convolutions_are_stored_with_8_bits_and_computed_with_floats() -> None:
    """onnxruntime has no fast convolution of integers on a CPU."""
    content = convolutions(np.random.default_rng(0))
    quantised = onnx.load_from_string(quantised_bytes(content))
    assert "ConvInteger" not in {node.op_type for node in quantised.graph.node}
    weights = {one.name: onnx.numpy_helper.to_array(one) for one in quantised.graph.initializer}
    assert weights["w0_quantized"].dtype == np.int8
    before = next(onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(content).graph.initializer)
    restored = weights["w0_quantized"] * weights["w0_scale"][:, None, None, None]
    # Half a step of each output channel, whose largest weight has 127 steps.
    assert (np.abs(restored - before).max(axis=(1, 2, 3)) <= weights["w0_scale"] * 0.5001).all()
    assert np.abs(weights["w0_quantized"]).max(axis=(1, 2, 3)).tolist() == [127] * 16


def test_steps_are_applied_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dummy step is a member of the registry and taken through like ours."""

    class Append:
        name = "quantize"

        def apply(self, settings: Quantize, model: Compressible, context: StepContext) -> Compressible:
            return Compressible(onnx=model.onnx + settings.weights.encode())

    monkeypatch.setattr(compression, "STEPS", (Append(),))
    twice = [Step(quantize=Quantize()), Step(quantize=Quantize())]
    assert apply_steps(Compressible(onnx=b"model "), twice, NOTHING).onnx == b"model Int8Int8"


@pytest.mark.parametrize(
    "model",
    [
        {"svm": {}},
        {"decisionTree": {}},
        {"randomForest": {"trees": 3}},
        {"gradientBoosting": {"rounds": 3}},
        {"kernelRidge": {}},
    ],
    ids=lambda model: next(iter(model)),
)
def test_what_has_no_layers_of_weights_is_refused_with_the_remedy(model: dict[str, Any]) -> None:
    content = produce(train_work(model=model)).files[MODEL_FILE]
    with pytest.raises(StageError, match=r"leave spec\.compression out") as caught:
        quantised_bytes(content)
    assert (caught.value.reason, caught.value.field) == ("NothingToQuantize", "spec.compression.steps")
