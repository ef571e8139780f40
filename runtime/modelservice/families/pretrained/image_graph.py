"""What a pretrained model of images does to pixels, as nodes of a graph: resizing, colours, and the network."""

from typing import Any, Final

import numpy as np
import onnxruntime

from modelservice.families.base import INPUT_NAME, OUTPUT_NAME
from modelservice.families.onnx_graph import Graph
from modelservice.families.pretrained.image_steps import LARGEST, Frame, ImageSteps, sized
from modelservice.families.pretrained.onnx_network import Network, computable, try_out
from modelservice.modalities.base import Features

_COLUMNS_FIRST: Final = [0, 1, 3, 2]


def add_pixels(graph: Graph, mean: Features, std: Features) -> None:
    """Nodes from standardised images to their pixels, which are whole numbers of 0 to 255.

    Args:
        graph: its newest value are the images, float32 [rows, channels, height, width].
        mean: of each channel, float32 [1, channels, 1, 1].
        std: the deviation of each, likewise.
    """
    graph.add("Mul", graph.value, graph.constant("pixel scale", std))
    graph.add("Add", graph.value, graph.constant("pixel mean", mean))
    graph.add("Clip", graph.add("Round"), *_bounds(graph, "whole"))


def add_seen(graph: Graph, frame: Frame, *, repeats: int) -> None:
    """Nodes from pixels as they are given to those that are seen, whose channels are repeated where they are grey."""
    if repeats > 1:
        graph.add("Concat", *[graph.value] * repeats, axis=1)
    # Columns first, as Pillow does it.
    if frame.given[1] != frame.seen[1] or frame.given[1] != frame.resized[1]:
        graph.add("Transpose", perm=_COLUMNS_FIRST)
        _add_rows(graph, frame, 1)
        graph.add("Transpose", perm=_COLUMNS_FIRST)
    _add_rows(graph, frame, 0)


def add_network(graph: Graph, network: Network, steps: ImageSteps) -> str:
    """Nodes from pixels as they are seen to the numbers of images; gives their name back."""
    factor, offset = (one.reshape(1, -1, 1, 1) for one in steps.colours(network.channels))
    graph.add("Mul", graph.value, graph.constant("colour factor", factor))
    graph.add("Add", graph.value, graph.constant("colour offset", offset))
    return str(network.append_to(graph))


def tried(network: Network, steps: ImageSteps, seen: tuple[int, int]) -> int:
    """The width of a network, which answers images that it sees in that size.

    Raises:
        ValueError: it does not, or what is done to images does not fit it.
    """
    if not network.takes(seen):
        raise ValueError(f"it makes images of {sized(seen)} pixels, and the network takes {sized(network.size)}")
    graph, shape = Graph(), (network.channels, *seen)
    add_network(graph, network, steps)
    with computable():
        session = open_session(graph.model(shape=shape, width=None))
    return try_out(session, given=INPUT_NAME, output=OUTPUT_NAME, shape=shape)


def open_session(content: bytes) -> Any:
    """A session of onnxruntime that computes ``model.onnx``."""
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def _add_rows(graph: Graph, frame: Frame, axis: int) -> None:
    """Nodes that make the rows of an image those that are seen; for its columns they were turned before."""
    start, seen = frame.start(axis), frame.seen[axis]
    matrix = frame.matrix(axis)
    if matrix is not None:
        # It stands first: a product with stored weights in the second place is a layer, to whoever looks for one.
        graph.add("MatMul", graph.constant(f"pixels {axis}", matrix), graph.value)
        if frame.filter.overshoots:
            graph.add("Clip", graph.value, *_bounds(graph, f"resized {axis}"))
    elif seen < frame.given[axis]:
        places = [np.array([one], np.int64) for one in (start, start + seen, 2)]
        names = [
            graph.constant(f"{name} {axis}", one) for name, one in zip(("from", "to", "axis"), places, strict=True)
        ]
        graph.add("Slice", graph.value, *names)


def _bounds(graph: Graph, name: str) -> tuple[str, ...]:
    """Names of 0 and 255, beyond which Pillow has no values."""
    return tuple(
        graph.constant(f"{name} {end}", np.array(value, np.float32))
        for end, value in (("least", 0.0), ("most", LARGEST))
    )
