"""A network in an ONNX file that somebody else made: read as data, and brought to the operators of our graphs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, checker, external_data_helper, version_converter

from modelservice.families.base import OPSET
from modelservice.families.onnx_graph import Graph

OLDEST_OPSET: Final = 9
_DOMAINS: Final = frozenset({"", "ai.onnx"})
_PREFERRED: Final = ("image_embeds", "pooler_output", "last_hidden_state")
"""Outputs that are numbers of a whole image, or of its parts, from the best on, as Hugging Face names them."""
_INPUT: Final = "pixel_values"
_AXES: Final = 4
_MEANS: Final = {2: (), 3: (1,), 4: (2, 3)}
"""The axes of parts, by the number of axes of an output: [rows, width], [rows, parts, width], [rows, width, h, w]."""
_ROWS: Final = 3
_WEIGHTS: Final = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8, TensorProto.UINT8})
_RANDOM: Final = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
_MAX_WIDTH: Final = 65_536
_SPARSE: Final = "has sparse weights: store them dense"
_CLOSE: Final = 1e-3
_SHOWN: Final = 300


class NetworkError(ValueError):
    """The file holds no network that can be an encoder; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A network that answers images one by one.

    Attributes:
        model: its graph, of operators of ``OPSET``, and nothing that the output does not need.
        input: name of the images, float32 [rows, channels, height, width].
        output: name of what is taken of it.
        means: axes of that over which the mean is taken.
        channels: of an image.
        size: height and width that it takes, None where it takes any.
        notes: what was left.
    """

    model: Any
    input: str
    output: str
    means: tuple[int, ...]
    channels: int
    size: tuple[int | None, int | None]
    notes: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Numbers that are stored in it."""
        return sum(prod(tensor.dims) for tensor in self.model.graph.initializer if tensor.data_type in _WEIGHTS)

    def takes(self, seen: tuple[int, int]) -> bool:
        """Whether images may have that height and width."""
        return all(side in {None, own} for side, own in zip(self.size, seen, strict=True))

    def append_to(self, graph: Graph) -> str:
        """Write the nodes from images, the newest value of ``graph``, to numbers, and give their name back."""
        model = type(self.model)()
        model.CopyFrom(self.model)
        graph.append_nodes(model, given={self.input: graph.value}, output=self.output)
        if self.means:
            axes = graph.constant("places", np.array(self.means, np.int64))
            graph.add("ReduceMean", graph.value, axes, keepdims=0)
        return graph.add("Flatten", axis=1)


def read_network(content: bytes, *, channels: int | None = None) -> Network:
    """Read a file.

    Args:
        content: of it.
        channels: of an image where the file leaves that open; 3 if None.

    Raises:
        NetworkError: it is no such file, wants more than itself, or takes and gives something else.
    """
    try:
        model = onnx.load_from_string(content)
    except Exception as error:  # protobuf's own classes derive from nothing narrower
        raise NetworkError(f"is no ONNX file: {_short(error)}") from None
    _check_plain(model)
    kept = [one for one in model.opset_import if one.domain in _DOMAINS]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    try:
        checker.check_model(model)
        if _opset(model) != OPSET:
            model = version_converter.convert_version(model, OPSET)
    except Exception as error:  # as above; the converter raises whatever its C++ does
        said = f"cannot be brought to opset {OPSET}, which graphs here have"
        raise NetworkError(f"{said}: {_short(error)}: export it with that opset") from None
    name, found, size = _images(model.graph)
    output, others = _chosen(model.graph)
    notes = (f"of the outputs of its network {output} is taken",) if others else ()
    _keep_needed(model.graph, output)
    return Network(
        model=model,
        input=name,
        output=output,
        means=_means(model.graph, output),
        channels=found or channels or 3,
        size=size,
        notes=notes,
    )


def try_out(session: Any, *, given: str, output: str, shape: tuple[int, ...]) -> int:
    """The width of what a session over a network gives, which answers each row as if it were alone.

    Raises:
        NetworkError: it does not, or gives something else than numbers.
    """
    rows = np.random.default_rng(0).integers(0, 256, (_ROWS, *shape), dtype=np.uint8).astype(np.float32)
    try:
        together, alone = (session.run([output], {given: some})[0] for some in (rows, rows[-1:]))
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        shown = f"does not answer {_ROWS} images of {' x '.join(map(str, shape))} (channels, height, width)"
        raise NetworkError(f"{shown}: {_short(error)}: export it with a free first axis, for this size") from None
    if together.shape[:1] != (_ROWS,) or alone.shape[1:] != together.shape[1:]:
        raise NetworkError(f"answers {_ROWS} images with {list(together.shape)}: export it with a free first axis")
    width = int(together.shape[1])
    if not 1 <= width <= _MAX_WIDTH:
        raise NetworkError(f"makes {width} numbers of an image, and 1 to {_MAX_WIDTH} are possible")
    if not np.isfinite(together).all():
        raise NetworkError("answers an image with a value that is not finite")
    scale = float(np.abs(alone).max()) or 1.0
    if np.abs(together[-1:] - alone).max() > _CLOSE * scale:
        raise NetworkError("answers an image otherwise beside others than alone: export it for inference (eval mode)")
    return width


@contextmanager
def computable() -> Iterator[None]:
    """While what was read is put together to be computed; what the checks of a file cannot know is found here.

    Raises:
        NetworkError: its nodes do not fit together, or one of them cannot be computed.
    """
    try:
        yield
    except Exception as error:  # as in ``try_out``
        raise NetworkError(f"cannot be computed: {_short(error)}") from None


def _check_plain(model: Any) -> None:
    """Refuse a model that is more than nodes with their own weights, before anything reads what it names."""
    if not model.graph.node or not model.opset_import:
        raise NetworkError("is no ONNX file: it has no nodes")
    if model.functions:
        raise NetworkError("has functions of its own: export it without (onnx.inliner takes them out)")
    if model.training_info:
        raise NetworkError("holds training information: export it for inference")
    opset = _opset(model)
    if not OLDEST_OPSET <= opset <= OPSET:
        raise NetworkError(f"has opset {opset}, and {OLDEST_OPSET} to {OPSET} can be read: export it with {OPSET}")
    if model.graph.sparse_initializer:
        raise NetworkError(_SPARSE)
    for node in model.graph.node:
        _check_node(node)
    if any(external_data_helper.uses_external_data(tensor) for tensor in _tensors(model.graph)):
        raise NetworkError("keeps weights in another file: save the model as one file")


def _check_node(node: Any) -> None:
    told_to_learn = node.op_type == "Dropout" and any(node.input[2:])
    if node.op_type in _RANDOM or told_to_learn:
        raise NetworkError(f"draws numbers by chance ({node.op_type}): export it for inference (eval mode)")
    if node.domain not in _DOMAINS:
        raise NetworkError(f"uses operators of {node.domain[:64]!r}, and only those of ai.onnx are allowed")
    if any(one.graphs or one.HasField("g") for one in node.attribute):
        raise NetworkError(f"has a node {node.op_type} with a graph of its own: export it without control flow")
    if any(one.sparse_tensors or one.HasField("sparse_tensor") for one in node.attribute):
        raise NetworkError(_SPARSE)


def _opset(model: Any) -> int:
    return next((int(one.version) for one in model.opset_import if one.domain in _DOMAINS), OLDEST_OPSET)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (*attribute.tensors, *([attribute.t] if attribute.HasField("t") else []))


def _images(graph: Any) -> tuple[str, int | None, tuple[int | None, int | None]]:
    """The input of images: its name, and channels, height and width where it names them."""
    stored = {tensor.name for tensor in graph.initializer}
    asked = [one for one in graph.input if one.name not in stored]
    if len(asked) != 1:
        names = ", ".join(one.name for one in asked)[:_SHOWN] or "none"
        raise NetworkError(f"has the inputs {names}; one of images is expected, {_INPUT}: export the part for images")
    (one,) = asked
    told = one.type.tensor_type
    sides = [side.dim_value if side.dim_value > 0 else None for side in told.shape.dim]  # some write -1 for any
    if told.elem_type != TensorProto.FLOAT or len(sides) != _AXES:
        kind = TensorProto.DataType.Name(told.elem_type)
        raise NetworkError(f"takes {kind} of {len(sides)} axes; expected FLOAT [rows, channels, height, width]")
    rows, channels, height, width = sides
    if rows is not None:
        raise NetworkError(f"takes {rows} images, no more and no less: export it with a free first axis")
    if channels not in {None, 1, 3}:
        raise NetworkError(f"takes images of {channels} channels in its second axis; 1 or 3 are expected")
    return one.name, channels, (height, width)


def _chosen(graph: Any) -> tuple[str, list[str]]:
    """The output that is taken, and the others."""
    names = [one.name for one in graph.output]
    known = next((name for name in _PREFERRED if name in names), None)
    if known is None and len(names) != 1:
        shown, expected = ", ".join(names)[:_SHOWN], ", ".join(_PREFERRED)
        raise NetworkError(f"has the outputs {shown}; expected one of {expected}, or one alone: export it with that")
    chosen = known or names[0]
    return chosen, [name for name in names if name != chosen]


def _means(graph: Any, output: str) -> tuple[int, ...]:
    told = next(one for one in graph.output if one.name == output).type.tensor_type
    axes = len(told.shape.dim)
    if told.elem_type != TensorProto.FLOAT or axes not in _MEANS:
        kind = TensorProto.DataType.Name(told.elem_type)
        raise NetworkError(f"gives {kind} of {axes} axes as {output}; expected FLOAT of 2, 3 or 4")
    return _MEANS[axes]


def _keep_needed(graph: Any, output: str) -> None:
    """Take out what the output does not need, such as another head of the network."""
    needed, kept = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    for place, node in enumerate(kept):
        node.name = f"{node.op_type}_{len(kept) - place}"  # the file need not have names, nor different ones
    if not kept:
        raise NetworkError(f"has no node that makes its output {output}")
    stored = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, values in (("node", kept[::-1]), ("initializer", stored)):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:_SHOWN]
