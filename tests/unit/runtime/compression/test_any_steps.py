"""Any steps on any network."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save
from tests.unit.runtime.compression.learning import NOTHING, apply_steps, random_network
from tests.unit.runtime.compression.test_prune import ARCHITECTURES, steps

from modelservice.artifact.files import document_bytes
from modelservice.compression import Compressible, StepContext, StoredNetwork
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE, WEIGHTS_FILE
from modelservice.families.architecture import Architecture
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Side

SHARES = st.floats(0.05, 0.95)
UNTUNED = st.one_of(
    st.builds(lambda ratio: {"prune": {"structured": {"ratio": ratio}}}, SHARES),
    st.builds(lambda ratio: {"prune": {"unstructured": {"ratio": ratio}}}, SHARES),
    st.builds(lambda share: {"lowRank": {"share": share}}, SHARES),
    st.builds(lambda limit: {"clip": {"limit": limit}}, st.floats(0.01, 10)),
)
STORED = st.one_of(
    st.builds(lambda values: {"shareWeights": {"values": values}}, st.integers(2, 256)),
    st.sampled_from(
        [
            {"quantize": {"weights": weights, "activations": activations}}
            for weights, activations in [
                *(("Int8", "None"), ("Int8", "Dynamic"), ("Int8", "Static")),
                *(("Int4", "None"), ("Int4", "Dynamic")),
            ]
        ]
    ),
)


def asked(untuned: list[dict[str, Any]], stored: list[dict[str, Any]]) -> Any:
    """The steps, without learning; None where the contract refuses them."""
    learning = [step for step in (*untuned, *stored) if "quantize" not in step]
    for step in learning:
        next(iter(step.values()))["fineTuneEpochs"] = 0
    try:
        return steps(*untuned, *stored)
    except ValidationError:
        return None


def context_for(architecture: Architecture) -> StepContext:
    """With training rows of the network's shape, from which ranges are told."""
    features = np.random.default_rng(1).normal(size=(40, *architecture.shape)).astype(np.float32)
    side = Side(features=features, values=np.arange(40) % 3)
    return replace(NOTHING, dataset=replace(NOTHING.dataset, train=side))


@settings(max_examples=60, deadline=None)
@given(
    architecture=ARCHITECTURES,
    untuned=st.lists(UNTUNED, max_size=3),
    stored=st.lists(STORED, max_size=1),
    seed=st.integers(0, 5),
)
def test_what_is_made_has_fitting_shapes_and_answers_the_same_when_it_is_loaded(
    architecture: Architecture, untuned: list[dict[str, Any]], stored: list[dict[str, Any]], seed: int
) -> None:
    wanted = asked(untuned, stored)
    assume(wanted is not None)
    first = random_network(architecture, seed)
    made, refused = Compressible.of(first), "StepUnsuited"
    try:
        made = apply_steps(made, wanted, context_for(architecture))
    except StageError as error:
        refused = error.reason
    assert refused == "StepUnsuited"
    network = made.network
    assert network is not None
    assert network.parameters == sum(array.size for array in network.weights.values()) <= first.parameters
    rows = np.random.default_rng(seed).normal(size=(3, *architecture.shape)).astype(np.float32)
    answers = OnnxEngine(made.onnx).run(rows)
    assert answers.shape == (3, architecture.width)
    assert np.isfinite(answers).all()
    files = {ARCHITECTURE_FILE: document_bytes(network.architecture), WEIGHTS_FILE: save(dict(network.weights))}
    loaded = StoredNetwork.of_files(files)
    assert loaded is not None
    assert loaded.to_onnx() == network.to_onnx()
