"""Single weights set to 0, by magnitude over all layers (Han et al., 2015); biases stay."""

from collections.abc import Callable

from torch import nn
from torch.nn.utils import prune

from modelservice.compression.base import StepContext
from modelservice.compression.network import StoredNetwork
from modelservice.compression.tuning import Lesson, module_of, network_of, tune


def with_zeros(network: StoredNetwork, ratio: float, epochs: int, context: StepContext) -> StoredNetwork:
    """The network with that share of its weights 0, which they stay while the others learn on for some epochs."""
    module = module_of(network)
    prune.global_unstructured(_pruned(module), prune.L1Unstructured, amount=ratio)
    masks = {name: mask.clone() for name, mask in module.named_buffers()}
    _release(module)
    sparse = network_of(module, network.architecture)
    if not epochs:
        return sparse

    def hold(learning: nn.Sequential) -> Callable[[], None]:
        for layer, name in _pruned(learning):
            place = next(place for place, child in learning.named_children() if child is layer)
            prune.custom_from_mask(layer, name, masks[f"{place}.{name}_mask"])  # type: ignore[no-untyped-call]
        return lambda: _release(learning)

    return tune(sparse, Lesson(epochs=epochs), context, hold=hold)


def _pruned(module: nn.Sequential) -> list[tuple[nn.Module, str]]:
    return [(layer, "weight") for layer in module if isinstance(layer, nn.Linear | nn.Conv2d)]


def _release(module: nn.Sequential) -> None:
    for layer, name in _pruned(module):
        prune.remove(layer, name)  # type: ignore[no-untyped-call]
