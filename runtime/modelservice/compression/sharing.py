"""Codebooks that learn on: the gradient of a value is the sum of those of its weights (Han et al., 2016)."""

from collections.abc import Callable, Collection

import torch
from torch import nn
from torch.nn.utils import parametrize

from modelservice.compression.codebooks import numbered


class _Codebook(nn.Module):
    """Weights as values by number; a value of 0 stays 0."""

    numbers: torch.Tensor
    moving: torch.Tensor

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        book, numbers = numbered(weight.detach().numpy())
        self.register_buffer("numbers", torch.from_numpy(numbers), persistent=False)
        self.register_buffer("moving", torch.from_numpy(book != 0), persistent=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The weights that values [number] stand for."""
        weights: torch.Tensor = (values * self.moving)[self.numbers]
        return weights

    def right_inverse(self, weight: torch.Tensor) -> torch.Tensor:
        """The values of weights as they were when this was made."""
        return torch.from_numpy(numbered(weight.detach().numpy())[0])


def hold_codebooks(places: Collection[str]) -> Callable[[nn.Sequential], Callable[[], None]]:
    """Let the weights of these layers learn as values that they share; see ``tuning.Hold``.

    Args:
        places: of the layers, as ``families.modules.build`` names them.
    """

    def hold(module: nn.Sequential) -> Callable[[], None]:
        layers = [
            layer
            for place, layer in module.named_children()
            if place in places and isinstance(layer, nn.Linear | nn.Conv2d)
        ]
        for layer in layers:
            parametrize.register_parametrization(layer, "weight", _Codebook(layer.weight))

        def release() -> None:
            for layer in layers:
                parametrize.remove_parametrizations(layer, "weight")

        return release

    return hold
