"""Weights that share few values."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.compression.learning import NOTHING, apply_steps, context_of, iris, random_network
from tests.unit.runtime.compression.test_prune import ARCHITECTURES, convolutional, perceptron, steps

from modelservice.compression import Compressible
from modelservice.compression.codebooks import saves, shared, store_codebooks
from modelservice.contract.failure import StageError
from modelservice.contract.networks import Pooling
from modelservice.families.architecture import Architecture
from modelservice.inference.onnx_engine import OnnxEngine

LAYERS = [perceptron(32, 32), convolutional((16, 16), (16,), Pooling.MAX)]


@pytest.mark.parametrize("values", [2, 3, 256])
def test_k_means_is_no_worse_than_even_steps(values: int) -> None:
    weights = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    found = shared(weights, values)
    assert len(np.unique(found)) <= values
    even = np.linspace(weights.min(), weights.max(), values)
    nearest = even[np.abs(weights[..., None] - even).argmin(axis=-1)]
    assert np.square(found - weights).sum() < np.square(nearest - weights).sum()
    # Each weight has the nearest value, and each value is the mean of its weights.
    for value in np.unique(found):
        assert abs(weights[found == value].mean(dtype=np.float64) - value) < 1e-3


def test_few_values_and_zeros_stay_as_they_are() -> None:
    weights = np.array([[0, 0, 1.5], [-2, 0, 1.5]], np.float32)
    np.testing.assert_array_equal(shared(weights, 3), weights)
    np.testing.assert_array_equal(shared(np.zeros((2, 2), np.float32), 2), np.zeros((2, 2)))
    assert not (shared(weights, 2) == 0)[weights != 0].any()


@pytest.mark.parametrize("architecture", LAYERS)
@pytest.mark.parametrize(("values", "times"), [(16, 4), (256, 1.5)])
def test_the_file_is_smaller_and_answers_by_the_shared_weights(
    architecture: Architecture, values: int, times: float
) -> None:
    model = Compressible.of(random_network(architecture))
    small = apply_steps(model, steps({"shareWeights": {"values": values, "fineTuneEpochs": 0}}), NOTHING)
    assert small.network is not None
    stored = {one.name: one for one in onnx.load_from_string(small.onnx).graph.initializer}
    numbers = [one for name, one in stored.items() if name.endswith("_numbers")]
    assert {one.data_type for one in numbers} == {onnx.TensorProto.UINT4 if values == 16 else onnx.TensorProto.UINT8}
    weights = sum(one.ByteSize() for one in stored.values())
    assert weights < 4 * sum(array.size for array in small.network.weights.values()) / times
    rows = np.random.default_rng(1).normal(size=(5, *architecture.shape)).astype(np.float32)
    expected = OnnxEngine(small.network.to_onnx()).run(rows)
    np.testing.assert_array_equal(OnnxEngine(small.onnx).run(rows), expected)


@settings(max_examples=25, deadline=None)
@given(architecture=ARCHITECTURES, values=st.integers(2, 256))
def test_any_network_is_finite_or_refused(architecture: Architecture, values: int) -> None:
    network = random_network(architecture)
    asked = steps({"shareWeights": {"values": values, "fineTuneEpochs": 0}})
    worth = any(saves(array.size, values) for name, array in network.weights.items() if name.endswith("weight"))
    if not worth:
        with pytest.raises(StageError, match="makes no layer smaller: lower them"):
            apply_steps(Compressible.of(network), asked, NOTHING)
        return
    small = apply_steps(Compressible.of(network), asked, NOTHING)
    rows = np.random.default_rng(0).normal(size=(3, *architecture.shape)).astype(np.float32)
    assert np.isfinite(OnnxEngine(small.onnx).run(rows)).all()


def test_values_learn_on_and_stay_shared_and_zeros_stay_zeros() -> None:
    model = Compressible.of(random_network(perceptron(16, 16)))
    context = context_of(iris(), OnnxEngine(model.onnx).run)
    zeros = {"prune": {"unstructured": {"ratio": 0.5}, "fineTuneEpochs": 0}}

    def made(epochs: int) -> Compressible:
        return apply_steps(model, steps(zeros, {"shareWeights": {"values": 4, "fineTuneEpochs": epochs}}), context)

    raw, tuned = made(0).network, made(20).network
    assert raw is not None
    assert tuned is not None
    features = context.dataset.validation.features
    apart = [np.abs(OnnxEngine(one.to_onnx()).run(features) - context.teacher(features)).mean() for one in (raw, tuned)]
    assert apart[1] < 0.8 * apart[0]
    for name, array in tuned.weights.items():
        if name.endswith("weight"):
            assert len(np.unique(array)) <= 4
            np.testing.assert_array_equal(array == 0, raw.weights[name] == 0)
            assert (array != raw.weights[name]).any()
    assert made(20).onnx == made(20).onnx


def test_more_values_than_a_number_tells_apart_are_refused() -> None:
    weights = np.arange(257, dtype=np.float32)
    with pytest.raises(ValueError, match="w takes 257 different values, and a codebook holds 256 at most"):
        store_codebooks(onnx.ModelProto(), {"w": weights})
