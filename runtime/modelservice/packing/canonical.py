"""``model.onnx`` of any graph: one input of rows, float32 [rows, width], one output, and the graph as it is between."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Final

import numpy as np
from onnx import TensorProto, checker, compose, helper, numpy_helper

from modelservice.contract.manifest import INPUT_NAME, OUTPUT_NAME
from modelservice.packing.errors import PackError, short
from modelservice.packing.onnx_source import OnnxSource, SourceOutput
from modelservice.packing.self_contained import OLDEST_OPSET

_OURS: Final = "packed/"
_ROWS: Final = "rows"
_IR_VERSION: Final = 8
"""From 4 on stored weights need not be inputs."""


class Ending(Enum):
    """What is done to the chosen outputs: nothing; or what makes probabilities of a single one."""

    AS_IT_IS = auto()
    SOFTMAX = auto()
    SIGMOID = auto()
    BOTH_OF_TWO = auto()


def canonical(source: OnnxSource, outputs: Sequence[SourceOutput], ending: Ending) -> bytes:
    """The file with nodes in front, which give each input its part of a row, and behind, which join the outputs.

    Args:
        source: the file.
        outputs: those that are served.
        ending: what is done to their numbers.

    Raises:
        PackError: it cannot be put together.
    """
    model = type(source.model)()
    model.CopyFrom(source.model)
    if _is_taken(model.graph):
        model = compose.add_prefix(model, "model/")
    graph, start = model.graph, {one.name: number for number, one in enumerate(source.inputs)}
    given = [one.name for one in graph.input if one.name.removeprefix("model/") in start]
    named = {one.name: one.name for one in graph.output} | {
        one.name.removeprefix("model/"): one.name for one in graph.output
    }
    nodes = _Nodes()
    at = 0
    for one, name in zip(source.inputs, given, strict=True):
        part = INPUT_NAME
        if len(source.inputs) > 1:
            places = nodes.constant(np.arange(at, at + one.size, dtype=np.int64))
            part = nodes.add("Gather", INPUT_NAME, places, axis=1)
        at += one.size
        shape = (-1,) if one.rank == 1 else (-1, *one.shape)
        nodes.add("Cast", nodes.add("Reshape", part, nodes.constant(np.array(shape, np.int64))), to=one.kind, name=name)
    inner = list(graph.node)
    front, nodes.nodes = nodes.nodes, []
    rows = [nodes.add("Flatten", nodes.add("Cast", named[one.name], to=TensorProto.FLOAT), axis=1) for one in outputs]
    _end(nodes, rows[0] if len(rows) == 1 else nodes.add("Concat", *rows, axis=1), ending)
    for field, values in (
        ("node", [*front, *inner, *nodes.nodes]),
        ("input", [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [_ROWS, at])]),
        ("output", [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [_ROWS, None])]),
    ):
        del getattr(graph, field)[:]
        getattr(graph, field).extend(values)
    graph.initializer.extend(nodes.constants)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    if not any(used.domain in {"", "ai.onnx"} for used in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", OLDEST_OPSET))
    try:
        checker.check_model(model)
    except checker.ValidationError as error:
        raise PackError(f"the graph cannot be joined with its inputs: {short(error)}") from None
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Nodes:
    """Nodes in the making, whose names nobody else has."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._number = 0

    def add(self, operator: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """A node, and the name of what it gives."""
        self._number += 1
        own = f"{_OURS}{operator}_{self._number}"
        self.nodes.append(helper.make_node(operator, inputs, [name or own], name=own, **attributes))
        return name or own

    def constant(self, value: Any) -> str:
        """An array, and its name."""
        name = f"{_OURS}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def _end(nodes: _Nodes, value: str, ending: Ending) -> None:
    match ending:
        case Ending.SOFTMAX:
            value = nodes.add("Softmax", value, axis=1)
        case Ending.SIGMOID | Ending.BOTH_OF_TWO:
            second = nodes.add("Sigmoid", value) if ending is Ending.SIGMOID else value
            first = nodes.add("Sub", nodes.constant(np.array([[1]], np.float32)), second)
            value = nodes.add("Concat", first, second, axis=1)
        case Ending.AS_IT_IS:
            pass
    nodes.add("Identity", value, name=OUTPUT_NAME)


def _is_taken(graph: Any) -> bool:
    """Whether the graph has a value of a name that is ours."""
    values = {name for node in graph.node for name in (*node.input, *node.output)}
    return bool(values & {INPUT_NAME, OUTPUT_NAME}) or any(name.startswith(_OURS) for name in values)
