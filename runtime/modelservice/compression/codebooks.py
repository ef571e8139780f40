"""Weights of a layer that take few different values: a codebook, and the number of its value for each weight.

Values are found by k-means on the weights of a layer, from centroids in even steps over their range (Han, Mao and
Dally, "Deep Compression", 2016). Weights that are 0 keep a value of their own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

_ROUNDS: Final = 100
_FEW: Final = 16
"""Values whose numbers take 4 bits; of more they take 8."""
_MOST: Final = 256
_BYTES: Final = 4
"""Of a value."""


def saves(weights: int, values: int) -> bool:
    """Whether a codebook and numbers take fewer bytes than so many weights."""
    return values * _BYTES + weights * (0.5 if values <= _FEW else 1) < weights * _BYTES


def shared(weights: NDArray[np.float32], values: int) -> NDArray[np.float32]:
    """The weights, each replaced by the nearest of so many values at most, which k-means chooses; zeros stay.

    In one dimension the nearest of sorted centroids is found by bisection between their middles, which scikit-learn's
    k-means for any dimension does not do: of a million weights and 256 values it takes minutes.
    """
    given = weights.ravel().astype(np.float64)
    learned = given[given != 0]
    if not len(learned):
        return weights
    free = values - int(len(learned) < len(given))
    centroids = np.linspace(learned.min(), learned.max(), free)
    for _ in range(_ROUNDS):
        numbers = _nearest(learned, centroids)
        sizes = np.bincount(numbers, minlength=free)
        sums = np.bincount(numbers, weights=learned, minlength=free)
        moved = np.where(sizes > 0, sums / np.maximum(sizes, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    found = np.zeros_like(given)
    found[given != 0] = centroids[_nearest(learned, centroids)]
    return found.astype(np.float32).reshape(weights.shape)


def store_codebooks(model: "onnx.ModelProto", shared_weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Store weights as codebooks and numbers, in place; ``Gather`` gives the weights back, once, when it is loaded.

    Args:
        model: with float weights.
        shared_weights: by the names of constants, those that take few values.

    Raises:
        ValueError: one takes more values than its numbers, of 8 bits, can tell apart.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    graph = model.graph
    kept = [constant for constant in graph.initializer if constant.name not in shared_weights]
    restored: list[onnx.NodeProto] = []
    for name, weights in shared_weights.items():
        book, numbers = numbered(weights)
        if len(book) > _MOST:
            raise ValueError(f"{name} takes {len(book)} different values, and a codebook holds {_MOST} at most")
        small = helper.tensor_dtype_to_np_dtype(TensorProto.UINT4 if len(book) <= _FEW else TensorProto.UINT8)
        names = [f"{name}_values", f"{name}_numbers", f"{name}_places"]
        kept += [numpy_helper.from_array(book, names[0]), numpy_helper.from_array(numbers.astype(small), names[1])]
        restored += [
            helper.make_node("Cast", [names[1]], [names[2]], to=TensorProto.INT32),
            helper.make_node("Gather", [names[0], names[2]], [name], axis=0),
        ]
    nodes = [*restored, *graph.node]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def numbered(weights: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The different values of weights, sorted, and the number of its value for each weight, in the weights' shape."""
    book, numbers = np.unique(weights, return_inverse=True)
    return book, numbers.reshape(weights.shape)


def _nearest(weights: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights)
