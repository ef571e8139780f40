"""Mixed precision: what is computed in bfloat16 and what is not, and that it learns as well.

On a machine with a GPU all of it runs there.
"""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_weights
from tests.unit.runtime.families.datasets import fit, load, primary, reviews, run_onnx
from torch import nn

from modelservice.contract.failure import StageError
from modelservice.contract.manifest import WEIGHTS_FILE
from modelservice.contract.precision import Precision
from modelservice.contract.training import Hyperparameters
from modelservice.families.gradient import best_device
from modelservice.tasks.base import Loss
from modelservice.training.loop import Rows, train_module
from modelservice.training.losses import OBJECTIVES
from modelservice.training.precision import check_precision

DEVICE = best_device(granted=0, section="spec.training")


class Watched(nn.Linear):
    """Remembers what it computed in, while it learned and while it did not."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """See ``nn.Linear``."""
        found = super().forward(values)
        self.seen[self.training].add(found.dtype)
        return found


@pytest.mark.parametrize(("precision", "learning"), [("Float32", torch.float32), ("BFloat16", torch.bfloat16)])
def test_steps_are_computed_in_it_and_rows_that_choose_the_epoch_as_they_are_served(
    precision: str, learning: torch.dtype
) -> None:
    layer = Watched()
    features = torch.linspace(-1, 1, 24, device=DEVICE).reshape(12, 2)
    rows = Rows(features=features, targets=(features[:, 0] > 0).long())
    train_module(
        nn.Sequential(layer).to(DEVICE),
        objective=OBJECTIVES[Loss.CROSS_ENTROPY],
        train=rows,
        validation=rows,
        settings=Hyperparameters(epochs=2, precision=Precision(precision)),
        generator=torch.Generator(),
        observe=lambda _: None,
    )
    assert layer.seen == {True: {learning}, False: {torch.float32}}
    assert layer.weight.dtype is torch.float32


MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "mlp": ("breast_cancer", {"mlp": {"hiddenLayers": [32]}}, {"epochs": 10}),
    "mlp of numbers": ("diabetes", {"mlp": {"hiddenLayers": [32]}}, {"epochs": 10}),
    "cnn": ("digitImages", {"cnn": {"channels": [8, 16], "hiddenLayers": [32]}}, {"epochs": 4, "batch_size": 32}),
    "cnn, normalised": (
        "digitImages",
        {"cnn": {"channels": [8, 16], "hiddenLayers": [32], "normalization": "Batch"}},
        {"epochs": 5, "batch_size": 64},
    ),
    "transformer": ("reviews", {"transformer": {"width": 32, "heads": 2, "layers": 1}}, {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_learns_as_well_and_what_is_stored_is_float32(name: str) -> None:
    data, model, training = MODELS[name]
    dataset = reviews() if data == "reviews" else load(data)
    plain, mixed = (fit(dataset, model, precision=one, **training) for one in Precision)
    assert primary(mixed, dataset) >= primary(plain, dataset) - 0.03
    weights = load_weights(mixed.files[WEIGHTS_FILE])
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    rows = dataset.test.features
    answers = mixed.predict(rows)
    np.testing.assert_allclose(run_onnx(mixed.onnx, rows), answers, rtol=1e-5, atol=1e-5)
    assert mixed.files[WEIGHTS_FILE] != plain.files[WEIGHTS_FILE]
    assert mixed.notes == (*plain.notes, "its steps were computed in BFloat16; its weights are float32")


def test_a_gpu_that_would_imitate_it_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: asked.append(how))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    gpu = torch.device("cuda")
    check_precision(Precision.FLOAT32, gpu)
    check_precision(Precision.BFLOAT16, torch.device("cpu"))
    assert not asked
    with pytest.raises(
        StageError, match=r"^Tesla T4 does not compute in bfloat16: set spec\.training\.precision"
    ) as said:
        check_precision(Precision.BFLOAT16, gpu)
    assert asked == [{"including_emulation": False}]
    assert (said.value.reason, said.value.field) == ("PrecisionUnsupported", "spec.training.precision")
