"""Families over tokens: they learn what only the order or the words say, and ONNX answers as torch does."""

from typing import Any

import numpy as np
import pytest
import torch
from tests.unit.runtime.families.datasets import fit, reviews, run_onnx

from modelservice.contract.augmentation import Augmentation
from modelservice.contract.failure import StageError
from modelservice.contract.networks import Cell
from modelservice.families import family_named
from modelservice.families.architecture import Architecture, Linear, Softmax, TokenAttention, TokenRecurrence
from modelservice.families.architecture_graph import architecture_graph
from modelservice.families.base import TEXTS_ONLY
from modelservice.families.modules import build, describe

SMALL: dict[str, Any] = {
    "rnn": {"embedding": 8, "units": 8},
    "transformer": {"width": 8, "heads": 2, "layers": 1, "feedForward": 16},
}
LAYERS = [
    TokenRecurrence(cell=cell, vocabulary=20, embedding=5, units=4, layers=depth, bidirectional=both)
    for cell in Cell
    for depth, both in ((1, False), (2, True))
] + [
    TokenAttention(vocabulary=20, length=6, width=8, heads=heads, layers=depth, feed_forward=12, dropout=0.1)
    for heads, depth in ((1, 1), (4, 2))
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.kind}-{layer.layers}")
def test_onnx_is_what_torch_computes_whatever_the_length(layer: Any) -> None:
    torch.manual_seed(0)
    inside = Linear(inputs=layer.shape_after((6,))[0], outputs=3)
    architecture = Architecture(shape=(6,), layers=(layer, inside), head=Softmax())
    module = build(architecture).eval()
    assert describe(module, shape=(6,), head=Softmax()) == architecture
    assert sum(one.numel() for one in module.parameters()) == architecture.parameters
    tokens = np.array([[3, 1, 20, 4, 4, 2], [7, 0, 0, 0, 0, 0], [0] * 6, [1, 2, 3, 0, 0, 0]], np.float32)
    weights = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    with torch.inference_mode():
        expected = torch.softmax(module(torch.from_numpy(tokens)), dim=1).numpy()
    np.testing.assert_allclose(run_onnx(architecture_graph(architecture, weights), tokens), expected, atol=1e-6)
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("name", ["rnn", "transformer"])
def test_words_are_learned_and_the_same_seed_gives_the_same_bytes(name: str) -> None:
    dataset = reviews()
    fits = [fit(dataset, {name: SMALL[name]}, epochs=8) for _ in range(2)]
    raw = run_onnx(fits[0].onnx, dataset.test.features)
    assert (raw.argmax(axis=1) == dataset.test.values).mean() >= 0.9
    np.testing.assert_allclose(fits[0].predict(dataset.test.features), raw, atol=1e-5)
    assert fits[0].onnx == fits[1].onnx


def test_a_transformer_has_a_way_of_training_of_its_own() -> None:
    from modelservice.families import transformer  # noqa: PLC0415

    usual = transformer.USUAL
    try:
        transformer.USUAL = usual.model_copy(update={"epochs": 1})  # type: ignore[misc]
        fitted = fit(reviews(), {"transformer": SMALL["transformer"]})
    finally:
        transformer.USUAL = usual  # type: ignore[misc]
    assert fitted.notes[0].startswith("transformer is trained for 1 epochs in batches of 32 rows with adamW")


def test_what_does_not_fit_is_refused() -> None:
    for name in ("rnn", "transformer"):
        family = family_named(name)
        assert family.unsuited(modality="Text", task="Regression") is None
        assert family.unsuited(modality="Table", task="Binary") == TEXTS_ONLY
    for name in ("mlp", "cnn", "logistic", "svm", "decisionTree", "auto"):
        assert family_named(name).unsuited(modality="Text", task="Binary") is not None
    mixup = Augmentation.model_validate({"mixup": {}})
    with pytest.raises(StageError, match="mixup adds rows up, and tokens are no numbers") as caught:
        fit(reviews(), {"rnn": SMALL["rnn"]}, augmentation=mixup, epochs=1)
    assert caught.value.reason == "NothingToAugment"
    with pytest.raises(StageError, match="makes a network that is not possible") as caught:
        fit(reviews(), {"transformer": {"width": 2048, "heads": 1, "layers": 24, "feedForward": 8192}}, epochs=1)
    assert caught.value.field == "spec.model.transformer"
