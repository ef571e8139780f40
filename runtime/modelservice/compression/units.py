"""Whole neurons and channels taken out of a network, so that its layers become narrower.

Layers form a chain, so a unit is a row of one layer's weights and the columns that it feeds in the next layer with
weights: one column of a linear layer or one slice of a convolution, and where an image is flattened in between, a
column for each of its pixels. What lies between has no weights and takes any width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.compression.network import StoredNetwork
from modelservice.families.architecture import Architecture, Convolution, Layer, Linear


@dataclass(frozen=True)
class Joint:
    """Two neighbours among the layers with weights: what the first gives is what the second takes.

    Attributes:
        giver, taker: their positions.
        units: outputs of the first.
        columns: inputs of the second for each unit.
    """

    giver: int
    taker: int
    units: int
    columns: int


def joints(architecture: Architecture) -> tuple[Joint, ...]:
    """All places where a network can become narrower, from the input on."""
    places = [place for place, layer in enumerate(architecture.layers) if isinstance(layer, Linear | Convolution)]
    found = []
    for giver, taker in pairwise(places):
        units, taken = _layer(architecture, giver).outputs, _layer(architecture, taker).inputs
        found.append(Joint(giver=giver, taker=taker, units=units, columns=taken // units))
    return tuple(found)


def magnitudes(network: StoredNetwork, joint: Joint) -> NDArray[np.float64]:
    """How much each unit is worth, by weights alone: [units].

    The length of the vector of weights that lead into it, times that of those that lead out of it: a unit that takes or
    gives nothing is worth nothing (the L2 norm of Li et al., 2017, on both sides; scaling one side up and the other
    down by the same factor, which changes no ReLU network, changes no worth).
    """
    incoming = network.weights[f"{joint.giver}.weight"].reshape(joint.units, -1)
    outgoing = network.weights[f"{joint.taker}.weight"]
    leaving = outgoing.reshape(len(outgoing), joint.units, -1).transpose(1, 0, 2).reshape(joint.units, -1)
    lengths = (np.linalg.norm(side.astype(np.float64), axis=1) for side in (incoming, leaving))
    return np.asarray(math.prod(lengths))


def widths_without(architecture: Architecture, ratio: float) -> list[int]:
    """For each joint how many units stay where the same share of each layer goes, at least one.

    Args:
        architecture: whose units.
        ratio: the share that goes, from 0 to below 1.
    """
    return [_staying(joint, ratio) for joint in joints(architecture)]


def kept_units(network: StoredNetwork, widths: Sequence[int]) -> list[NDArray[np.int64]]:
    """For each joint the units that stay, in their order: those that are worth most.

    Args:
        network: whose units.
        widths: how many of each joint.
    """
    return [
        np.sort(np.argsort(-magnitudes(network, joint), kind="stable")[:staying])
        for joint, staying in zip(joints(network.architecture), widths, strict=True)
    ]


def without_units(network: StoredNetwork, kept: list[NDArray[np.int64]]) -> StoredNetwork:
    """The network with the given units of each joint only."""
    layers: list[Layer] = list(network.architecture.layers)
    weights: dict[str, NDArray[Any]] = dict(network.weights)
    for joint, staying in zip(joints(network.architecture), kept, strict=True):
        for name in ("weight", "bias"):
            weights[f"{joint.giver}.{name}"] = weights[f"{joint.giver}.{name}"][staying]
        outgoing = weights[f"{joint.taker}.weight"]
        rest = outgoing.shape[2:]
        grouped = outgoing.reshape(len(outgoing), joint.units, joint.columns, *rest)[:, staying]
        weights[f"{joint.taker}.weight"] = np.ascontiguousarray(grouped.reshape(len(outgoing), -1, *rest))
        layers[joint.giver] = layers[joint.giver].model_copy(update={"outputs": len(staying)})
        layers[joint.taker] = layers[joint.taker].model_copy(update={"inputs": len(staying) * joint.columns})
    architecture = Architecture(shape=network.architecture.shape, layers=tuple(layers), head=network.architecture.head)
    return StoredNetwork(architecture=architecture, weights=weights)


def widths_within(architecture: Architecture, parameters: int, multiply_adds: int | None = None) -> list[int]:
    """For each joint how many units stay so that so much at most is left, and as much of it as can be.

    Of neurons the same share stays everywhere; of channels, which are fewer, and each of whose weights is used at every
    pixel, the root of it, and less where that leaves too many multiply-adds. Where even single units leave more, these
    stay.

    Args:
        architecture: whose units.
        parameters: at most.
        multiply_adds: of a row at most; None for any number.
    """
    most = math.inf if multiply_adds is None else multiply_adds
    for power in _POWERS:
        widths = _widest(architecture, power, lambda left: left.parameters <= parameters)
        if _narrower(architecture, widths).multiply_adds <= most:
            return widths
    return _widest(architecture, _POWERS[-1], lambda left: left.parameters <= parameters and left.multiply_adds <= most)


BLOCK: Final = 8
"""Channels that onnxruntime keeps next to each other where their number is a multiple of it; else convolutions take
another way, which took twice as long for 9, 18 and 36 channels as for 8, 16 and 32."""
_STEPS = 10_000
"""Shares are tried in hundredths of a percent."""
_POWERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of the share of neurons that stays: the share of channels."""


def _widest(architecture: Architecture, power: float, fits: Callable[[Architecture], bool]) -> list[int]:
    """Blocks of channels first, then as many neurons as they leave room for."""
    both = _least_ratio(lambda ratio: fits(_narrower(architecture, _widths(architecture, ratio, ratio, power))))

    def with_neurons(ratio: float) -> list[int]:
        return _widths(architecture, both, ratio, power)

    return with_neurons(_least_ratio(lambda ratio: fits(_narrower(architecture, with_neurons(ratio)))))


def _least_ratio(fits: Callable[[float], bool]) -> float:
    """The smallest share to take away that fits, 1 where none does."""
    low, high = 0, _STEPS
    while low < high:
        middle = (low + high) // 2
        if fits(middle / _STEPS):
            high = middle
        else:
            low = middle + 1
    return low / _STEPS


def _widths(architecture: Architecture, of_channels: float, of_neurons: float, power: float) -> list[int]:
    """Units that stay where these shares go; of channels the power of theirs stays."""
    gone = 1 - (1 - of_channels) ** power
    return [
        _in_blocks(_staying(joint, gone))
        if isinstance(architecture.layers[joint.giver], Convolution)
        else _staying(joint, of_neurons)
        for joint in joints(architecture)
    ]


def _in_blocks(channels: int) -> int:
    """So many channels that the engine computes them in whole blocks; fewer than one block as they are."""
    return channels - channels % BLOCK if channels > BLOCK else channels


def _staying(joint: Joint, ratio: float) -> int:
    return max(1, joint.units - round(ratio * joint.units))


def _narrower(architecture: Architecture, widths: Sequence[int]) -> Architecture:
    """What is left when so many units of each joint stay."""
    layers: list[Layer] = list(architecture.layers)
    for joint, staying in zip(joints(architecture), widths, strict=True):
        layers[joint.giver] = layers[joint.giver].model_copy(update={"outputs": staying})
        layers[joint.taker] = layers[joint.taker].model_copy(update={"inputs": staying * joint.columns})
    return architecture.model_copy(update={"layers": tuple(layers)})


def _layer(architecture: Architecture, place: int) -> Linear | Convolution:
    layer = architecture.layers[place]
    assert isinstance(layer, Linear | Convolution)  # noqa: S101 - as ``joints`` chose it
    return layer
