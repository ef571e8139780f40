"""A network that learns from labels, and from what another model says of the same rows.

Knowledge distillation (Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015): probabilities
of the teacher, softened by a temperature, say which wrong classes are nearly right.
"""

import torch
from torch.nn import functional

from modelservice.tasks.base import Loss
from modelservice.training.losses import Measure, Objective

_TINY = 1e-7
"""Stands in for probabilities that are 0 in float32."""


def targets_beside(true: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
    """Float32 [rows, 1 + width]: what is true, then what the teacher says.

    Args:
        true: class codes or standardised numbers [rows].
        told: the teacher's raw outputs [rows, width]; numbers standardised, too.
    """
    return torch.cat([true.float()[:, None], told.float()], dim=1)


def beside_teacher(own: Objective, loss: Loss, *, temperature: float, weight: float) -> Objective:
    """The loss on labels and that on the teacher, of ``targets_beside``; the metric is that of the labels.

    Args:
        own: the objective of the labels alone.
        loss: of the task.
        temperature: what logits are divided by before they are compared; without meaning for numbers.
        weight: share of the teacher in the loss; the labels have the rest.
    """

    def beside(labels: Measure) -> Measure:
        def total(outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
            true, told = targets[:, 0].to(own.dtype), targets[:, 1:]
            apart = _distances(outputs, told, loss, temperature)
            of_teacher = (apart if weights is None else apart * weights).mean()
            return (1 - weight) * labels(outputs, true, weights) + weight * of_teacher

        return total

    def measure(outputs: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        return own.measure(outputs, targets[:, 0].to(own.dtype), weights)

    return Objective(
        dtype=torch.float32,
        loss=beside(own.loss),
        judge=beside(own.judge),
        metric=own.metric,
        measure=measure,
    )


def _distances(outputs: torch.Tensor, told: torch.Tensor, loss: Loss, temperature: float) -> torch.Tensor:
    """How far outputs [rows, logits] are from the teacher [rows, width], for each row [rows].

    Of classes the Kullback-Leibler divergence of softened probabilities, times the square of the temperature, which
    keeps the size of gradients.
    """
    if loss is Loss.SQUARED_ERROR:
        return (outputs[:, 0] - told[:, 0]).square()
    binary = loss is Loss.BINARY_CROSS_ENTROPY
    logits = torch.cat([torch.zeros_like(outputs), outputs], dim=1) if binary else outputs
    soft = functional.log_softmax(told.clamp_min(_TINY).log() / temperature, dim=1)
    apart = functional.kl_div(
        functional.log_softmax(logits / temperature, dim=1), soft, reduction="none", log_target=True
    )
    return apart.sum(dim=1) * temperature**2
