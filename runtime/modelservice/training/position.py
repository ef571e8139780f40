"""Where a training is."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

from modelservice.training.part import Part

Drawn = TypeVar("Drawn")


class Position(Part):
    """In which epoch, after how many of its steps, and what their losses sum up to."""

    def __init__(self, generator: torch.Generator, *, epochs: int, device: torch.device) -> None:
        """Args: draws the order of the rows, on the CPU; how many epochs there are; where losses are computed."""
        self.generator = generator
        self.epochs = epochs
        self.epoch, self.steps = 1, 0
        self.total = torch.zeros((), device=device)
        self._begin = generator.get_state()

    def __str__(self) -> str:
        if self.epoch > self.epochs:
            return f"the end of its {self.epochs} epochs"
        return f"epoch {self.epoch} of {self.epochs}"

    def drawn(self, draw: Callable[[torch.Generator], Drawn]) -> Drawn:
        """What is drawn at the begin of the epoch: in the middle of it the same once more, and nothing is used up."""
        if self.steps:
            again = torch.Generator()
            again.set_state(self._begin)
            return draw(again)
        self._begin.copy_(self.generator.get_state())
        return draw(self.generator)

    def next_epoch(self) -> None:
        """The epoch is over."""
        self.epoch, self.steps = self.epoch + 1, 0
        self.total.zero_()

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return {"total": self.total, "begin": self._begin}

    def numbers(self) -> Mapping[str, float]:
        """See ``Part``."""
        return {"epoch": self.epoch, "steps": self.steps}

    def load(self, numbers: Mapping[str, float]) -> None:
        """See ``Part``."""
        self.epoch, self.steps = int(numbers["epoch"]), int(numbers["steps"])
