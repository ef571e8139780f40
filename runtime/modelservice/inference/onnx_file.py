"""What an ONNX file may contain, checked before onnxruntime sees it, and without the onnx package.

A model is data: it must not name files to be read beside it (external data), nor operators that are no part of a stock
onnxruntime. The file is a protobuf message; its wire format is read here, of its fields those that matter. What the
walk does not know it skips by length, and what it cannot follow it refuses.

Field numbers: ``onnx.proto`` of ONNX 1.19 (they never change). Wire format: protobuf's "Encoding" documentation.
"""

import re
from collections.abc import Iterator
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.manifest import MODEL_FILE

DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains of operators; the empty name means ai.onnx."""

MAX_DEPTH: Final = 64
"""Messages within messages, three for each graph within a graph; protobuf itself stops at 100."""

_MODEL, _GRAPH, _NODE, _ATTRIBUTE, _TENSOR, _SPARSE, _OPSET = range(7)
_CHILDREN: Final[dict[int, dict[int, int]]] = {
    _MODEL: {7: _GRAPH, 8: _OPSET},
    _GRAPH: {1: _NODE, 5: _TENSOR, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
    _OPSET: {},
}
_REFUSED: Final = {
    (_MODEL, 20): "training information",
    (_MODEL, 25): "functions of its own",
    (_TENSOR, 13): "data in another file",
    (_TENSOR, 14): "data in another file",
}
_DOMAIN_FIELD: Final = {_NODE: 7, _OPSET: 1}

Value = int | memoryview
"""Of a field: an integer, or the bytes of whatever else."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED: Final = {_FIXED64: 8, _FIXED32: 4}
_MAX_VARINT: Final = 10
_TAG_BITS: Final = 32
RUN_OF_FLOATS: Final = re.compile(rb"(?:\x3d[\s\S]{4}){1,10000}")
RUN_OF_INTS: Final = re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f]){1,10000}")
RUN_OF_MODES: Final = re.compile(rb"(?:\x4a(?:\x04LEAF|\x0aBRANCH_LEQ)){1,10000}")
"""Many ``floats`` (field 7), ``ints`` (8), or ``strings`` (9) that are modes of a tree's nodes, of an attribute.

A forest has millions of them, and ten thousand are passed over at once: what is greedy keeps each element. Possessive
patterns would not, but before Python 3.11.5 they end amid an element that fails to match, so that what follows could
be hidden (python/cpython#100061).
"""
_LISTS = re.compile(b"|".join(run.pattern for run in (RUN_OF_FLOATS, RUN_OF_INTS, RUN_OF_MODES)))


def check_onnx(content: bytes) -> None:
    """Refuse a model that is more than a graph with its own weights.

    Args:
        content: of ``model.onnx``.

    Raises:
        ArtifactError: it names data in other files, operators of other domains, functions or training information, or
            is no such file at all.
    """
    _check_message(_MODEL, memoryview(content), depth=0)


def _check_message(kind: int, message: memoryview, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ArtifactError(f"{MODEL_FILE} nests graphs too deep (more than {MAX_DEPTH} messages)")
    children, domain_field = _CHILDREN[kind], _DOMAIN_FIELD.get(kind)
    for number, value in _fields(kind, message):
        if (kind, number) in _REFUSED:
            raise ArtifactError(f"{MODEL_FILE} holds {_REFUSED[kind, number]}, which is not loaded")
        if value is None:
            continue
        if number == domain_field and (domain := bytes(value).decode(errors="replace")) not in DOMAINS:
            known = ", ".join(sorted(DOMAINS - {""}))
            raise ArtifactError(f"{MODEL_FILE} uses operators of {domain[:64]!r}, allowed are {known}")
        if (child := children.get(number)) is not None:
            _check_message(child, value, depth=depth + 1)


def _fields(kind: int, message: memoryview) -> Iterator[tuple[int, memoryview | None]]:
    """Numbers of the fields of a message, with the content of those that have one."""
    at, end = 0, len(message)
    while at < end:
        if kind == _ATTRIBUTE and (listed := _LISTS.match(message, at)) is not None:
            at = listed.end()
            continue
        number, value, at = read_field(message, at)
        yield number, None if isinstance(value, int) else value


def read_field(message: memoryview, at: int) -> tuple[int, Value, int]:
    """Number and value of the field that begins somewhere, and where it ends.

    Raises:
        ArtifactError: it cannot be followed.
    """
    tag, at = read_varint(message, at)
    if tag >> _TAG_BITS:
        raise damaged()  # protobuf cuts it, and so reads another field than is seen here
    number, wire = tag >> 3, tag & 7
    if wire == _VARINT:
        return number, *read_varint(message, at)
    if wire == _BYTES:
        length, at = read_varint(message, at)
    elif wire in _FIXED:
        length = _FIXED[wire]
    else:
        raise damaged()
    if at + length > len(message):
        raise damaged()
    return number, message[at : at + length], at + length


def read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, lowest first, that begins at ``at``, and where it ends.

    Raises:
        ArtifactError: it does not end.
    """
    result = 0
    for index, byte in enumerate(message[at : at + _MAX_VARINT]):
        result |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the highest bit says that more follow
            return result, at + index + 1
    raise damaged()


def damaged() -> ArtifactError:
    """What is said of a file that cannot be followed."""
    return ArtifactError(f"{MODEL_FILE} is not an ONNX file")
