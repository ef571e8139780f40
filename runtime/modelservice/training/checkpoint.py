"""Checkpoints: everything that decides how a training goes on, between two of its steps.

A checkpoint is one safetensors file, whose metadata are a JSON document and a digest over document and tensors. A
tenant can write the store, so nothing of one is used before all of it fits: names, shapes and kinds of everything must
be those that the training has by itself. It is then copied into what the training has.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

import modelservice
from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document, DocumentError, read_document
from modelservice.training.checkpointing import Checkpointing
from modelservice.training.part import Part
from modelservice.training.position import Position

_DTYPES: Final = {torch.float64: "F64", torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}
"""As safetensors calls them."""
_MAX_DOCUMENT_BYTES: Final = 2**20
_DOCUMENT, _DIGEST = "document", "sha256"
_LENGTH_BYTES, _ALIGNMENT = 8, 8
_LARGEST_SHARE: Final = 20
"""A checkpoint is not begun sooner than so many times as long after the last one as that took."""
_MAX_MACHINES: Final = 100


class Machine(Tolerant):
    """What decides how sums are rounded."""

    device: str
    instruction_set: str
    threads: int
    torch: str

    def __str__(self) -> str:
        return f"{self.device}, {self.instruction_set}, threads: {self.threads}, torch {self.torch}"


class Checkpoint(Document):
    """The document: which training it is of, what it ran on so far, and the numbers of its parts."""

    kind: Literal["Checkpoint"] = "Checkpoint"
    modelservice: str
    key: str
    data: str
    name: str
    machines: Annotated[tuple[Machine, ...], Field(min_length=1, max_length=_MAX_MACHINES)]
    numbers: dict[str, Any]


class CheckpointError(ValueError):
    """A checkpoint is not one of this training; the message is what is wrong with it."""


class ModuleWeights(Part):
    """The weights of a module."""

    def __init__(self, module: nn.Module) -> None:
        """Args: the module."""
        self._module = module

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return self._module.state_dict()


class Training:
    """A training under way: its parts, and the generators that it draws from."""

    def __init__(self, position: Position, **parts: Part) -> None:
        """Args: where it is, and all other parts by name."""
        self.position = position
        self._parts: Mapping[str, Part] = {"position": position, **parts}
        self._generators = {"order": position.generator, "cpu": torch.default_generator}
        device = position.total.device
        if device.type == "cuda":
            self._generators["cuda"] = torch.cuda.default_generators[device.index or torch.cuda.current_device()]
        self.machine = Machine(
            device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            instruction_set=torch.backends.cpu.get_cpu_capability(),
            threads=torch.get_num_threads(),
            torch=str(torch.__version__),
        )

    def tensors(self) -> dict[str, torch.Tensor]:
        """All tensors; those of generators are copies."""
        found = {f"{name}.{one}": t for name, part in self._parts.items() for one, t in part.tensors().items()}
        return found | {f"random.{name}": one.get_state() for name, one in self._generators.items()}

    def numbers(self) -> dict[str, float]:
        """All numbers."""
        return {f"{name}.{one}": n for name, part in self._parts.items() for one, n in part.numbers().items()}

    def load(self, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, float]) -> None:
        """Take everything over; names, shapes and types are those of ``tensors`` and ``numbers``.

        Raises:
            CheckpointError: no generator can be in such a state; nothing was taken over.
        """
        drawn = {name: tensors[f"random.{name}"] for name in self._generators}
        _set_states(self._generators, drawn)
        with torch.no_grad():
            for name, part in self._parts.items():
                for one, tensor in part.tensors().items():
                    tensor.copy_(tensors[f"{name}.{one}"])
                part.load({one: numbers[f"{name}.{one}"] for one in part.numbers()})


class Session:
    """What keeps the checkpoints of one training."""

    def __init__(self, checkpointing: Checkpointing, training: Training) -> None:
        """Args: where and how often, and of what."""
        self._settings, self._training = checkpointing, training
        self._machines: tuple[Machine, ...] = (training.machine,)
        self._due = checkpointing.clock() + checkpointing.every_seconds
        self._kept = False

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one of this training."""
        settings, training = self._settings, self._training
        tensors = training.tensors()
        content = settings.store.read(settings.name, limit=_most_bytes(tensors))
        if content is None:
            return False
        try:
            document, found = decode(content, tensors)
            _check_belongs(document, settings)
            training.load(found, _checked(document.numbers, training.numbers()))
        except CheckpointError as error:
            settings.say(f"a checkpoint of {settings.name} is not used: {error}")
            return False
        settings.say(f"{settings.name} went on from {training.position}")
        self._kept = True
        self._machines = document.machines
        if training.machine != document.machines[-1]:
            self._machines = (*document.machines[1 - _MAX_MACHINES :], training.machine)
        if len(set(map(str, self._machines))) > 1:
            ran = "; then ".join(map(str, self._machines))
            settings.notes.append(
                f"{settings.name}: interrupted, and went on where sums are rounded otherwise ({ran}): a run on one"
                " machine may end with slightly other weights"
            )
        return True

    def offer(self) -> None:
        """Between two steps: write a checkpoint if one is due; end where that was asked for."""
        settings = self._settings
        if settings.interruption.asked:
            self._write()
            settings.interruption.obey()
        elif settings.clock() >= self._due:
            self._write()

    def finish(self) -> None:
        """Nothing is left to do: who comes after an interruption of what follows need not do it again."""
        if self._kept:
            self._write()

    def _write(self) -> None:
        settings, training = self._settings, self._training
        begun = settings.clock()
        document = Checkpoint(
            modelservice=modelservice.__version__,
            key=settings.key,
            data=settings.data,
            name=settings.name,
            machines=self._machines,
            numbers=training.numbers(),
        )
        settings.store.write(settings.name, *encode(document, training.tensors()))
        self._kept = True
        ended = settings.clock()
        self._due = ended + max(settings.every_seconds, _LARGEST_SHARE * (ended - begun))


@contextmanager
def resumable(checkpointing: Checkpointing, training: Training) -> Iterator[Session]:
    """Inside, the end of the process is put off to the next ``offer``."""
    with checkpointing.interruption.put_off():
        session = Session(checkpointing, training)
        yield session
        session.finish()


def encode(document: Checkpoint, tensors: Mapping[str, torch.Tensor]) -> Iterator[memoryview | bytes]:
    """The parts of the file one after the other; tensors on the CPU are not copied."""
    buffers = [_buffer(tensors[name]) for name in _ordered(tensors)]
    # As Python has it: the lowest loss is infinite until there is one, and JSON knows no infinity.
    said = json.dumps(document.model_dump(by_alias=True))
    metadata = {_DOCUMENT: said, _DIGEST: _digest(said, buffers)}
    yield _header({"__metadata__": metadata, **_table(tensors)})
    yield from buffers


def decode(content: bytes, expected: Mapping[str, torch.Tensor]) -> tuple[Checkpoint, Mapping[str, torch.Tensor]]:
    """The document and the tensors of a file.

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
    if not isinstance(said, str) or _digest(said, [data]) != digest:
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
        tensors[name] = torch.from_numpy(array.copy()).reshape(expected[name].shape)
    return document, tensors


def _check_belongs(document: Checkpoint, settings: Checkpointing) -> None:
    pairs = (
        ("release", document.modelservice, modelservice.__version__),
        ("key", document.key, settings.key),
        ("digest of the data", document.data, settings.data),
        ("training", document.name, settings.name),
    )
    for what, found, own in pairs:
        if found != own:
            raise CheckpointError(f"it is of {what} {found[:80]!r}, this one is {own!r}")


def _checked(found: Mapping[str, Any], expected: Mapping[str, float]) -> dict[str, float]:
    """The numbers, if they are of the names and types that are expected, and none is below 0 that counts."""
    if found.keys() != expected.keys():
        raise CheckpointError("its numbers are not those of this training")
    for name, number in found.items():
        counts = type(expected[name]) is int
        if type(number) is not type(expected[name]) or (counts and number < 0) or math.isnan(number):
            raise CheckpointError(f"{name} cannot be {str(number)[:40]}")
    return dict(found)


def _set_states(generators: Mapping[str, torch.Generator], states: Mapping[str, torch.Tensor]) -> None:
    before = {name: one.get_state() for name, one in generators.items()}
    try:
        for name, generator in generators.items():
            generator.set_state(states[name])
    except RuntimeError:
        for name, generator in generators.items():
            generator.set_state(before[name])
        raise CheckpointError("no generator of random numbers can be as it says") from None


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


def _most_bytes(tensors: Mapping[str, torch.Tensor]) -> int:
    return len(_header(_table(tensors))) + _MAX_DOCUMENT_BYTES + _size(tensors)


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
    return f"sha256:{hasher.hexdigest()}"
