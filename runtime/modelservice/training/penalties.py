"""L1 and L2 penalties on weights.

Biases are left out: they shift the output and make no function less smooth (Goodfellow et al., 2016, section 7.1).
"""

from collections.abc import Sequence

import torch
from torch import nn


def penalized_weights(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that penalties apply to: all but the biases."""
    return [parameter for name, parameter in module.named_parameters() if not name.endswith("bias")]


def penalty(weights: Sequence[torch.Tensor], *, l1: float, l2: float) -> torch.Tensor:
    """``l1 * sum |w| + l2 * sum w^2``, a scalar to add to the loss."""
    total = torch.zeros((), device=weights[0].device)
    for weight in weights:
        if l1 > 0:
            total = total + l1 * weight.abs().sum()
        if l2 > 0:
            total = total + l2 * weight.square().sum()
    return total
