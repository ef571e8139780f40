"""Checkpoints: everything that decides how a training goes on, between two of its steps.

A tenant can write the store, so nothing of a checkpoint is used before all of it fits: names, shapes and types of
everything must be those that the training has by itself. It is then copied into what the training has.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import torch
from numpy.typing import NDArray
from torch import nn

import modelservice
from modelservice.training.checkpoint_file import (
    MAX_MACHINES,
    Checkpoint,
    CheckpointError,
    Machine,
    decode,
    encode,
    most_bytes,
)
from modelservice.training.checkpointing import Checkpointing
from modelservice.training.part import Part
from modelservice.training.peers import PeerLostError
from modelservice.training.position import Position
from modelservice.training.ranks import ALONE, Ranks, tensor_of

_LARGEST_COUNT: Final = 2**40
"""More steps than any training does; what is multiplied by it still fits everywhere."""
_LARGEST_SHARE: Final = 0.05
"""Of the time, for writing checkpoints: after one that took long the next one comes later."""


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
        """Args: where it is, and all other parts by name; ``tensors`` may be parts of whole ones."""
        self.position = position
        self._parts: Mapping[str, Part] = {"position": position, **parts}
        self._generators = {"order": position.generator, "cpu": torch.default_generator}
        device = position.total.device
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self._generators["cuda"] = torch.cuda.default_generators[index]
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

    def check(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> None:
        """Make sure that a training can be in such a state; names, shapes and types are ``tensors`` and ``numbers``.

        Raises:
            CheckpointError: no training can be.
        """
        for name, part in self._parts.items():
            own = {one: arrays[f"{name}.{one}"] for one in part.tensors()}
            if (why := part.refusal(own, {one: numbers[f"{name}.{one}"] for one in part.numbers()})) is not None:
                raise CheckpointError(f"{name}.{why}")
        drawn = {name: tensor_of(arrays[f"random.{name}"]) for name in self._generators}
        _set_states(self._generators, drawn)

    def load(self, found: "Found | None", ranks: Ranks) -> None:
        """Copy everything that rank 0 found, and checked, in all processes; the others found nothing."""
        arrays, own = (found.arrays, found.numbers) if found else ({}, self.numbers())
        numbers = dict(zip(own, ranks.as_first(*own.values()), strict=True))
        tensors = self.tensors()
        with torch.no_grad():
            for name, tensor in tensors.items():
                ranks.fill(tensor, arrays.get(name))
        _set_states(self._generators, {name: tensors[f"random.{name}"] for name in self._generators})
        for name, part in self._parts.items():
            part.load({one: numbers[f"{name}.{one}"] for one in part.numbers()})


class Found(NamedTuple):
    """What a checkpoint holds."""

    machines: tuple[Machine, ...]
    arrays: Mapping[str, NDArray[Any]]
    numbers: Mapping[str, float]


class Session:
    """What keeps the checkpoints of one training."""

    def __init__(self, checkpointing: Checkpointing, training: Training, ranks: Ranks) -> None:
        """Args: where and how often, of what, and by which processes; rank 0 alone reads and writes."""
        self._settings, self._training, self._ranks = checkpointing, training, ranks
        self._machine = training.machine.model_copy(update={"ranks": ranks.size})
        self._machines: tuple[Machine, ...] = (self._machine,)
        self._due = checkpointing.clock() + checkpointing.every_seconds
        self._kept = False

    def resume(self) -> bool:
        """Go on from the last checkpoint, if there is one of this training."""
        settings, training = self._settings, self._training
        found = self._read() if self._ranks.rank == 0 else None
        (self._kept,) = self._ranks.any_of(found is not None)
        if not self._kept:
            return False
        training.load(found, self._ranks)
        if found is None:
            return True
        settings.say(f"{settings.name} went on from {training.position}")
        self._machines = found.machines
        if self._machine != found.machines[-1]:
            self._machines = (*found.machines[1 - MAX_MACHINES :], self._machine)
        if len(set(map(str, self._machines))) > 1:
            ran = "; then ".join(map(str, self._machines))
            settings.notes.append(
                f"{settings.name}: interrupted, and went on where sums are rounded otherwise ({ran}): a run on one"
                " machine may end with slightly other weights"
            )
        return True

    def offer(self) -> None:
        """Between two steps: write a checkpoint if one is due; end where that was asked for, of any process."""
        settings = self._settings
        asked = settings.interruption.asked
        asked, due = self._ranks.any_of(asked, not asked and settings.clock() >= self._due)
        if asked or due:
            self._write()
        if asked:
            settings.interruption.obey()
            raise PeerLostError("another worker of the training was asked to end")

    def finish(self) -> None:
        """Nothing is left to do: who comes after an interruption of what follows need not do it again."""
        if self._kept:
            self._write()

    def _write(self) -> None:
        settings, training = self._settings, self._training
        begun = settings.clock()
        tensors = {}
        for name, tensor in training.tensors().items():
            whole = self._ranks.whole(tensor)
            if self._ranks.rank == 0:  # all others let go of it
                tensors[name] = whole.cpu()
        if tensors:
            self._store(tensors)
        self._kept = True
        ended = settings.clock()
        self._due = ended + max(settings.every_seconds, (ended - begun) / _LARGEST_SHARE)

    def _read(self) -> Found | None:
        """The last checkpoint, if there is one, and it is one of this training."""
        settings, training = self._settings, self._training
        tensors = training.tensors()
        content = settings.store.read(settings.name, limit=most_bytes(tensors))
        if content is None:
            return None
        try:
            document, arrays = decode(content, tensors)
            _check_belongs(document, settings)
            numbers = _checked(document.numbers, training.numbers())
            training.check(arrays, numbers)
        except CheckpointError as error:
            settings.say(f"a checkpoint of {settings.name} is not used: {error}")
            return None
        return Found(document.machines, arrays, numbers)

    def _store(self, tensors: Mapping[str, torch.Tensor]) -> None:
        settings, training = self._settings, self._training
        document = Checkpoint(
            modelservice=modelservice.__version__,
            key=settings.key,
            data=settings.data,
            name=settings.name,
            machines=self._machines,
            numbers=training.numbers(),
        )
        settings.store.write(settings.name, *encode(document, tensors))


@contextmanager
def resumable(checkpointing: Checkpointing, training: Training, ranks: Ranks = ALONE) -> Iterator[Session]:
    """Inside, the end of the process is put off to the next ``offer``."""
    with checkpointing.interruption.put_off():
        session = Session(checkpointing, training, ranks)
        yield session
        session.finish()


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
    """The numbers, if they are of the names and types that are expected, and counts can be counts."""
    if found.keys() != expected.keys():
        raise CheckpointError("its numbers are not those of this training")
    for name, number in found.items():
        right = type(number) is type(expected[name])
        if not right or not (0 <= number <= _LARGEST_COUNT if type(number) is int else not math.isnan(number)):
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
