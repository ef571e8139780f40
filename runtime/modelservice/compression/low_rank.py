"""Layers split into two of a lower rank.

The matrix of a layer [outputs, inputs] is cut off after its largest singular values, the best approximation of that
rank (Eckart and Young, 1936): W = U S V becomes x -> V x -> (U S) x. A convolution becomes one of the same kernel to
fewer channels, and one of 1 x 1 from these (Denton et al., 2014).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.compression.base import Compressible, StepContext, single_network
from modelservice.compression.lesson import Lesson
from modelservice.compression.network import StoredNetwork
from modelservice.compression.tuned import tuned
from modelservice.contract.compression import LowRank
from modelservice.contract.failure import StageError
from modelservice.families.architecture import MAX_LAYERS, Architecture, Convolution, Layer, Linear

_NAMES = ("weight", "bias")


class LowRankStep:
    """The step ``lowRank``."""

    name = "lowRank"

    def apply(self, settings: LowRank, model: Compressible, context: StepContext) -> Compressible:
        """Split each layer that becomes smaller by it, and let them learn on; see ``Step``."""
        network = single_network(model, self.name)
        split = factorised(network, settings.share)
        if split is None:
            message = (
                f"lowRank with a share of {settings.share:g} makes no layer smaller: lower it, or leave the step out"
            )
            raise StageError("StepUnsuited", message, field="spec.compression.steps")
        return Compressible.of(tuned("low-rank", split, Lesson(epochs=settings.fine_tune_epochs), context))


LOW_RANK: Final = LowRankStep()


def factorised(network: StoredNetwork, share: float, *, hidden_only: bool = False) -> StoredNetwork | None:
    """The network with layers of a lower rank; None where no layer becomes smaller, or there would be too many.

    Args:
        network: whose layers.
        share: of a layer's rank, which is left.
        hidden_only: whether only linear layers are split, and not the last one, which may have few outputs.
    """
    layers: list[Layer] = []
    weights: dict[str, NDArray[Any]] = {}
    for place, layer in enumerate(network.architecture.layers):
        arrays = {name: network.weights[f"{place}.{name}"] for name in _NAMES if f"{place}.{name}" in network.weights}
        whole = hidden_only and (isinstance(layer, Convolution) or place == len(network.architecture.layers) - 1)
        if isinstance(layer, Linear | Convolution) and not whole:
            parts = _split(layer, arrays, share)
        else:
            parts = [(layer, arrays)]
        for part, stored in parts:
            weights.update({f"{len(layers)}.{name}": array for name, array in stored.items()})
            layers.append(part)
    if len(layers) == len(network.architecture.layers) or len(layers) > MAX_LAYERS:
        return None
    architecture = Architecture(shape=network.architecture.shape, layers=tuple(layers), head=network.architecture.head)
    return StoredNetwork(architecture=architecture, weights=weights)


def _split(
    layer: Linear | Convolution, arrays: dict[str, NDArray[Any]], share: float
) -> list[tuple[Layer, dict[str, NDArray[Any]]]]:
    """Two layers in the place of one, or the one where two hold no fewer values."""
    weight = arrays["weight"]
    matrix = weight.reshape(layer.outputs, -1).astype(np.float64)
    rank = max(1, round(share * min(matrix.shape)))
    if rank * (sum(matrix.shape) + 1) >= matrix.size:
        return [(layer, arrays)]
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    roots = np.sqrt(values[:rank])
    first = (right[:rank] * roots[:, None]).reshape(rank, *weight.shape[1:])
    second = (left[:, :rank] * roots).reshape(layer.outputs, rank, *(1 for _ in weight.shape[2:]))
    narrow = layer.model_copy(update={"outputs": rank})
    last: Layer = (
        Linear(inputs=rank, outputs=layer.outputs)
        if isinstance(layer, Linear)
        else Convolution(inputs=rank, outputs=layer.outputs, kernel_size=1)
    )
    return [
        (narrow, {"weight": first.astype(np.float32), "bias": np.zeros(rank, np.float32)}),
        (last, {"weight": second.astype(np.float32), "bias": arrays["bias"]}),
    ]
