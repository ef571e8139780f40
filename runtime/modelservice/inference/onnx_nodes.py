"""Nodes and constants of an ONNX file, read without the onnx package; and a file of some of them.

It is for those parts of a model that somebody looks at, of a file that ``check_onnx`` passed. Lists of numbers are read
at once: a forest has millions of them. Field numbers and wire format: see ``onnx_file``.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.inference.onnx_file import RUN_OF_FLOATS, RUN_OF_INTS, RUN_OF_MODES, Value, damaged, read_field

_VARINT, _BYTES = 0, 2
_OF_MODEL: Final = {"ir_version": 1, "graph": 7, "opset_import": 8}
_OF_GRAPH: Final = {"node": 1, "name": 2, "initializer": 5, "input": 11, "output": 12}
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW = 1, 2, 8, 9
_NAME, _FLOAT, _INT, _BYTES_OF, _TENSOR, _FLOATS, _INTS, _STRINGS = 1, 2, 3, 4, 5, 7, 8, 9
_TYPES: Final = {1: "<f4", 7: "<i8", 11: "<f8"}
"""Types of elements that are read, and how raw data holds them."""
_PACKED: Final = {1: 4, 11: 10}
"""The field that holds the elements of a tensor without raw data, as raw data would."""
_SIGNED: Final = 1 << 63


class Node(NamedTuple):
    """One node; ``message`` is all of it."""

    operator: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    message: memoryview

    def attributes(self) -> dict[str, Any]:
        """By name: a number, bytes, or an array, of texts one of bytes; None for what is not read.

        Raises:
            ArtifactError: they are damaged.
        """
        return dict(_attribute(_message(value)) for number, value in fields(self.message) if number == _ATTRIBUTE)


class OnnxNodes:
    """A graph.

    Attributes:
        nodes: in the order of the file.
    """

    def __init__(self, content: bytes) -> None:
        """Args: the bytes of ``model.onnx``.

        Raises:
            ArtifactError: they are damaged.
        """
        self._model = tuple(fields(memoryview(content)))
        graphs = [_message(value) for number, value in self._model if number == _OF_MODEL["graph"]]
        self._graph = tuple(field for graph in graphs for field in fields(graph))
        self.nodes = tuple(_node(_message(value)) for number, value in self._graph if number == _OF_GRAPH["node"])

    @cached_property
    def _constants(self) -> dict[str, memoryview]:
        messages = (_message(value) for number, value in self._graph if number == _OF_GRAPH["initializer"])
        return {_text(message, _TENSOR_NAME): message for message in messages}

    def constant(self, name: str) -> NDArray[Any] | None:
        """A stored array; None where there is none of this name, or of a type that is not read."""
        message = self._constants.get(name)
        return None if message is None else _tensor(message)

    def consumers(self, name: str) -> list[Node]:
        """Nodes that take a value."""
        return [node for node in self.nodes if name in node.inputs]

    def rest(self, name: str, *, width: int) -> bytes:
        """``model.onnx`` from a value on: it takes float32 [rows, width], and gives what the model gives.

        Args:
            name: of the value, from which all that the model answers with comes.
            width: of the value.
        """
        kept, known = [], {name}
        for node in self.nodes:
            if known.intersection(node.inputs):
                known.update(node.outputs)
                kept.append(node)
        used = sorted({one for node in kept for one in node.inputs} & self._constants.keys())
        graph = b"".join(
            (
                *(_written(_OF_GRAPH["node"], node.message) for node in kept),
                _written(_OF_GRAPH["name"], b"rest"),
                *(_written(_OF_GRAPH["initializer"], self._constants[one]) for one in used),
                _written(_OF_GRAPH["input"], _rows_of_floats(name, width)),
                *_copied(self._graph, _OF_GRAPH["output"]),
            )
        )
        around = (*_copied(self._model, _OF_MODEL["ir_version"]), *_copied(self._model, _OF_MODEL["opset_import"]))
        return b"".join((*around, _written(_OF_MODEL["graph"], graph)))


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Numbers and values of the fields of a message.

    Raises:
        ArtifactError: it is damaged.
    """
    at = 0
    while at < len(message):
        number, value, at = read_field(message, at)
        yield number, value


def _message(value: Value) -> memoryview:
    if isinstance(value, int):
        raise damaged()
    return value


def _text(message: memoryview, field: int) -> str:
    return next((bytes(_message(value)).decode() for number, value in fields(message) if number == field), "")


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATOR: [], _DOMAIN: []}
    for number, value in fields(message):
        if number in texts:
            texts[number].append(bytes(_message(value)).decode())
    inputs, outputs, operator, domain = texts.values()
    return Node("".join(operator), "".join(domain), tuple(inputs), tuple(outputs), message)


def _attribute(message: memoryview) -> tuple[str, Any]:
    name, found, at = "", None, 0
    lists: dict[int, list[NDArray[Any]]] = {}
    while at < len(message):
        number, run = _run(message, at)
        if run is not None:
            lists.setdefault(number, []).append(_RUNS[number][1](message[at : run.end()]))
            at = run.end()
            continue
        number, value, at = read_field(message, at)
        if number == _NAME:
            name = bytes(_message(value)).decode()
        elif number in _SINGLE:
            found = _SINGLE[number](value)
        elif number in _RUNS:
            lists.setdefault(number, []).append(_PACKED_LISTS[number](_message(value)))
    for parts in lists.values():
        found = np.concatenate(parts)
    return name, found


def _run(message: memoryview, at: int) -> tuple[int, re.Match[bytes] | None]:
    """The list that goes on somewhere, and how far."""
    found = ((number, run.match(message, at)) for number, (run, _) in _RUNS.items())
    return next(((number, match) for number, match in found if match is not None), (0, None))


def _floats(run: memoryview) -> NDArray[Any]:
    return np.frombuffer(run, np.uint8).reshape(-1, 5)[:, 1:].copy().view("<f4")[:, 0]


def _varints(run: memoryview, *, tagged: bool) -> NDArray[Any]:
    """Integers, each after a byte that is its tag, or without."""
    if not len(run):
        return np.zeros(0, np.int64)
    data = np.frombuffer(run, np.uint8)
    stops = np.flatnonzero(data < 0x80)  # noqa: PLR2004 - the highest bit says that more follow
    starts = np.concatenate([[0], stops[:-1] + 1])
    if tagged:
        starts, stops = starts[1::2], stops[1::2]
    found = np.zeros(len(starts), np.uint64)
    for place in range(int((stops - starts).max(initial=-1)) + 1):
        longer = np.flatnonzero(stops - starts >= place)
        found[longer] |= (data[starts[longer] + place] & np.uint64(0x7F)) << np.uint64(7 * place)
    return found.view(np.int64)


def _modes(run: memoryview) -> NDArray[Any]:
    leaf, branch = b"\x4a\x04LEAF", b"\x4a\x0aBRANCH_LEQ"
    letters = np.frombuffer(bytes(run).replace(leaf, b"L").replace(branch, b"B"), "S1")
    return np.where(letters == b"L", b"LEAF", b"BRANCH_LEQ")


def _integer(value: Value) -> int:
    if not isinstance(value, int):
        raise damaged()
    return value - 2 * _SIGNED if value >= _SIGNED else value


def _tensor(value: Value) -> NDArray[Any] | None:
    """An array; None of a type that is not read, or with its elements in another form."""
    shape: list[int] = []
    element, data = 0, dict[int, Value]()
    for number, one in fields(_message(value)):
        if number == _DIMS:
            shape += [one] if isinstance(one, int) else _varints(one, tagged=False).tolist()
        elif number == _DATA_TYPE:
            element = _integer(one)
        else:
            data[number] = one
    raw = data.get(_RAW, data.get(_PACKED.get(element, 0)))
    if element not in _TYPES or not isinstance(raw, memoryview):
        return None
    array = np.frombuffer(raw, _TYPES[element])
    if array.size != int(np.prod(shape, dtype=np.int64)):
        raise damaged()
    return array.reshape(shape)


_RUNS: Final[dict[int, tuple[re.Pattern[bytes], Callable[[memoryview], Any]]]] = {
    _FLOATS: (RUN_OF_FLOATS, _floats),
    _INTS: (RUN_OF_INTS, lambda run: _varints(run, tagged=True)),
    _STRINGS: (RUN_OF_MODES, _modes),
}
"""Lists of an attribute whose elements are fields of their own."""
_PACKED_LISTS: Final[dict[int, Callable[[memoryview], Any]]] = {
    _FLOATS: lambda packed: np.frombuffer(packed, "<f4"),
    _INTS: lambda packed: _varints(packed, tagged=False),
    _STRINGS: lambda text: np.array([bytes(text)]),
}
"""The same in one field; of texts there is no such form, and it is one of them."""
_SINGLE: Final[dict[int, Callable[[Value], Any]]] = {
    _FLOAT: lambda value: float(np.frombuffer(_message(value), "<f4")[0]),
    _INT: _integer,
    _BYTES_OF: lambda value: bytes(_message(value)),
    _TENSOR: _tensor,
}


def _copied(message: Sequence[tuple[int, Value]], field: int) -> Iterator[bytes]:
    return (_written(number, value) for number, value in message if number == field)


def _written(number: int, value: Value | bytes) -> bytes:
    """One field."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _BYTES) + _varint(len(value)) + bytes(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _rows_of_floats(name: str, width: int) -> bytes:
    """A ``ValueInfoProto`` of float32 [rows, width]."""
    dimensions = _written(1, _written(2, b"rows")) + _written(1, _written(1, width))
    tensor = _written(1, 1) + _written(2, dimensions)
    return _written(1, name.encode()) + _written(2, _written(1, tensor))
