"""The file of a checkpoint: safetensors, whose metadata are a JSON document and a digest over document and tensors."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, StringConstraints

from modelservice.contract.base import Tolerant
from modelservice.contract.digests import written
from modelservice.contract.documents import Document, DocumentError, read_document

MAX_MACHINES: Final = 8
"""Of which a checkpoint tells, and a note."""
_DTYPES: Final = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""As safetensors calls them."""
_MAX_DOCUMENT_BYTES: Final = 2**20
_DOCUMENT, _DIGEST = "document", "sha256"
_LENGTH_BYTES, _ALIGNMENT = 8, 8


_Words = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,100}$")]
"""What a note may repeat."""


class Machine(Tolerant):
    """What decides how sums are rounded."""

    device: _Words
    instruction_set: _Words
    threads: int
    torch: _Words
    ranks: int = 1

    def __str__(self) -> str:
        said = f"{self.device}, {self.instruction_set}, threads: {self.threads}, torch {self.torch}"
        return said if self.ranks == 1 else f"{said}, processes: {self.ranks}"


class Checkpoint(Document):
    """The document: which training it is of, what it ran on so far, and the numbers of its parts."""

    kind: Literal["Checkpoint"] = "Checkpoint"
    modelservice: str
    key: str
    data: str
    name: str
    machines: Annotated[tuple[Machine, ...], Field(min_length=1, max_length=MAX_MACHINES)]
    numbers: dict[str, Any]


class CheckpointError(ValueError):
    """A checkpoint is not one of this training; the message is what is wrong with it."""


def encode(document: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> Iterator[memoryview | bytes]:
    """The parts of the file one after the other; tensors on the CPU are not copied."""
    buffers = [_buffer(tensors[name]) for name in _ordered(tensors)]
    # As Python has it: the lowest loss is infinite until there is one, and JSON knows no infinity.
    said = json.dumps(document.model_dump(by_alias=True))
    metadata = {_DOCUMENT: said, _DIGEST: _digest(said, buffers)}
    yield _header({"__metadata__": metadata, **_table(tensors)})
    yield from buffers


def decode(content: bytes, expected: Mapping[str, torch.Tensor]) -> tuple[Checkpoint, Mapping[str, NDArray[Any]]]:
    """The document and the tensors of a file, which are not copied.

    Args:
        content: of any kind.
        expected: tensors of the same names, shapes and kinds.

    Raises:
        CheckpointError: it is no checkpoint with such tensors.
    """
    start = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    try:
        header = json.loads(content[_LENGTH_BYTES:start])
        metadata = header.pop("__metadata__")
        said, digest = metadata[_DOCUMENT], metadata[_DIGEST]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError("it is damaged, or no checkpoint") from None
    data = memoryview(content)[start:]
    try:
        whole = isinstance(said, str) and _digest(said, [data]) == digest
    except UnicodeError:  # half of a pair of surrogates, which JSON may hold and no text of ours does
        whole = False
    if not whole:
        raise CheckpointError("it is damaged: its sha256 differs")
    try:
        document = read_document("it", said, Checkpoint)
    except DocumentError as error:
        raise CheckpointError(str(error)) from None
    table = _table(expected)
    if header != table or len(data) != _size(expected):
        raise CheckpointError("its tensors are not those of this training")
    tensors = {}
    for name, entry in table.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[begin:end], dtype=_numpy_dtype(expected[name]))
        tensors[name] = array.reshape(entry["shape"])
    return document, tensors


def most_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    """Of a file with such tensors."""
    return len(_header(_table(tensors))) + _MAX_DOCUMENT_BYTES + _size(tensors)


def _ordered(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """Names in the order of the file: large items first, so that each lies at a multiple of its size."""
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


def _table(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """What the header says of tensors."""
    table, begin = {}, 0
    for name in _ordered(tensors):
        tensor = tensors[name]
        end = begin + tensor.nbytes
        table[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
        begin = end
    return table


def _header(said: Mapping[str, Any]) -> bytes:
    text = json.dumps(said).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def _size(tensors: Mapping[str, torch.Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _buffer(tensor: torch.Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().numpy().reshape(-1).view(np.uint8).data


def _numpy_dtype(tensor: torch.Tensor) -> Any:
    return torch.empty(0, dtype=tensor.dtype).numpy().dtype


def _digest(document: str, buffers: list[memoryview]) -> str:
    hasher = hashlib.sha256(document.encode())
    for buffer in buffers:
        hasher.update(buffer)
    return written(hasher)
