"""Layers of a lower rank, and weights within a range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.compression.learning import NOTHING, apply_steps, context_of, iris, random_network
from tests.unit.runtime.compression.test_prune import ARCHITECTURES, convolutional, perceptron, steps

from modelservice.compression import Compressible, StoredNetwork
from modelservice.compression.low_rank import factorised
from modelservice.contract.failure import StageError
from modelservice.contract.networks import Pooling
from modelservice.families.architecture import Architecture
from modelservice.inference.onnx_engine import OnnxEngine


@settings(max_examples=40, deadline=None)
@given(architecture=ARCHITECTURES, share=st.floats(0.01, 0.99))
def test_any_network_of_a_lower_rank_is_one_with_fewer_values(architecture: Architecture, share: float) -> None:
    network = random_network(architecture)
    split = factorised(network, share)
    if split is None:
        return
    assert split.parameters < network.parameters
    assert split.parameters == sum(array.size for array in split.weights.values())
    rows = np.random.default_rng(0).normal(size=(3, *architecture.shape)).astype(np.float32)
    assert np.isfinite(OnnxEngine(split.to_onnx()).run(rows)).all()


@pytest.mark.parametrize("architecture", [perceptron(24, 24), convolutional((12, 24), (24,), Pooling.MAX)])
def test_layers_that_have_a_low_rank_compute_the_same(architecture: Architecture) -> None:
    random = np.random.default_rng(0)
    network = random_network(architecture)
    weights = dict(network.weights)
    for name, array in weights.items():
        if name.endswith("weight"):
            outputs, inputs = len(array), array[0].size
            low = random.normal(size=(outputs, 1)) @ random.normal(size=(1, inputs)) / 8
            weights[name] = low.reshape(array.shape).astype(np.float32)
    network = StoredNetwork(architecture=architecture, weights=weights)
    asked = steps({"lowRank": {"share": 0.17, "fineTuneEpochs": 0}})
    split = apply_steps(Compressible.of(network), asked, NOTHING)
    assert split.network is not None
    assert split.network.parameters < 0.7 * network.parameters
    rows = random.normal(size=(5, *architecture.shape)).astype(np.float32)
    np.testing.assert_allclose(
        OnnxEngine(split.onnx).run(rows), OnnxEngine(network.to_onnx()).run(rows), rtol=1e-3, atol=1e-4
    )


def test_a_rank_that_saves_nothing_is_refused() -> None:
    with pytest.raises(StageError, match="makes no layer smaller: lower it") as caught:
        apply_steps(Compressible.of(random_network(perceptron(8))), steps({"lowRank": {"share": 0.9}}), NOTHING)
    assert caught.value.reason == "StepUnsuited"


@pytest.mark.parametrize("epochs", [0, 2])
def test_weights_are_within_the_range_and_biases_as_they_were(epochs: int) -> None:
    model = Compressible.of(random_network(perceptron(16)))
    assert model.network is not None
    asked = steps({"clip": {"limit": 0.5, "fineTuneEpochs": epochs}})
    clipped = apply_steps(model, asked, context_of(iris(), OnnxEngine(model.onnx).run)).network
    assert clipped is not None
    for name, array in clipped.weights.items():
        before = model.network.weights[name]
        if name.endswith("weight"):
            assert np.abs(array).max() == 0.5
        if epochs == 0:
            within = np.abs(before) < 0.5
            np.testing.assert_array_equal(array[within], before[within])
            np.testing.assert_array_equal(array, np.clip(before, -0.5, 0.5) if name.endswith("weight") else before)
