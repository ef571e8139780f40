"""``spec.training.schedule`` and ``earlyStopping``: how the learning rate changes, and when enough is enough."""

import math
from collections.abc import Mapping

from modelservice.contract.optimizers import Cosine, Plateau, Schedule, Stairs
from modelservice.contract.training import EarlyStopping
from modelservice.training.part import Part


class Waiting:
    """Counts epochs since the validation loss was lower than ever before."""

    def __init__(self) -> None:
        self.epochs = 0
        self.lowest = math.inf

    def observe(self, loss: float) -> None:
        """Tell the loss of one more epoch."""
        self.epochs = 0 if loss < self.lowest else self.epochs + 1
        self.lowest = min(self.lowest, loss)


class Pace(Part):
    """Which share of the learning rate each epoch has, and whether there is another one.

    Args:
        schedule: None keeps the rate as it is.
        stopping: None stops after the last epoch only.
        epochs: how many there are at most.
    """

    def __init__(self, schedule: Schedule | None, stopping: EarlyStopping | None, *, epochs: int) -> None:
        self._schedule = None if schedule is None else schedule.chosen
        self._stopping = stopping
        self._epochs = epochs
        self._unchanged, self._since_fall = Waiting(), Waiting()
        self._falls = 0

    def share(self, epoch: int) -> float:
        """Share of the learning rate in an epoch, from 1."""
        match self._schedule:
            case Cosine() as cosine:
                return cosine_share(cosine, epoch, self._epochs)
            case Stairs(every_epochs=every, factor=factor):
                return float(factor ** ((epoch - 1) // every))
            case Plateau(factor=factor):
                return float(factor**self._falls)
            case _:
                return 1.0

    def observe(self, loss: float) -> None:
        """Tell the validation loss of an epoch that is over."""
        self._unchanged.observe(loss)
        self._since_fall.observe(loss)
        if isinstance(self._schedule, Plateau) and self._since_fall.epochs >= self._schedule.patience:
            self._falls += 1
            self._since_fall.epochs = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing improved for as long as the patience lasts."""
        return self._stopping is not None and self._unchanged.epochs >= self._stopping.patience

    def numbers(self) -> Mapping[str, float]:
        """See ``Part``."""
        return {
            "unchanged": self._unchanged.epochs,
            "lowest": self._unchanged.lowest,
            "since_fall": self._since_fall.epochs,
            "lowest_since_fall": self._since_fall.lowest,
            "falls": self._falls,
        }

    def load(self, numbers: Mapping[str, float]) -> None:
        """See ``Part``."""
        self._unchanged.epochs, self._unchanged.lowest = int(numbers["unchanged"]), numbers["lowest"]
        self._since_fall.epochs, self._since_fall.lowest = int(numbers["since_fall"]), numbers["lowest_since_fall"]
        self._falls = int(numbers["falls"])


def cosine_share(cosine: Cosine, epoch: int, epochs: int) -> float:
    """Share of the rate in an epoch of half a cosine that follows a linear warm-up.

    The first epoch after the warm-up has the whole rate, the last epoch ``final_share`` of it (Loshchilov and Hutter,
    2017, without restarts).
    """
    warm = min(cosine.warm_up_epochs, epochs - 1)
    if epoch <= warm:
        return epoch / (warm + 1)
    done = (epoch - warm - 1) / max(1, epochs - warm - 1)
    return cosine.final_share + (1 - cosine.final_share) * (1 + math.cos(math.pi * done)) / 2
