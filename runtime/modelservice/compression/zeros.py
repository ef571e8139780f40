"""Single weights set to 0, by magnitude over all layers (Han et al., 2015); biases stay."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils import prune

from modelservice.compression.network import StoredNetwork
from modelservice.compression.tuning import module_of, network_of


def with_zeros(network: StoredNetwork, ratio: float) -> StoredNetwork:
    """The network with that share of its weights 0."""
    # torch's pruning takes weights for one row each, which those with channels last are not.
    module = module_of(network).to(memory_format=torch.contiguous_format)
    layers = _weighted(module)
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=ratio)
    _release(layers)
    return network_of(module, network.architecture)


def hold_zeros(module: nn.Sequential) -> Callable[[], None]:
    """Keep weights that are 0 at 0 while the others learn; see ``tuning.Hold``."""
    layers = [layer for layer in _weighted(module) if bool((layer.weight == 0).any())]
    for layer in layers:
        prune.custom_from_mask(layer, "weight", layer.weight != 0)  # type: ignore[no-untyped-call]
    return lambda: _release(layers)


def _weighted(module: nn.Sequential) -> list[nn.Linear | nn.Conv2d]:
    return [layer for layer in module if isinstance(layer, nn.Linear | nn.Conv2d)]


def _release(layers: list[nn.Linear | nn.Conv2d]) -> None:
    for layer in layers:
        prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
