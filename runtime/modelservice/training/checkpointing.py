"""Which training keeps its checkpoints where, and how often; the checkpoints themselves are in ``checkpoint``."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Self

from modelservice.artifact.stores import Checkpoints, NoCheckpoints
from modelservice.contract.digests import joined
from modelservice.training.interruption import Interruption

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(frozen=True, kw_only=True)
class Checkpointing:
    """What a training needs to go on where an earlier process was stopped.

    Attributes:
        store: where checkpoints are kept; raises nothing.
        key: of what is made; a checkpoint of another key is none of this training's.
        data: digest of the data, and of what reads them where that is no part of the key; likewise.
        name: of the training among those of the key.
        every_seconds: between checkpoints.
        clock: says when they are due.
        interruption: asks for the last one.
        say: is told in a sentence from where the training goes on, and why not from a checkpoint that is there.
        notes: sentences on what the result has of that, which this training adds to.
    """

    store: Checkpoints
    key: str
    data: str
    name: str = "train"
    every_seconds: float
    clock: Clock
    interruption: Interruption
    say: Callable[[str], None]
    notes: list[str] = field(default_factory=list)

    def of(self, name: str) -> Self:
        """That of another training of the same key and data; the notes are those of all."""
        return replace(self, name=name)

    def beside(self, digest: str) -> Self:
        """That of a training that reads the data by what has this digest, such as an encoder's weights."""
        return replace(self, data=joined([self.data, digest]))


def _nobody(_sentence: str) -> None:
    """Nobody listens."""


BEGINS_ANEW: Final = Checkpointing(
    store=NoCheckpoints(),
    key="",
    data="",
    every_seconds=float("inf"),
    clock=time.monotonic,
    interruption=Interruption(KeyboardInterrupt),
    say=_nobody,
)
"""That of a training that keeps nothing."""
