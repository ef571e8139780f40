"""``tasks.base.Loss`` in torch, and the metric that is cheap enough to be told after each epoch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from modelservice.tasks.base import Loss

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Outputs [rows, logits] and targets [rows] to a scalar."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What gradient steps minimise, and what is told beside it.

    Attributes:
        dtype: of the targets, [rows]: class codes, or standardised values.
        loss: mean over the rows, differentiable.
        metric: name of the primary metric of the tasks that have this loss.
        measure: that metric.
    """

    dtype: torch.dtype
    loss: Measure
    metric: str
    measure: Measure


def _cross_entropy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, classes)


def _multiclass_accuracy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=1) == classes).double().mean()


def _binary_cross_entropy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits[:, 0], classes)


def _binary_accuracy(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return ((logits[:, 0] > 0) == (classes > 0)).double().mean()


def _squared_error(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(outputs[:, 0], values)


def _r2(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Of standardised values, which is that of the values themselves; for equal ones as in scikit-learn."""
    values, outputs = values.double(), outputs[:, 0].double()
    spread = (values - values.mean()).square().sum()
    left = (values - outputs).square().sum()
    return 1 - left / spread if spread > 0 else (left == 0).double()


OBJECTIVES: Mapping[Loss, Objective] = {
    Loss.CROSS_ENTROPY: Objective(
        dtype=torch.int64, loss=_cross_entropy, metric="accuracy", measure=_multiclass_accuracy
    ),
    Loss.BINARY_CROSS_ENTROPY: Objective(
        dtype=torch.float32, loss=_binary_cross_entropy, metric="accuracy", measure=_binary_accuracy
    ),
    Loss.SQUARED_ERROR: Objective(dtype=torch.float32, loss=_squared_error, metric="r2", measure=_r2),
}
