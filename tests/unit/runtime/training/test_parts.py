"""Optimizers, penalties, weights of the best epoch, curves, threads, models: each alone."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn

from modelservice.contract.model import Activation, MultilayerPerceptron
from modelservice.contract.training import Adam, Hyperparameters, Optimizer, StochasticGradientDescent
from modelservice.models.architecture import Architecture, Dropout, Elementwise, Linear, design_mlp
from modelservice.models.mlp import build, describe, initialize
from modelservice.training.curves import CurveRecorder
from modelservice.training.errors import TrainingError
from modelservice.training.loop import BestWeights, Epoch, Rows, seeded, train_module
from modelservice.training.optimizers import build_optimizer, learning_rate_field
from modelservice.training.penalties import penalized_weights, penalty
from modelservice.training.threads import limited_threads, threads_for

ADAM = Optimizer(adam=Adam(learning_rate=0.02))
SGD = Optimizer(sgd=StochasticGradientDescent(learning_rate=0.05))
MOMENTUM = Optimizer(sgd=StochasticGradientDescent(learning_rate=0.05, momentum=0.9))


def twins() -> tuple[nn.Sequential, nn.Sequential]:
    generator = torch.Generator().manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    initialize(one, generator)
    other = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    other.load_state_dict(one.state_dict())
    return one, other


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (ADAM, lambda parameters: torch.optim.Adam(parameters, lr=0.02)),
        (SGD, lambda parameters: torch.optim.SGD(parameters, lr=0.05)),
        (MOMENTUM, lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)),
    ],
)
def test_steps_are_those_of_torchs_optimizers(settings: Any, reference: Any) -> None:
    ours, theirs = twins()
    step, optimizer = build_optimizer(settings, ours.parameters()), reference(theirs.parameters())
    inputs = torch.linspace(-1, 1, 15).reshape(5, 3)
    for _ in range(5):
        step(ours(inputs).square().sum())
        optimizer.zero_grad()
        theirs(inputs).square().sum().backward()
        optimizer.step()
    for mine, reference_weight in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, reference_weight, rtol=0, atol=0)


def test_the_field_of_the_step_size_is_the_one_in_force() -> None:
    assert learning_rate_field(MOMENTUM) == "spec.training.optimizer.sgd.learningRate"


def test_penalties_count_weights_and_no_biases() -> None:
    first, second = nn.Linear(2, 1), nn.Linear(1, 1)
    module = nn.Sequential(first, nn.ReLU(), second)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, -2.0]]))
        second.weight.fill_(3.0)
        first.bias.fill_(100.0)
    weights = penalized_weights(module)
    assert penalty(weights, l1=0.5, l2=0.1).item() == pytest.approx(0.5 * 6 + 0.1 * 14)
    assert penalty(weights, l1=0, l2=0).item() == 0


def test_the_best_weights_are_copied_and_come_back() -> None:
    module = nn.Linear(1, 1)
    best = BestWeights(module)
    for epoch, (weight, loss) in enumerate([(1.0, 3.0), (2.0, 1.0), (3.0, 1.0), (4.0, 2.0)], start=1):
        nn.init.constant_(module.weight, weight)
        best.offer(loss, epoch)
    best.restore()
    assert (best.epoch, module.weight.item()) == (2, 2.0)


def toy_rows() -> Rows:
    features = torch.linspace(-1, 1, 21)[:, None]
    return Rows(features=features, classes=(features[:, 0] > 0).long())


def fit(settings: Hyperparameters, observed: list[Epoch]) -> tuple[nn.Sequential, int]:
    with seeded(settings.seed, "cpu") as generator:
        module = build(design_mlp(MultilayerPerceptron(hidden_layers=(4,)), inputs=1, outputs=2))
        initialize(module, generator)
        rows = toy_rows()
        best = train_module(
            module, train=rows, validation=rows, settings=settings, generator=generator, observe=observed.append
        )
    return module, best


def test_the_loop_learns_and_keeps_the_epoch_with_the_lowest_validation_loss() -> None:
    epochs: list[Epoch] = []
    # Large steps make the loss go up and down.
    settings = Hyperparameters(epochs=40, batch_size=4, optimizer=Optimizer(adam=Adam(learning_rate=0.3)))
    module, best = fit(settings, epochs)
    losses = [epoch.validation_loss for epoch in epochs]
    assert [epoch.number for epoch in epochs] == list(range(1, 41))
    assert losses[best - 1] == min(losses)
    assert best < 40
    rows = toy_rows()
    final = nn.functional.cross_entropy(module(rows.features), rows.classes).item()
    assert final == pytest.approx(min(losses), rel=1e-6)
    assert epochs[best - 1].validation_accuracy > 0.9


def test_a_batch_may_be_larger_than_the_data_and_the_last_one_smaller() -> None:
    for batch_size in (1, 20, 21, 1000):
        epochs: list[Epoch] = []
        fit(Hyperparameters(epochs=1, batch_size=batch_size), epochs)
        assert math.isfinite(epochs[0].train_loss)


def test_divergence_names_the_learning_rate() -> None:
    settings = Hyperparameters(
        epochs=50, l2=1.0, optimizer=Optimizer(sgd=StochasticGradientDescent(learning_rate=10.0, momentum=0.99))
    )
    with pytest.raises(TrainingError) as caught:
        fit(settings, [])
    assert (caught.value.reason, caught.value.field) == ("Diverged", "spec.training.optimizer.sgd.learningRate")
    assert "which is 10" in caught.value.message


def test_the_callers_randomness_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(Hyperparameters(epochs=1), [])
    assert torch.rand(1) == expected


def epoch(number: int, of: int) -> Epoch:
    return Epoch(number=number, of=of, train_loss=0.0, validation_loss=0.0, validation_accuracy=0.0)


@given(st.integers(1, 300), st.integers(1, 50))
def test_curves_are_bounded_and_end_with_the_last_epoch(of: Any, max_points: Any) -> None:
    recorder = CurveRecorder(max_points=max_points)
    for number in range(1, of + 1):
        recorder(epoch(number, of))
    kept = recorder.curves.epoch
    assert len(kept) <= max_points + 1
    assert kept[-1] == of
    assert max_points < of or kept == tuple(range(1, of + 1))


def test_small_steps_get_one_thread() -> None:
    assert threads_for(parameters=5_000, batch_size=16, available=8) == 1
    assert threads_for(parameters=5_000_000, batch_size=16, available=8) == 8


def test_the_number_of_threads_comes_back() -> None:
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


MLPS = st.builds(
    MultilayerPerceptron,
    hidden_layers=st.lists(st.integers(1, 6), max_size=4).map(tuple),
    activation=st.sampled_from(Activation),
    dropout=st.sampled_from([0.0, 0.25]),
)


@given(MLPS, st.integers(1, 5), st.integers(2, 4))
def test_an_architecture_is_built_stored_and_described(model: Any, inputs: Any, outputs: Any) -> None:
    architecture = design_mlp(model, inputs=inputs, outputs=outputs)
    stored = Architecture.model_validate_json(architecture.model_dump_json())
    module = build(stored)
    assert describe(module) == architecture
    assert architecture.parameters == sum(parameter.numel() for parameter in module.parameters())
    assert module(torch.zeros(2, inputs)).shape == (2, outputs)


@pytest.mark.parametrize(
    "layers",
    [
        (Linear(inputs=2, outputs=4), Linear(inputs=3, outputs=2)),
        (Linear(inputs=2, outputs=4),),
        (Linear(inputs=3, outputs=2),),
        (),
    ],
)
def test_layers_that_do_not_fit_together_are_refused(layers: Any) -> None:
    with pytest.raises(ValidationError):
        Architecture(inputs=2, outputs=2, layers=layers)


def test_an_architecture_of_absurd_size_is_refused_before_it_is_built() -> None:
    with pytest.raises(ValidationError, match="parameters, at most"):
        Architecture(inputs=2**20, outputs=2**20, layers=(Linear(inputs=2**20, outputs=2**20),))


def test_other_layers_are_not_described() -> None:
    with pytest.raises(ValueError, match="Conv2d"):
        describe(nn.Sequential(nn.Conv2d(1, 1, 1)))


def test_initial_weights_are_he_before_relu_and_glorot_elsewhere() -> None:
    layers = (
        Linear(inputs=400, outputs=300),
        Elementwise(function=Activation.RELU),
        Dropout(share=0.5),
        Linear(inputs=300, outputs=200),
    )
    module = build(Architecture(inputs=400, outputs=200, layers=layers))
    initialize(module, torch.Generator().manual_seed(0))
    weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
    assert weights["0.weight"].std().item() == pytest.approx(math.sqrt(2 / 400), rel=0.02)
    assert weights["3.weight"].std().item() == pytest.approx(math.sqrt(2 / 500), rel=0.02)
    assert not weights["0.bias"].any()
