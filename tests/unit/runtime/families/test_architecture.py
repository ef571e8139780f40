"""Architectures as documents, as torch modules and as graphs: three views of one network."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.support.examples import examples
from tests.unit.runtime.families.datasets import run_onnx
from torch import nn

from modelservice.contract.documents import read_document
from modelservice.contract.failure import StageError
from modelservice.contract.networks import Activation, ConvolutionalNetwork, MultilayerPerceptron
from modelservice.contract.networks import Pooling as PoolingFunction
from modelservice.families.architecture import (
    Architecture,
    Convolution,
    Dropout,
    Elementwise,
    Flatten,
    Linear,
    MemberLinear,
    MemberMean,
    MemberScale,
    Pooling,
    Scale,
    Sigmoid,
    SmoothClip,
    Softmax,
)
from modelservice.families.architecture_graph import architecture_graph
from modelservice.families.cnn import design_cnn
from modelservice.families.gradient import Network
from modelservice.families.modules import build, describe, initialize
from modelservice.families.perceptron import design_mlp

HEADS = st.one_of(
    st.just((1, Sigmoid())),
    st.integers(2, 5).map(lambda logits: (logits, Softmax())),
    st.builds(lambda mean, std: (1, Scale(mean=mean, std=std)), mean=st.floats(-1e3, 1e3), std=st.floats(1e-3, 1e3)),
)
MLPS = st.builds(
    MultilayerPerceptron,
    hidden_layers=st.lists(st.integers(1, 12), max_size=4).map(tuple),
    activation=st.sampled_from(Activation),
    dropout=st.sampled_from([0.0, 0.25]),
)
CNNS = st.builds(
    ConvolutionalNetwork,
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple),
    kernel_size=st.sampled_from([1, 3, 5, 7]),
    pooling=st.sampled_from(PoolingFunction),
    hidden_layers=st.lists(st.integers(1, 8), max_size=2).map(tuple),
    activation=st.sampled_from(Activation),
    dropout=st.sampled_from([0.0, 0.25]),
)
IMAGES = st.tuples(st.integers(1, 3), st.integers(4, 9), st.integers(4, 9))
DESIGNS = st.one_of(
    st.tuples(st.just(design_mlp), MLPS, st.one_of(st.tuples(st.integers(1, 8)), IMAGES)),
    st.tuples(st.just(design_cnn), CNNS, IMAGES),
)


@examples(50, many=200)
@given(DESIGNS, HEADS, st.integers(0, 2**31))
def test_a_network_is_designed_stored_built_described_and_exported(design: Any, head: Any, seed: Any) -> None:
    make, settings, shape = design
    logits, ending = head
    architecture = make(settings, shape, logits, ending)
    stored = read_document("architecture.json", architecture.model_dump_json(), Architecture)
    assert stored == architecture
    module = build(stored)
    generator = torch.Generator().manual_seed(seed)
    initialize(module, generator)
    for name, parameter in module.named_parameters():  # as a training leaves them
        if name.endswith("bias"):
            nn.init.normal_(parameter, generator=generator)
    assert describe(module, shape=shape, head=ending) == architecture
    assert architecture.parameters == sum(parameter.numel() for parameter in module.parameters())
    content = architecture_graph(stored, {name: tensor.numpy() for name, tensor in module.state_dict().items()})
    rows = np.random.default_rng(seed).normal(size=(7, *shape)).astype(np.float32)
    expected, found = Network(stored, module)(rows), run_onnx(content, rows)
    assert found.shape == expected.shape == (7, architecture.width)
    size = ending.std + abs(ending.mean) if isinstance(ending, Scale) else 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * size)


@examples(40, many=200)
@given(HEADS, st.tuples(st.integers(1, 4), st.integers(1, 5)), st.sampled_from(Activation), st.floats(0.3, 3))
def test_an_ensemble_is_stored_built_described_and_exported(
    head: Any, sizes: tuple[int, int], activation: Activation, sharpness: float
) -> None:
    (logits, inner), (members, inputs), seed = head, sizes, 0
    ending = MemberMean(members=members, head=inner, sharpness=1 if isinstance(inner, Scale) else sharpness)
    layers = (
        SmoothClip(inputs=inputs, limit=2.5),
        MemberScale(members=members, inputs=inputs),
        MemberLinear(members=members, inputs=inputs, outputs=6),
        Elementwise(function=activation),
        Dropout(share=0.25),
        MemberLinear(members=members, inputs=6, outputs=logits),
    )
    architecture = Architecture(shape=(inputs,), layers=layers, head=ending)
    assert read_document("architecture.json", architecture.model_dump_json(), Architecture) == architecture
    module, generator = build(architecture), torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, generator=generator)
    assert describe(module, shape=(inputs,), head=ending) == architecture
    assert architecture.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert architecture.multiply_adds == architecture.parameters
    content = architecture_graph(architecture, {name: tensor.numpy() for name, tensor in module.state_dict().items()})
    rows = np.random.default_rng(seed).normal(size=(7, inputs)).astype(np.float32)
    expected, found = Network(architecture, module)(rows), run_onnx(content, rows)
    assert found.shape == expected.shape == (7, architecture.width)
    size = inner.std + abs(inner.mean) if isinstance(inner, Scale) else 1
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * size)
    one_by_one = np.concatenate([Network(architecture, module)(rows[place : place + 1]) for place in range(7)])
    np.testing.assert_allclose(one_by_one, expected, rtol=0, atol=1e-5 * size)


@pytest.mark.parametrize(
    ("layers", "head", "message"),
    [
        ([SmoothClip(inputs=3, limit=1)], Softmax(), r"layer 0 \(SmoothClip\) takes 3 inputs, but gets 2 values"),
        ([MemberScale(members=4, inputs=3)], Softmax(), r"layer 0 \(MemberScale\) takes 3 inputs, but gets 2 values"),
        ([MemberScale(members=4, inputs=2)], Softmax(), "the last layer gives 4 x 2, expected one axis"),
        (
            [MemberScale(members=4, inputs=2)],
            MemberMean(members=3, head=Softmax()),
            "the last layer gives 4 x 2, expected 3 members",
        ),
        (
            [MemberScale(members=4, inputs=2), MemberLinear(members=3, inputs=2, outputs=2)],
            MemberMean(members=3, head=Softmax()),
            r"layer 1 \(MemberLinear\) takes 3 x 2 values, but gets 4 x 2",
        ),
        (
            [Linear(inputs=2, outputs=1)],
            MemberMean(members=1, head=Scale(mean=0, std=1), sharpness=2),
            "the last layer gives 1 values, expected 1 members",
        ),
        (
            [MemberScale(members=1, inputs=2), MemberLinear(members=1, inputs=2, outputs=1)],
            MemberMean(members=1, head=Scale(mean=0, std=1), sharpness=2),
            "numbers have no sharpness",
        ),
    ],
)
def test_members_that_do_not_fit_together_are_refused(layers: Any, head: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Architecture(shape=(2,), layers=tuple(layers), head=head)


def test_shapes_follow_the_layers() -> None:
    network = ConvolutionalNetwork(channels=(4, 6), hidden_layers=(5,), dropout=0.1)
    architecture = design_cnn(network, (3, 9, 7), 1, Sigmoid())
    assert architecture.shapes == (
        (3, 9, 7),
        *[(4, 9, 7)] * 2,
        (4, 4, 3),
        *[(6, 4, 3)] * 2,
        (6, 2, 1),
        (12,),
        *[(5,)] * 3,
        (1,),
    )
    assert architecture.width == 2
    assert architecture.widest == 4 * 9 * 7
    first, second = (3 * 9 + 1) * 4, (4 * 9 + 1) * 6
    assert architecture.parameters == first + second + (12 + 1) * 5 + (5 + 1) * 1
    assert architecture.multiply_adds == first * 63 + second * 12 + (12 + 1) * 5 + (5 + 1) * 1


RELU = Elementwise(function=Activation.RELU)
MAX = Pooling(function=PoolingFunction.MAX)


@pytest.mark.parametrize(
    ("shape", "layers", "head", "message"),
    [
        ((2,), (Linear(inputs=2, outputs=4), Linear(inputs=3, outputs=2)), Softmax(), r"layer 1 \(Linear\) takes 3"),
        ((2,), (Linear(inputs=3, outputs=2),), Softmax(), r"takes 3 inputs, but gets 2 values"),
        ((1, 2, 2), (Linear(inputs=4, outputs=2),), Softmax(), r"takes 4 inputs, but gets 1 x 2 x 2"),
        ((4,), (Convolution(inputs=1, outputs=2, kernel_size=3),), Softmax(), r"1 channels of an image, but gets 4 v"),
        ((2, 4, 4), (Convolution(inputs=1, outputs=2, kernel_size=3),), Softmax(), r"gets 2 x 4 x 4"),
        ((1, 1, 4), (MAX, Flatten()), Softmax(), r"halves an image of at least 2 x 2, but gets 1 x 1 x 4"),
        ((4,), (MAX,), Softmax(), r"layer 0 \(Pooling\) halves an image"),
        ((1, 2, 2), (RELU,), Softmax(), r"the last layer gives 1 x 2 x 2, expected one axis"),
        ((2,), (Linear(inputs=2, outputs=1),), Softmax(), r"a softmax takes at least 2 logits, but gets 1"),
        ((2,), (Linear(inputs=2, outputs=2),), Sigmoid(), r"a sigmoid takes 1 logit, but gets 2"),
        ((2,), (Linear(inputs=2, outputs=2),), Scale(mean=0, std=1), r"a scale takes 1 number, but gets 2"),
        ((2,), (), Softmax(), r"at least 1 item"),
        ((2**20,), (Linear(inputs=2**20, outputs=2**20),), Softmax(), r"1099512676352 parameters, at most 500000000"),
    ],
)
def test_what_does_not_fit_together_is_refused(shape: Any, layers: Any, head: Any, message: Any) -> None:
    with pytest.raises(ValidationError, match=message):
        Architecture(shape=shape, layers=layers, head=head)


@pytest.mark.parametrize("scale", [{"mean": 0, "std": 0}, {"mean": math.nan, "std": 1}, {"mean": 0, "std": math.inf}])
def test_a_scale_is_of_finite_numbers(scale: Any) -> None:
    with pytest.raises(ValidationError):
        Scale(**scale)


@pytest.mark.parametrize(("rows", "columns", "channels"), [(8, 8, 4), (7, 20, 3), (1, 5, 1)])
def test_an_image_that_is_too_small_for_its_poolings_is_refused(rows: Any, columns: Any, channels: Any) -> None:
    network = ConvolutionalNetwork(channels=(2,) * channels)
    with pytest.raises(StageError, match=f"halve images of {rows} x {columns} once too often") as caught:
        design_cnn(network, (1, rows, columns), 2, Softmax())
    assert (caught.value.reason, caught.value.field) == ("ImageTooSmall", "spec.model.cnn.channels")
    if channels > 1:
        design_cnn(ConvolutionalNetwork(channels=(2,) * (channels - 1)), (1, rows, columns), 2, Softmax())
    unpooled = network.model_copy(update={"pooling": PoolingFunction.NONE})
    assert design_cnn(unpooled, (1, rows, columns), 2, Softmax()).shapes[-1] == (2,)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(1, 1, 1),
        nn.Conv2d(1, 1, 3),
        nn.Conv2d(1, 1, 3, padding=1, stride=2),
        nn.Conv2d(2, 2, 3, padding=1, groups=2),
        nn.Conv2d(1, 1, (1, 3), padding=(0, 1)),
        nn.Conv2d(1, 1, 9, padding=4),
        nn.Linear(2, 2, bias=False),
        nn.MaxPool2d(3),
        nn.AvgPool2d(2, ceil_mode=True),
        nn.GELU(approximate="tanh"),
        nn.Flatten(start_dim=2),
        nn.Sigmoid(),
    ],
    ids=repr,
)
def test_layers_that_no_architecture_describes_are_refused(layer: Any) -> None:
    with pytest.raises(ValueError, match="no architecture describes"):
        describe(nn.Sequential(layer), shape=(1, 4, 4), head=Softmax())


def test_initial_weights_are_he_before_relu_and_glorot_elsewhere() -> None:
    layers = (
        Convolution(inputs=20, outputs=40, kernel_size=3),
        RELU,
        Convolution(inputs=40, outputs=30, kernel_size=3),
        Elementwise(function=Activation.TANH),
        Flatten(),
        Linear(inputs=120, outputs=300),
        Elementwise(function=Activation.GELU),
        Dropout(share=0.5),
        Linear(inputs=300, outputs=200),
    )
    module = build(Architecture(shape=(20, 2, 2), layers=layers, head=Softmax()))
    initialize(module, torch.Generator().manual_seed(0))
    weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
    deviations = {
        "0.weight": math.sqrt(2 / (20 * 9)),
        "2.weight": math.sqrt(2 / ((40 + 30) * 9)),
        "5.weight": math.sqrt(2 / 120),
        "8.weight": math.sqrt(2 / 500),
    }
    for name, deviation in deviations.items():
        assert weights[name].std().item() == pytest.approx(deviation, rel=0.03)
    assert not any(weights[name].any() for name in weights if name.endswith("bias"))
