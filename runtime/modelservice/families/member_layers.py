"""Layers of an ensemble whose members are computed side by side.

Deep ensembles (Lakshminarayanan et al., 2017) train some networks from different weights and average what they say.
Here the weights of all members stand in one tensor, [members, ...], so that a layer of all of them is one batched
matrix product: small networks cost mostly the calls, not the arithmetic (TabM, Gorishniy et al., 2025).
"""

import math

import torch
from torch import nn


class SmoothClip(nn.Module):
    """Inputs scaled by fixed numbers and softly bounded: z = (x - center) * factor, then z / sqrt(1 + (z / limit)^2).

    Robust scaling and smooth clipping after RealMLP (Holzmueller et al., 2024): an outlier moves nothing far.
    """

    def __init__(self, inputs: int, limit: float, *, device: str = "cpu") -> None:
        super().__init__()
        self.limit = limit
        self.center = nn.Parameter(torch.zeros(inputs, device=device), requires_grad=False)
        self.factor = nn.Parameter(torch.ones(inputs, device=device), requires_grad=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[rows, inputs] to the same."""
        scaled = (rows - self.center) * self.factor
        return scaled / torch.sqrt(1 + (scaled / self.limit) ** 2)


class MemberScale(nn.Module):
    """A learned factor for each input of each member, which lets a member choose inputs."""

    def __init__(self, members: int, inputs: int, *, device: str = "cpu") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, 1, inputs, device=device))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[rows, inputs], the same for all members, or [members, rows, inputs], to [members, rows, inputs]."""
        return rows * self.weight


class MemberLinear(nn.Module):
    """An affine layer for each member, y = x W + b."""

    def __init__(self, members: int, inputs: int, outputs: int, *, device: str = "cpu") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(members, inputs, outputs, device=device))
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs, device=device))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[members, rows, inputs] to [members, rows, outputs]."""
        return torch.baddbmm(self.bias, rows, self.weight)

    def draw(self, generator: torch.Generator, *, share: float = 1.0) -> None:
        """Initial weights after He et al. (2015), times ``share``; biases are 0."""
        bound = share * math.sqrt(6 / self.weight.shape[1])
        with torch.no_grad():
            self.weight.uniform_(-bound, bound, generator=generator)
            self.bias.zero_()
