"""``tasks.base.Loss`` in torch, and the metric that is cheap enough to be told after each epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch.nn import functional

from modelservice.tasks.base import Loss


class Measure(Protocol):
    """A mean over rows."""

    def __call__(
        self, outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None, /
    ) -> torch.Tensor:
        """Outputs [rows, logits] and targets [rows] to a scalar.

        ``weights`` [rows] multiply what each row adds, and are 1 on the mean of a side; without them each is 1.
        """


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


def _mean(rows: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    # Divided by the rows of a batch, not by their weights: batches of light rows are to have a small gradient.
    return rows.mean() if weights is None else (rows * weights).mean()


def _cross_entropy(logits: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    if weights is None:
        return functional.cross_entropy(logits, classes)
    return _mean(functional.cross_entropy(logits, classes, reduction="none"), weights)


def _multiclass_accuracy(
    logits: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    return _mean((logits.argmax(dim=1) == classes).double(), weights)


def _binary_cross_entropy(
    logits: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    if weights is None:
        return functional.binary_cross_entropy_with_logits(logits[:, 0], classes)
    return _mean(functional.binary_cross_entropy_with_logits(logits[:, 0], classes, reduction="none"), weights)


def _binary_accuracy(logits: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    return _mean(((logits[:, 0] > 0) == (classes > 0)).double(), weights)


def _squared_error(outputs: torch.Tensor, values: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    if weights is None:
        return functional.mse_loss(outputs[:, 0], values)
    return _mean((outputs[:, 0] - values).square(), weights)


def _r2(outputs: torch.Tensor, values: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Of standardised values, which is that of the values themselves; for equal ones as in scikit-learn."""
    values, outputs = values.double(), outputs[:, 0].double()
    spread = _mean((values - _mean(values, weights)).square(), weights)
    left = _mean((values - outputs).square(), weights)
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
