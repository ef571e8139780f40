"""Losses, optimizers, penalties, weights of the best epoch, curves, threads: each alone."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modelservice.contract.failure import About, Retry, StageError
from modelservice.contract.optimizers import (
    AdaGrad,
    Adam,
    AdamW,
    GradientDescent,
    Optimizer,
    RmsProp,
    StochasticGradientDescent,
)
from modelservice.contract.training import Hyperparameters
from modelservice.tasks import TASKS
from modelservice.tasks.base import Loss
from modelservice.training.curves import CurveRecorder, Epoch
from modelservice.training.loop import BestWeights, Rows, compute_outputs, seeded, step_rows, train_module
from modelservice.training.losses import OBJECTIVES
from modelservice.training.optimizers import build_optimizer, learning_rate_field
from modelservice.training.penalties import penalized_weights, penalty
from modelservice.training.threads import limited_threads, threads_for

ADAM = Optimizer(adam=Adam(learning_rate=0.02))
SGD = Optimizer(sgd=StochasticGradientDescent(learning_rate=0.05))
MOMENTUM = Optimizer(sgd=StochasticGradientDescent(learning_rate=0.05, momentum=0.9))
NESTEROV = Optimizer(sgd=StochasticGradientDescent(learning_rate=0.05, momentum=0.9, nesterov=True))
ADAM_W = Optimizer(adam_w=AdamW(learning_rate=0.02, weight_decay=0.1))
FULL = Optimizer(gradient_descent=GradientDescent(learning_rate=0.05))
ADA_GRAD = Optimizer(ada_grad=AdaGrad(learning_rate=0.02))
RMS_PROP = Optimizer(rms_prop=RmsProp(learning_rate=0.02, decay=0.9))


def twins() -> tuple[nn.Sequential, nn.Sequential]:
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    other = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    other.load_state_dict(one.state_dict())
    return one, other


@pytest.mark.parametrize(
    ("settings", "reference"),
    [
        (ADAM, lambda parameters: torch.optim.Adam(parameters, lr=0.02)),
        (SGD, lambda parameters: torch.optim.SGD(parameters, lr=0.05)),
        (MOMENTUM, lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9)),
        (NESTEROV, lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=True)),
        (ADAM_W, lambda parameters: torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.1)),
        (FULL, lambda parameters: torch.optim.SGD(parameters, lr=0.05)),
        (ADA_GRAD, lambda parameters: torch.optim.Adagrad(parameters, lr=0.02)),
        (RMS_PROP, lambda parameters: torch.optim.RMSprop(parameters, lr=0.02, alpha=0.9)),
    ],
    ids=lambda value: value.choice if isinstance(value, Optimizer) else "torch",
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


def test_a_gradient_that_is_too_long_is_scaled_down_and_keeps_its_direction() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    step = build_optimizer(SGD, [weight], clip_norm=0.5)
    step((weight * torch.tensor([30.0, 40.0])).sum())
    torch.testing.assert_close(weight.detach(), torch.tensor([3.0, 4.0]) - 0.05 * 0.5 * torch.tensor([0.6, 0.8]))
    step((weight * torch.tensor([0.03, 0.04])).sum())  # 0.05 long: as it is
    moved = torch.tensor([3.0, 4.0]) - 0.05 * (0.5 * torch.tensor([0.6, 0.8]) + torch.tensor([0.03, 0.04]))
    torch.testing.assert_close(weight.detach(), moved)


def test_a_step_has_its_share_of_the_learning_rate() -> None:
    weight = nn.Parameter(torch.ones(1))
    build_optimizer(SGD, [weight])(weight.sum(), share=0.5)
    assert weight.item() == pytest.approx(1 - 0.05 / 2)


def test_gradient_descent_steps_on_all_rows() -> None:
    assert step_rows(Hyperparameters(optimizer=FULL), 1000) == 1000
    assert step_rows(Hyperparameters(batch_size=64), 1000) == 64
    assert step_rows(Hyperparameters(batch_size=64), 10) == 10


def test_the_field_of_the_step_size_is_the_one_in_force() -> None:
    assert learning_rate_field(ADA_GRAD) == "spec.training.optimizer.adaGrad.learningRate"
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


def test_kernels_are_penalised_like_matrices() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3))
    (weights,) = penalized_weights(module)
    nn.init.constant_(weights, 2.0)
    assert penalty([weights], l1=0, l2=1).item() == 18 * 4


LABELS = {"Binary": ("n", "y"), "BinaryThreshold": ("n", "y"), "Multiclass": ("a", "b", "c"), "Regression": ()}


@pytest.mark.parametrize("loss", Loss)
def test_each_loss_has_an_objective(loss: Any) -> None:
    assert OBJECTIVES[loss].metric in {"accuracy", "r2"}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_metric_told_is_the_primary_one_of_the_tasks_with_this_loss(task: Any) -> None:
    generator = np.random.default_rng(0)
    objective = OBJECTIVES[task.loss]
    labels = LABELS[task.name]
    outputs = generator.normal(size=(50, task.logits(labels))).astype(np.float32)
    values = generator.integers(0, len(labels), 50) if labels else generator.normal(size=50)
    heads: dict[str, Any] = {
        "Binary": lambda logit: np.concatenate([1 - 1 / (1 + np.exp(-logit)), 1 / (1 + np.exp(-logit))], axis=1),
        "Multiclass": lambda logits: np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True),
        "Regression": lambda number: number,
    }
    raw = heads[task.name.removesuffix("Threshold")](outputs)
    expected = task.score(raw, values, labels).evaluation.primary_metric
    found = objective.measure(torch.from_numpy(outputs), torch.from_numpy(values).to(objective.dtype))
    assert objective.metric == expected.name
    assert float(found) == pytest.approx(expected.value, abs=1e-6)


def test_losses_are_means_over_rows() -> None:
    squared, binary, cross = (
        OBJECTIVES[loss].loss for loss in (Loss.SQUARED_ERROR, Loss.BINARY_CROSS_ENTROPY, Loss.CROSS_ENTROPY)
    )
    assert squared(torch.tensor([[1.0], [4.0]]), torch.tensor([0.0, 2.0])).item() == 2.5
    logit = math.log(3)  # p = 3/4
    assert binary(torch.tensor([[logit], [logit]]), torch.tensor([1.0, 0.0])).item() == pytest.approx(
        -(math.log(0.75) + math.log(0.25)) / 2
    )
    assert cross(torch.tensor([[logit, 0.0]]), torch.tensor([0])).item() == pytest.approx(-math.log(0.75))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_weight_of_a_row_is_so_many_rows(task: Any) -> None:
    generator = np.random.default_rng(0)
    objective = OBJECTIVES[task.loss]
    labels = LABELS[task.name]
    outputs = torch.from_numpy(generator.normal(size=(20, task.logits(labels))).astype(np.float32))
    values = generator.integers(0, len(labels), 20) if labels else generator.normal(size=20)
    targets = torch.from_numpy(values).to(objective.dtype)
    times = torch.from_numpy(generator.integers(1, 5, 20))
    weights = (times / times.double().mean()).float()
    for mean in (objective.loss, objective.measure):
        repeated = mean(outputs.repeat_interleave(times, dim=0), targets.repeat_interleave(times))
        assert mean(outputs, targets, weights).item() == pytest.approx(repeated.item(), rel=1e-5)
        assert mean(outputs, targets, torch.ones(20)).item() == pytest.approx(mean(outputs, targets).item(), rel=1e-5)


def test_r2_of_equal_values_is_as_in_scikit_learn() -> None:
    measure = OBJECTIVES[Loss.SQUARED_ERROR].measure
    assert measure(torch.tensor([[1.0], [1.0]]), torch.tensor([1.0, 1.0])).item() == 1
    assert measure(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 1.0])).item() == 0


def test_the_best_weights_are_copied_and_come_back() -> None:
    module = nn.Linear(1, 1)
    best = BestWeights(module, epochs=3)
    for epoch, (weight, loss) in enumerate([(1.0, 3.0), (2.0, 1.0), (3.0, 1.0), (4.0, 2.0)], start=1):
        nn.init.constant_(module.weight, weight)
        best.offer(loss, epoch)
    best.restore()
    assert (best.epoch, module.weight.item()) == (2, 2.0)


OBJECTIVE = OBJECTIVES[Loss.CROSS_ENTROPY]


def toy_rows() -> Rows:
    features = torch.linspace(-1, 1, 21)[:, None]
    return Rows(features=features, targets=(features[:, 0] > 0).long())


def train(settings: Hyperparameters, observed: list[Epoch]) -> tuple[nn.Sequential, int]:
    with seeded(settings.seed, "cpu") as generator:
        module = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 2))
        for parameter in module.parameters():
            nn.init.uniform_(parameter, -1, 1, generator=generator)
        rows = toy_rows()
        best = train_module(
            module,
            objective=OBJECTIVE,
            train=rows,
            validation=rows,
            settings=settings,
            generator=generator,
            observe=observed.append,
        )
    return module, best


def test_the_loop_learns_and_keeps_the_epoch_with_the_lowest_validation_loss() -> None:
    epochs: list[Epoch] = []
    # Large steps make the loss go up and down.
    settings = Hyperparameters(epochs=40, batch_size=4, optimizer=Optimizer(adam=Adam(learning_rate=0.3)))
    module, best = train(settings, epochs)
    losses = [epoch.validation_loss for epoch in epochs]
    assert [epoch.number for epoch in epochs] == list(range(1, 41))
    assert losses[best - 1] == min(losses)
    assert best < 40
    rows = toy_rows()
    final = nn.functional.cross_entropy(module(rows.features), rows.targets).item()
    assert final == pytest.approx(min(losses), rel=1e-6)
    assert epochs[best - 1].metric > 0.9


def test_a_batch_may_be_larger_than_the_data_and_the_last_one_smaller() -> None:
    for batch_size in (1, 20, 21, 1000):
        epochs: list[Epoch] = []
        train(Hyperparameters(epochs=1, batch_size=batch_size), epochs)
        assert math.isfinite(epochs[0].train_loss)


@pytest.mark.parametrize("settings", [{"l2": 0.01}, {"l1": 0.01, "gradient_clip_norm": 0.1}], ids=str)
@pytest.mark.parametrize("weighed", [False, True])
def test_batches_of_one_step_are_one_batch_that_is_so_many_times_as_large(weighed: bool, settings: Any) -> None:
    """21 rows by 4, in groups of 3: steps of 12 and of 9 rows, whose last batch has one."""

    def trained(**steps: int) -> tuple[nn.Sequential, list[Epoch]]:
        features = torch.linspace(-1, 1, 42, dtype=torch.float64).reshape(21, 2)
        weights = torch.linspace(0.5, 1.5, 21, dtype=torch.float64) if weighed else None
        rows = Rows(features=features, targets=torch.arange(21) % 2, weights=weights)
        module = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        generator = torch.Generator().manual_seed(0)
        for parameter in module.parameters():
            nn.init.uniform_(parameter, -1, 1, generator=generator)
        epochs: list[Epoch] = []
        train_module(
            module,
            objective=OBJECTIVE,
            train=rows,
            validation=rows,
            settings=Hyperparameters(epochs=5, **settings, **steps),
            generator=generator,
            observe=epochs.append,
        )
        return module, epochs

    (large, told), (together, heard) = trained(batch_size=12), trained(batch_size=4, gradient_accumulation=3)
    for one, other in zip(large.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(told, heard, strict=True):
        assert mine.train_loss == pytest.approx(theirs.train_loss, rel=1e-5)
        assert mine.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-10)


def test_more_batches_than_there_are_are_all_rows() -> None:
    everything, twice = (
        train(Hyperparameters(epochs=4, batch_size=size, gradient_accumulation=times), [])[0][0].weight
        for size, times in ((7, 3), (7, 1000))
    )
    torch.testing.assert_close(everything, twice, rtol=0, atol=0)


def test_divergence_names_the_learning_rate() -> None:
    settings = Hyperparameters(
        epochs=50, l2=1.0, optimizer=Optimizer(sgd=StochasticGradientDescent(learning_rate=10.0, momentum=0.99))
    )
    with pytest.raises(StageError) as caught:
        train(settings, [])
    failure = caught.value.failure()
    assert (failure.reason, failure.field) == ("Diverged", "spec.training.optimizer.sgd.learningRate")
    assert (failure.about, failure.retry) == (About.STAGE, Retry.ON_CHANGE)
    assert "which is 10" in failure.message


def test_the_callers_randomness_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train(Hyperparameters(epochs=1), [])
    assert torch.rand(1) == expected


def test_outputs_are_computed_in_slices_without_dropout() -> None:
    module = nn.Sequential(nn.Dropout(0.9), nn.Identity())
    sizes: list[int] = []
    module[1].register_forward_hook(lambda _module, _inputs, output: sizes.append(len(output)))
    features = torch.arange(10.0)[:, None]
    torch.testing.assert_close(compute_outputs(module, features, slice_rows=4), features)
    assert sizes == [4, 4, 2]


def epoch(number: int, of: int) -> Epoch:
    return Epoch(number=number, of=of, train_loss=0.0, validation_loss=0.0, metric=0.0)


@given(st.integers(1, 300), st.integers(1, 50))
def test_curves_are_bounded_and_end_with_the_last_epoch(of: Any, max_points: Any) -> None:
    recorder = CurveRecorder(metric="accuracy", max_points=max_points)
    for number in range(1, of + 1):
        recorder(epoch(number, of))
    kept = recorder.curves["epoch"]
    assert len(kept) <= max_points + 1
    assert kept[-1] == of
    assert max_points < of or kept == tuple(range(1, of + 1))
    assert {len(curve) for curve in recorder.curves.values()} == {len(kept)}


def test_curves_are_named_after_what_they_measure() -> None:
    recorder = CurveRecorder(metric="r2")
    recorder(Epoch(number=1, of=1, train_loss=3.0, validation_loss=2.0, metric=0.5))
    assert recorder.curves == {
        "epoch": (1,),
        "trainLoss": (3.0,),
        "validationLoss": (2.0,),
        "validationR2": (0.5,),
    }


def test_small_steps_get_one_thread() -> None:
    assert threads_for(work=80_000, available=8) == 1
    assert threads_for(work=80_000_000, available=8) == 8


def test_the_number_of_threads_comes_back() -> None:
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
