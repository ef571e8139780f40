"""Neurons, channels and single weights left out."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.runtime.compression.learning import NOTHING, apply_steps, context_of, iris, random_network
from tests.unit.runtime.stages.pipelines import produce, train_work

from modelservice.compression import Compressible, StoredNetwork
from modelservice.compression.units import BLOCK, joints, kept_units, widths_within, without_units
from modelservice.contract.compression import Compression
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import MODEL_FILE
from modelservice.contract.networks import Cell, ConvolutionalNetwork, MultilayerPerceptron, Pooling
from modelservice.contract.resource import ModelServiceSpec
from modelservice.families.architecture import (
    Architecture,
    Curve,
    Isotonic,
    Linear,
    MemberMean,
    Softmax,
    TokenAttention,
    TokenRecurrence,
)
from modelservice.families.cnn import design_cnn
from modelservice.families.perceptron import design_mlp
from modelservice.inference.onnx_engine import OnnxEngine

IMAGE = (2, 6, 5)


def steps(*asked: dict[str, Any]) -> Any:
    return Compression.model_validate({"steps": list(asked)}).steps


def pruned(network: StoredNetwork, kind: str, ratio: float) -> StoredNetwork:
    asked = steps({"prune": {kind: {"ratio": ratio}, "fineTuneEpochs": 0}})
    found = apply_steps(Compressible.of(network), asked, NOTHING).network
    assert found is not None
    return found


def perceptron(*widths: int) -> Architecture:
    return design_mlp(MultilayerPerceptron(hidden_layers=widths), (4,), 3, Softmax())


def convolutional(channels: tuple[int, ...], widths: tuple[int, ...], pooling: Pooling) -> Architecture:
    asked = ConvolutionalNetwork(channels=channels, hidden_layers=widths, pooling=pooling)
    return design_cnn(asked, IMAGE, 3, Softmax())


few = st.integers(1, 9)
ARCHITECTURES = st.one_of(
    st.lists(few, min_size=1, max_size=3).map(lambda widths: perceptron(*widths)),
    st.builds(
        lambda channels, widths, pooling: convolutional(tuple(channels), tuple(widths), pooling),
        st.lists(few, min_size=1, max_size=2),
        st.lists(few, max_size=2),
        st.sampled_from(Pooling),
    ),
)


@settings(max_examples=40, deadline=None)
@given(architecture=ARCHITECTURES, ratio=st.floats(0.01, 0.99), seed=st.integers(0, 5))
def test_any_network_stays_one_without_some_units(architecture: Architecture, ratio: float, seed: int) -> None:
    network = random_network(architecture, seed)
    smaller = pruned(network, "structured", ratio)
    for before, after in zip(joints(architecture), joints(smaller.architecture), strict=True):
        assert after.units == max(1, before.units - round(ratio * before.units))
    assert smaller.parameters == sum(array.size for array in smaller.weights.values())
    assert smaller.architecture.shape == architecture.shape
    rows = np.random.default_rng(seed).normal(size=(3, *architecture.shape)).astype(np.float32)
    outputs = OnnxEngine(smaller.to_onnx()).run(rows)
    assert outputs.shape == (3, architecture.width)
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize(
    "architecture",
    [
        perceptron(8, 8),
        convolutional((8, 8), (8,), Pooling.MAX),
        convolutional((8,), (), Pooling.NONE),
        convolutional((8, 8), (8,), Pooling.AVERAGE),
    ],
)
def test_units_that_nothing_listens_to_go_first_and_change_nothing(architecture: Architecture) -> None:
    network = random_network(architecture)
    random = np.random.default_rng(3)
    weights = dict(network.weights)
    for joint in joints(architecture):
        deaf = random.choice(joint.units, size=joint.units // 2, replace=False)
        grouped = weights[f"{joint.taker}.weight"].copy()
        view = grouped.reshape(len(grouped), joint.units, -1)
        view[:, deaf] = 0
        weights[f"{joint.taker}.weight"] = grouped
    network = StoredNetwork(architecture=architecture, weights=weights)
    rows = random.normal(size=(5, *architecture.shape)).astype(np.float32)
    smaller = pruned(network, "structured", 0.5)
    assert smaller.parameters < network.parameters
    expected = OnnxEngine(network.to_onnx()).run(rows)
    np.testing.assert_allclose(OnnxEngine(smaller.to_onnx()).run(rows), expected, rtol=1e-4, atol=1e-5)


def narrower(network: StoredNetwork, widths: list[int]) -> Architecture:
    return without_units(network, kept_units(network, widths)).architecture


@settings(max_examples=40, deadline=None)
@given(architecture=ARCHITECTURES, parameters=st.integers(1, 500))
def test_widths_for_a_size_lead_to_it(architecture: Architecture, parameters: int) -> None:
    network = random_network(architecture)
    widths = widths_within(architecture, parameters)
    least = narrower(network, [1] * len(widths)).parameters
    assert narrower(network, widths).parameters <= max(parameters, least)
    # Of the next larger size, some units more stay.
    more = widths_within(architecture, parameters + 100)
    assert all(one <= other for one, other in zip(widths, more, strict=True))
    if widths != [joint.units for joint in joints(architecture)]:
        assert widths != widths_within(architecture, network.parameters)


def test_widths_for_a_number_of_multiply_adds_lead_to_it() -> None:
    """Of convolutions there are more than parameters: each weight is used once for each pixel."""
    architecture = convolutional((8, 16), (32,), Pooling.MAX)
    fewest = architecture.multiply_adds // 3
    widths = widths_within(architecture, architecture.parameters, fewest)
    left = narrower(random_network(architecture), widths)
    assert fewest / 1.5 < left.multiply_adds <= fewest
    assert widths < widths_within(architecture, architecture.parameters // 2)


def test_of_channels_more_stay_than_of_neurons() -> None:
    architecture = convolutional((16, 16), (64,), Pooling.MAX)
    *channels, neurons = widths_within(architecture, architecture.parameters // 4)
    assert neurons / 64 == pytest.approx((channels[0] / 16) ** 2, abs=0.05)
    assert channels[0] == channels[1]


def test_channels_stay_in_blocks_of_the_engine_and_neurons_take_what_that_leaves() -> None:
    architecture = convolutional((40, 48), (200,), Pooling.MAX)
    for divisor in range(2, 9):
        parameters = architecture.parameters // divisor
        *channels, neurons = widths_within(architecture, parameters)
        assert [one % BLOCK for one in channels if one > BLOCK] == [0] * sum(one > BLOCK for one in channels)
        assert narrower(random_network(architecture), [*channels, neurons + 1]).parameters > parameters


def test_too_many_multiply_adds_cost_channels_first() -> None:
    architecture = convolutional((16, 16), (64,), Pooling.MAX)
    network, parameters = random_network(architecture), architecture.parameters // 4
    *channels, neurons = widths_within(architecture, parameters)
    gentle = narrower(network, [*channels, neurons])
    *fewer, as_many = widths_within(architecture, parameters, gentle.multiply_adds - 1)
    assert fewer < channels
    assert as_many >= neurons
    left = narrower(network, [*fewer, as_many])
    assert left.multiply_adds < gentle.multiply_adds
    assert left.parameters > 0.8 * parameters


def test_single_weights_become_zeros_the_smallest_first() -> None:
    network = random_network(perceptron(16, 16))
    sparse = pruned(network, "unstructured", 0.75)
    assert sparse.architecture == network.architecture
    before, after = (
        np.concatenate([array.ravel() for name, array in one.weights.items() if name.endswith("weight")])
        for one in (network, sparse)
    )
    assert np.count_nonzero(after) == len(after) - round(0.75 * len(after))
    assert np.abs(after[after != 0]).min() >= np.abs(before[after == 0]).max()
    biases = sum(array.size for name, array in network.weights.items() if name.endswith("bias"))
    assert sparse.nonzero == np.count_nonzero(after) + biases


@pytest.mark.parametrize("kind", ["structured", "unstructured"])
def test_what_is_left_learns_what_the_model_said_before(kind: str) -> None:
    dataset = iris()
    teacher = produce(train_work(epochs=25, hidden=(64, 64)))
    content = teacher.files[MODEL_FILE]
    model = Compressible(onnx=content, network=StoredNetwork.of_files(teacher.files))
    run = OnnxEngine(content).run
    prune = {kind: {"ratio": 0.9}}

    def made(epochs: int) -> tuple[Compressible, float]:
        asked = steps({"prune": {**prune, "fineTuneEpochs": epochs}})
        found = apply_steps(model, asked, context_of(dataset, run))
        apart = OnnxEngine(found.onnx).run(dataset.validation.features) - run(dataset.validation.features)
        return found, float(np.abs(apart).mean())

    (raw, before), (tuned, after) = made(0), made(25)
    assert after < before / 2
    assert made(25)[0].onnx == tuned.onnx
    assert raw.network is not None
    assert tuned.network is not None
    if kind == "unstructured":
        zeros = {name: array == 0 for name, array in raw.network.weights.items() if name.endswith("weight")}
        assert all((tuned.network.weights[name][places] == 0).all() for name, places in zeros.items())


@pytest.mark.parametrize(
    "later",
    [{"clip": {"limit": 1, "fineTuneEpochs": 2}}, {"prune": {"structured": {"ratio": 0.5}, "fineTuneEpochs": 2}}],
)
def test_zeros_stay_zeros_in_later_steps(later: dict[str, Any]) -> None:
    model = Compressible.of(random_network(perceptron(16, 16)))
    context = context_of(iris(), OnnxEngine(model.onnx).run)
    sparse = apply_steps(model, steps({"prune": {"unstructured": {"ratio": 0.9}, "fineTuneEpochs": 0}}), context)
    untuned = {kind: {**settings, "fineTuneEpochs": 0} for kind, settings in later.items()}
    raw, tuned = (apply_steps(sparse, steps(one), context).network for one in (untuned, later))
    assert raw is not None
    assert tuned is not None
    for name, array in raw.weights.items():
        if name.endswith("weight"):
            assert (array == 0).any()
            np.testing.assert_array_equal(tuned.weights[name] == 0, array == 0)


def test_what_is_no_network_or_several_is_refused_with_the_remedy() -> None:
    asked = steps({"prune": {"structured": {"ratio": 0.5}}})
    with pytest.raises(StageError, match=r"choose spec\.model mlp or cnn") as caught:
        apply_steps(Compressible(onnx=b""), asked, NOTHING)
    assert (caught.value.reason, caught.value.field) == ("StepUnsuited", "spec.compression.steps")
    mean = MemberMean(members=2, head=Softmax())
    for head in (mean, Isotonic(head=mean, curves=(Curve(knots=(0.2, 0.8), values=(0.1, 0.9)),) * 3)):
        ensemble = perceptron(4).model_copy(update={"head": head})
        several = Compressible(onnx=b"", network=StoredNetwork(architecture=ensemble, weights={}))
        with pytest.raises(StageError, match=r"set spec\.model\.mlp\.ensemble to 1"):
            apply_steps(several, asked, NOTHING)


@pytest.mark.parametrize("model", [{"rnn": {}}, {"transformer": {}}])
@pytest.mark.parametrize(
    "step",
    [
        {"prune": {"unstructured": {"ratio": 0.5}}},
        {"clip": {"limit": 1}},
        {"shareWeights": {"values": 16}},
        {"lowRank": {"share": 0.5}},
        {"auto": {"targetSizeRatio": 2}},
    ],
)
def test_layers_of_tokens_are_refused(model: dict[str, Any], step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="work on the layers of mlp and cnn"):
        ModelServiceSpec.model_validate(
            {
                "data": {"configMap": {"name": "t"}, "target": "y", "text": {"column": "t"}},
                "model": model,
                "compression": {"steps": [step]},
            }
        )
    layer = (
        TokenAttention(vocabulary=9, length=4, width=8, heads=2, layers=1, feed_forward=8, dropout=0)
        if "transformer" in model
        else TokenRecurrence(cell=Cell.GRU, vocabulary=9, embedding=8, units=4, layers=1, bidirectional=False)
    )
    architecture = Architecture(
        shape=(4,), layers=(layer, Linear(inputs=math.prod(layer.shape_after((4,))), outputs=2)), head=Softmax()
    )
    network = StoredNetwork(architecture=architecture, weights={})
    with pytest.raises(StageError, match="this network reads tokens: leave the step out") as caught:
        apply_steps(Compressible(onnx=b"", network=network), steps(step), NOTHING)
    assert caught.value.reason == "StepUnsuited"


def test_a_linear_model_has_no_neurons_to_leave_out() -> None:
    asked = steps({"prune": {"structured": {"ratio": 0.5}}})
    with pytest.raises(StageError, match="no neurons between input and output"):
        apply_steps(Compressible.of(random_network(perceptron())), asked, NOTHING)
