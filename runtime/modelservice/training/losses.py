"""What gradient steps minimise, in torch: losses row by row, their means, and a metric that is cheap to tell.

A row's loss does not ask which network its outputs are of: outputs [..., logits] and targets [...] give losses [...],
so that one network and the members of an ensemble share them. Targets of classes may be soft: those of two classes are
the probability of the second, those of several are codes, or probabilities [..., classes].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch.nn import functional

from modelservice.contract.task import AbsoluteError, ClassificationLoss, CrossEntropy, Focal, Huber, SquaredError
from modelservice.contract.task import Loss as AskedLoss
from modelservice.tasks.base import Loss

RowLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Outputs and targets to the loss of each row."""


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
        judge: the loss without label smoothing, which chooses the epoch.
        metric: name of the primary metric of the tasks that have this loss.
        measure: that metric.
    """

    dtype: torch.dtype
    loss: Measure
    judge: Measure
    metric: str
    measure: Measure


def objective_of(loss: Loss, asked: AskedLoss | None) -> Objective:
    """The objective of a task.

    Args:
        loss: of the task.
        asked: what ``spec.task`` says of it; None for the mean cross-entropy or squared error.
    """
    plain = OBJECTIVES[loss]
    if asked is None:
        return plain
    return replace(
        plain, loss=_mean_of(row_loss(loss, asked)), judge=_mean_of(row_loss(loss, without_smoothing(asked)))
    )


def row_loss(loss: Loss, asked: AskedLoss) -> RowLoss:
    """Loss of each row, of a task whose loss is ``loss``."""
    binary = loss is Loss.BINARY_CROSS_ENTROPY
    match asked.chosen:
        case CrossEntropy(label_smoothing=smoothing):
            smoothed = smoothed_binary_cross_entropy if binary else smoothed_cross_entropy
            return lambda outputs, targets: smoothed(outputs, targets, smoothing)
        case Focal(gamma=gamma):
            focal = _binary_focal if binary else _focal
            return lambda outputs, targets: focal(outputs, targets, gamma)
        case SquaredError():
            return squared_error
        case AbsoluteError():
            return lambda outputs, values: (outputs[..., 0] - values).abs()
        case Huber(delta=delta):
            return lambda outputs, values: functional.huber_loss(outputs[..., 0], values, reduction="none", delta=delta)
        case other:
            raise TypeError(f"no loss for {type(other).__name__}")


def without_smoothing(asked: AskedLoss) -> AskedLoss:
    """The same loss of labels as they are."""
    if isinstance(asked.chosen, CrossEntropy):
        return ClassificationLoss(cross_entropy=CrossEntropy())
    return asked


def smoothed_cross_entropy(logits: torch.Tensor, classes: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Label smoothing (Szegedy et al., 2016) takes a share of each label and spreads it over all classes."""
    logarithms = functional.log_softmax(logits, dim=-1)
    return -(1 - smoothing) * _of_true(logarithms, classes) - smoothing * logarithms.mean(dim=-1)


def smoothed_binary_cross_entropy(logits: torch.Tensor, classes: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The same with the one logit of two classes."""
    softened = classes * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits[..., 0], softened, reduction="none")


def squared_error(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The square of the difference."""
    return (outputs[..., 0] - values).square()


def _focal(logits: torch.Tensor, classes: torch.Tensor, gamma: float) -> torch.Tensor:
    """``-(1 - p)^gamma log p`` (Lin et al., 2017)."""
    logarithms = functional.log_softmax(logits, dim=-1)
    # The power of an exact 0 has no gradient where gamma is below 1.
    others = torch.log1p(-logarithms.exp().clamp(max=1 - torch.finfo(logits.dtype).eps))
    return -_of_true((gamma * others).exp() * logarithms, classes)


def _binary_focal(logits: torch.Tensor, classes: torch.Tensor, gamma: float) -> torch.Tensor:
    second, first = functional.logsigmoid(logits[..., 0]), functional.logsigmoid(-logits[..., 0])
    return -classes * (gamma * first).exp() * second - (1 - classes) * (gamma * second).exp() * first


def _of_true(values: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Of values [..., classes] those of the true classes [...]; their mean where classes are probabilities."""
    if classes.is_floating_point():
        return (values * classes).sum(dim=-1)
    return values.gather(-1, classes[..., None])[..., 0]


def _mean_of(rows: RowLoss) -> Measure:
    def loss(outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        return _mean(rows(outputs, targets), weights)

    return loss


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
    return _mean(squared_error(outputs, values), weights)


def _r2(outputs: torch.Tensor, values: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Of standardised values, which is that of the values themselves; for equal ones as in scikit-learn."""
    values, outputs = values.double(), outputs[:, 0].double()
    spread = _mean((values - _mean(values, weights)).square(), weights)
    left = _mean((values - outputs).square(), weights)
    return 1 - left / spread if spread > 0 else (left == 0).double()


OBJECTIVES: Mapping[Loss, Objective] = {
    Loss.CROSS_ENTROPY: Objective(
        dtype=torch.int64,
        loss=_cross_entropy,
        judge=_cross_entropy,
        metric="accuracy",
        measure=_multiclass_accuracy,
    ),
    Loss.BINARY_CROSS_ENTROPY: Objective(
        dtype=torch.float32,
        loss=_binary_cross_entropy,
        judge=_binary_cross_entropy,
        metric="accuracy",
        measure=_binary_accuracy,
    ),
    Loss.SQUARED_ERROR: Objective(
        dtype=torch.float32, loss=_squared_error, judge=_squared_error, metric="r2", measure=_r2
    ),
}
"""Of tasks for which nothing else is asked; torch's own functions, which need fewer steps than losses row by row."""
