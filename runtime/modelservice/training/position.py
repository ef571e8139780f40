"""Where a training is."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from numpy.typing import NDArray

from modelservice.training.part import Part

Drawn = TypeVar("Drawn")


class Position(Part):
    """In which epoch, after how many of its steps, and what their losses sum up to."""

    def __init__(self, generator: torch.Generator, *, epochs: int, steps: int, device: torch.device) -> None:
        """Args: draws the order of the rows, on the CPU; how many epochs, and steps of one; where losses are."""
        self.generator = generator
        self.epochs, self._steps_of_epoch = epochs, steps
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

    def refusal(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> str | None:
        """See ``Part``."""
        epoch, steps = numbers["epoch"], numbers["steps"]
        if not 1 <= epoch <= self.epochs + 1:
            return f"epoch cannot be {epoch} of {self.epochs}"
        if steps > self._steps_of_epoch:
            return f"steps cannot be {steps} of {self._steps_of_epoch}"
        try:
            torch.Generator().set_state(torch.from_numpy(arrays["begin"].copy()))
        except RuntimeError:
            return "begin is no state of a generator"
        return super().refusal(arrays, numbers)

    def load(self, numbers: Mapping[str, float]) -> None:
        """See ``Part``."""
        self.epoch, self.steps = int(numbers["epoch"]), int(numbers["steps"])
