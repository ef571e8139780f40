"""Losses of an ensemble, row by row: outputs [members, rows, logits] and targets [members, rows] to [members, rows].

``smoothing`` (Szegedy et al., 2016) takes that share of each label and spreads it over all classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from modelservice.tasks.base import Loss

RowLoss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
"""Outputs, targets and smoothing to losses."""


@dataclass(frozen=True, kw_only=True)
class MemberObjective:
    """What members minimise.

    Attributes:
        dtype: of the targets: class codes, or standardised values.
        loss: differentiable; without smoothing it chooses epochs.
        metric: name of what is told beside it.
        measure: that metric, whose mean over rows is told.
    """

    dtype: torch.dtype
    loss: RowLoss
    metric: str
    measure: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _cross_entropy(logits: torch.Tensor, classes: torch.Tensor, smoothing: float) -> torch.Tensor:
    logarithms = functional.log_softmax(logits, dim=-1)
    true = logarithms.gather(-1, classes[..., None])[..., 0]
    return -(1 - smoothing) * true - smoothing * logarithms.mean(dim=-1)


def _binary_cross_entropy(logits: torch.Tensor, classes: torch.Tensor, smoothing: float) -> torch.Tensor:
    softened = classes * (1 - smoothing) + smoothing / 2
    return functional.binary_cross_entropy_with_logits(logits[..., 0], softened, reduction="none")


def _squared_error(outputs: torch.Tensor, values: torch.Tensor, smoothing: float) -> torch.Tensor:  # noqa: ARG001
    return (outputs[..., 0] - values).square()


def _multiclass_hits(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(dim=-1) == classes).float()


def _binary_hits(logits: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    return ((logits[..., 0] > 0) == (classes > 0)).float()


def _explained(outputs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    # The values are standardised, so the mean of their squares is 1, and the mean of this is R2.
    return 1 - (outputs[..., 0] - values).square()


MEMBER_OBJECTIVES: Mapping[Loss, MemberObjective] = {
    Loss.CROSS_ENTROPY: MemberObjective(
        dtype=torch.int64, loss=_cross_entropy, metric="accuracy", measure=_multiclass_hits
    ),
    Loss.BINARY_CROSS_ENTROPY: MemberObjective(
        dtype=torch.float32, loss=_binary_cross_entropy, metric="accuracy", measure=_binary_hits
    ),
    Loss.SQUARED_ERROR: MemberObjective(dtype=torch.float32, loss=_squared_error, metric="r2", measure=_explained),
}
