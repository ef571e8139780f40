"""Batch normalisation: it teaches better from few images, and nothing of it is left in what is served."""

from dataclasses import replace

import pytest
import torch
from tests.unit.runtime.families.datasets import difference, fit, load, primary
from torch import nn

from modelservice.contract.failure import StageError
from modelservice.contract.manifest import ARCHITECTURE_FILE
from modelservice.contract.optimizers import Adam, Optimizer
from modelservice.contract.progress import Progress
from modelservice.contract.training import Hyperparameters
from modelservice.families.normalization import ChannelNorm, check_normalizable, folded, normalized
from modelservice.modalities.base import Dataset, Side
from modelservice.training.ranks import Ranks

PLAIN = {"cnn": {"channels": [8, 16], "hiddenLayers": [32]}}
NORMALIZED = {"cnn": {**PLAIN["cnn"], "normalization": "Batch"}}


def few_images(rows: int) -> Dataset:
    """Digits, of which so many teach."""
    images = load("digitImages")
    return replace(images, train=Side(features=images.train.features[:rows], values=images.train.values[:rows]))


def trained() -> nn.Sequential:
    """Two convolutions whose normalisations have seen rows, and learned."""
    torch.manual_seed(0)
    module = normalized(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1, padding=0), nn.Flatten())
    )
    with torch.no_grad():
        for layer in module:
            if isinstance(layer, ChannelNorm):
                layer.weight.uniform_(-2, 2)
                layer.bias.uniform_(-1, 1)
        for _ in range(5):
            module(torch.randn(16, 3, 6, 6) * 3 + 1)
    return module


def test_what_is_folded_answers_alike_and_has_the_layers_of_before() -> None:
    module = trained()
    rows = torch.randn(9, 3, 6, 6)
    with torch.inference_mode():
        expected = module.eval()(rows)
        found = folded(module)(rows)
    assert [type(layer) for layer in folded(module)] == [nn.Conv2d, nn.ReLU, nn.Conv2d, nn.Flatten]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_step_of_one_value_a_channel_has_no_spread_and_is_no_error() -> None:
    layer = ChannelNorm(2)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert torch.isfinite(layer(torch.randn(1, 2, 1, 1))).all()
    assert all(torch.equal(layer.state_dict()[name], tensor) for name, tensor in before.items())


def test_few_images_teach_more_and_what_is_stored_is_a_plain_network() -> None:
    images = load("digitImages")
    few = few_images(200)
    plain, normal = ([fit(few, model, epochs=3, seed=seed) for seed in range(3)] for model in (PLAIN, NORMALIZED))
    assert sum(primary(one, images) for one in normal) > sum(primary(one, images) for one in plain) + 0.03
    assert normal[0].files[ARCHITECTURE_FILE] == plain[0].files[ARCHITECTURE_FILE]
    assert normal[0].parameters == plain[0].parameters
    assert difference(normal[0], images) < 1e-5


def test_the_same_seed_gives_the_same_bytes() -> None:
    few = few_images(100)
    first, second = (fit(few, NORMALIZED, epochs=3) for _ in range(2))
    assert first.files == second.files


def test_processes_that_share_a_step_are_refused() -> None:
    ranks = Ranks()
    check_normalizable(Hyperparameters(), ranks)
    ranks.size = 2
    with pytest.raises(StageError, match="2 processes share them: take 1 worker and 1 GPU") as error:
        check_normalizable(Hyperparameters(), ranks)
    assert (error.value.reason, error.value.field) == ("NormalizationUnsuited", "spec.model.cnn.normalization")


def test_batches_that_make_a_step_together_are_refused() -> None:
    """Each would be standardised alone, so the step is not that of a batch as large as all of them."""
    with pytest.raises(StageError, match="gradientAccumulation is 4: take a larger batchSize without it") as error:
        check_normalizable(Hyperparameters(batch_size=2, gradient_accumulation=4), Ranks())
    assert (error.value.reason, error.value.field) == ("NormalizationUnsuited", "spec.model.cnn.normalization")


def test_weights_that_were_folded_are_not_gone_on_from() -> None:
    artifact = {"uri": "s3://models/digits", "digest": f"sha256:{'0' * 64}"}
    training = Hyperparameters.model_validate({"initialize": {"artifact": artifact}})
    with pytest.raises(StageError, match="leave initialize out"):
        check_normalizable(training, Ranks())


def test_best_weights_hold_the_spread_of_their_epoch() -> None:
    """What is served answers as it did in the epoch that was best, not as after the last one."""
    few = few_images(60)
    observed: list[Progress] = []
    fast = Optimizer(adam=Adam(learning_rate=0.2))
    fitted = fit(few, NORMALIZED, epochs=12, optimizer=fast, observed=observed)
    assert fitted.best_epoch not in {None, 12}, "the last epoch was best: choose other rows"
    best = observed[(fitted.best_epoch or 1) - 1]
    scores = few.task.score(fitted.predict(few.validation.features), few.validation.values, few.labels)
    assert best.metric is not None
    assert best.metric.value == pytest.approx(scores.evaluation.primary_metric.value, abs=1e-6)
