"""What the members of an ensemble minimise, row by row.

Outputs [members, rows, logits] and targets [members, rows] give losses [members, rows].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch

from modelservice.contract.task import Loss as AskedLoss
from modelservice.tasks.base import Loss
from modelservice.training.losses import (
    RowLoss,
    row_loss,
    smoothed_binary_cross_entropy,
    smoothed_cross_entropy,
    squared_error,
    without_smoothing,
)

_SMOOTHING = 0.1
"""Of labels, where no loss is asked for."""


@dataclass(frozen=True, kw_only=True)
class MemberObjective:
    """What members minimise.

    Attributes:
        dtype: of the targets: class codes, or standardised values.
        loss: differentiable.
        judge: the loss without label smoothing, which chooses epochs.
        metric: name of what is told beside it.
        measure: that metric, whose mean over rows is told.
    """

    dtype: torch.dtype
    loss: RowLoss
    judge: RowLoss
    metric: str
    measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def member_objective_of(loss: Loss, asked: AskedLoss | None) -> MemberObjective:
    """The objective of a task, and of what ``spec.task`` says of its loss; see ``losses.objective_of``."""
    recipe = MEMBER_OBJECTIVES[loss]
    if asked is None:
        return recipe
    return replace(recipe, loss=row_loss(loss, asked), judge=row_loss(loss, without_smoothing(asked)))


def _multiclass_hits(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=-1) == classes).float()


def _binary_hits(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return ((logits[..., 0] > 0) == (classes > 0)).float()


def _explained(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    # The values are standardised, so the mean of their squares is 1, and the mean of this is R2.
    return 1 - squared_error(outputs, values)


MEMBER_OBJECTIVES: Mapping[Loss, MemberObjective] = {
    Loss.CROSS_ENTROPY: MemberObjective(
        dtype=torch.int64,
        loss=partial(smoothed_cross_entropy, smoothing=_SMOOTHING),
        judge=partial(smoothed_cross_entropy, smoothing=0.0),
        metric="accuracy",
        measure=_multiclass_hits,
    ),
    Loss.BINARY_CROSS_ENTROPY: MemberObjective(
        dtype=torch.float32,
        loss=partial(smoothed_binary_cross_entropy, smoothing=_SMOOTHING),
        judge=partial(smoothed_binary_cross_entropy, smoothing=0.0),
        metric="accuracy",
        measure=_binary_hits,
    ),
    Loss.SQUARED_ERROR: MemberObjective(
        dtype=torch.float32, loss=squared_error, judge=squared_error, metric="r2", measure=_explained
    ),
}
"""Those of the recipe."""
