"""One epoch of ours and of a bare torch loop, on the same network and rows, in turn; CPU seconds.

The bare loops do what an epoch is: draw an order, step on every batch by the same loss, and measure loss and accuracy
of the rows that choose the epoch. They keep no weights, check nothing and tell nobody.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import torch
from tests.bench.training_tables import TARGET, draw
from torch import nn
from torch.nn import functional

from modelservice.contract.data import Data
from modelservice.contract.networks import MultilayerPerceptron
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Sigmoid
from modelservice.families.ensemble import fit_ensemble
from modelservice.families.kept_back import kept_back
from modelservice.families.mlp import Mlp
from modelservice.families.modules import build, initialize
from modelservice.families.perceptron import design_mlp
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import from_frame
from modelservice.training.members import Plan

_SLICE = 8192
_MEMBERS: Final = Plan(members=16, epochs=4, batch=64, learning_rate=0.003)


class Seconds(NamedTuple):
    """CPU seconds of an epoch, the best of all repeats."""

    ours: float
    bare: float


def network_epoch(*, rows: int, columns: int, epochs: int, repeats: int) -> Seconds:
    """One network, by the defaults of ``spec.training``."""
    dataset, training = _dataset(rows, columns), Hyperparameters(epochs=epochs)
    settings = MultilayerPerceptron(ensemble=1)

    def ours() -> float:
        clock = _Clock()
        Mlp().fit(settings, dataset, training, observe=lambda _: clock.tick())
        return clock.best

    return _in_turn(ours, lambda: _bare_network(settings, dataset, training), repeats)


def ensemble_epoch(*, rows: int, columns: int, repeats: int) -> Seconds:
    """Sixteen networks side by side, as ``mlp`` is on small tables."""
    drawn = draw(rows, columns, seed=0)

    def ours() -> float:
        clock = _Clock()
        fit_ensemble(_MEMBERS, drawn.features, drawn.labels, classes=2, seed=0, observe=lambda _: clock.tick())
        return clock.best

    return _in_turn(ours, lambda: _bare_ensemble(drawn.features, drawn.labels), repeats)


class _Clock:
    """The shortest time between two ticks, so that what is done once counts for no epoch."""

    def __init__(self) -> None:
        self._ticks: list[float] = []

    def tick(self) -> None:
        self._ticks.append(time.process_time())

    @property
    def best(self) -> float:
        return min(np.diff(self._ticks).tolist())


def _in_turn(ours: Callable[[], float], bare: Callable[[], float], repeats: int) -> Seconds:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = [(ours(), bare()) for _ in range(repeats)]
    finally:
        torch.set_num_threads(before)
    return Seconds(*(min(side) for side in zip(*found, strict=True)))


def _dataset(rows: int, columns: int) -> Dataset:
    drawn = draw(rows, columns, seed=0)
    frame = {f"f{at}": column for at, column in enumerate(drawn.features.T)}
    return build_dataset(
        from_frame({**frame, TARGET: drawn.labels}),
        Data.model_validate({"uri": "s3://bench/table.parquet", "target": TARGET}),
    )


def _bare_network(settings: MultilayerPerceptron, dataset: Dataset, training: Hyperparameters) -> float:
    architecture = design_mlp(settings, dataset.shape, 1, Sigmoid())
    module = build(architecture)
    initialize(module, torch.Generator().manual_seed(0))
    x, y = (torch.from_numpy(array) for array in (dataset.train.features, dataset.train.values))
    held_x, held_y = (torch.from_numpy(array) for array in (dataset.validation.features, dataset.validation.values))
    y, held_y = y.float(), held_y.float()
    weights = [layer.weight for layer in module if isinstance(layer, nn.Linear)]
    optimizer = torch.optim.Adam(module.parameters(), lr=training.optimizer.chosen.learning_rate)
    clock = _Clock()
    clock.tick()
    for _ in range(training.epochs):
        module.train()
        total = 0.0
        for batch in torch.split(torch.randperm(len(y)), training.batch_size):
            loss = functional.binary_cross_entropy_with_logits(module(x[batch])[:, 0], y[batch])
            loss = loss + training.l2 * sum(weight.square().sum() for weight in weights)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # as torch has it
            optimizer.step()
            total += loss.item() * len(batch)
        module.eval()
        with torch.no_grad():
            logits = torch.cat([module(part) for part in torch.split(held_x, _SLICE)])[:, 0]
            functional.binary_cross_entropy_with_logits(logits, held_y).item()
            ((logits > 0) == (held_y > 0)).float().mean().item()
        clock.tick()
    return clock.best


def _bare_ensemble(features: np.ndarray, labels: np.ndarray) -> float:
    members, size = _MEMBERS.members, _MEMBERS.batch
    module = _Members(members, features.shape[1])
    x, y = torch.from_numpy(features), torch.from_numpy(labels).float()
    places = kept_back(labels, members=members, seed=0)
    least = min(map(len, places))
    kept = torch.stack([torch.from_numpy(one[:least]) for one in places])
    others = [np.setdiff1d(np.arange(len(labels)), one) for one in places]
    fewest = min(map(len, others))
    learned = torch.stack([torch.from_numpy(one[:fewest]) for one in others])
    optimizer = torch.optim.AdamW(module.parameters(), lr=_MEMBERS.learning_rate, betas=(0.9, 0.95))
    clock = _Clock()
    clock.tick()
    for _ in range(_MEMBERS.epochs):
        module.train()
        order = torch.gather(learned, 1, torch.argsort(torch.rand(learned.shape), dim=1))
        for batch in torch.split(order, size, dim=1):
            losses = functional.binary_cross_entropy_with_logits(module(x[batch])[..., 0], y[batch], reduction="none")
            optimizer.zero_grad()
            losses.mean(dim=1).sum().backward()  # type: ignore[no-untyped-call] # as torch has it
            optimizer.step()
        module.eval()
        with torch.no_grad():
            logits = module(x[kept])[..., 0]
            functional.binary_cross_entropy_with_logits(logits, y[kept], reduction="none").mean(dim=1)
            ((logits > 0) == (y[kept] > 0)).float().mean(dim=1)
        clock.tick()
    return clock.best


class _Members(nn.Module):
    """The layers of ``families.ensemble`` in plain torch: an input scale, two hidden layers of 128, and a last one."""

    def __init__(self, members: int, inputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(members, 1, inputs))
        widths = (inputs, 128, 128, 1)
        pairs = list(pairwise(widths))
        self.weights = nn.ParameterList(torch.randn(members, a, b) / a**0.5 for a, b in pairs)
        self.biases = nn.ParameterList(torch.zeros(members, 1, b) for _, b in pairs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * self.scale
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = functional.dropout(functional.silu(torch.baddbmm(bias, x, weight)), 0.1, self.training)
        return torch.baddbmm(self.biases[-1], x, self.weights[-1])
