"""What each epoch came to, collected in bounded space."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from typing import Any

import torch
from numpy.typing import NDArray

from modelservice.training.part import Part

MAX_POINTS = 1000


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one epoch came to; losses are means over rows, ``metric`` is the objective's on the validation rows."""

    number: int
    of: int
    train_loss: float
    validation_loss: float
    metric: float


class CurveRecorder(Part):
    """An observer of the loop that keeps evenly spread epochs, the last one included."""

    def __init__(self, *, metric: str, max_points: int = MAX_POINTS) -> None:
        self._metric = metric
        self._points = torch.zeros(max_points, len(fields(Epoch)), dtype=torch.float64)
        self._last = torch.zeros(len(fields(Epoch)), dtype=torch.float64)

    def __call__(self, epoch: Epoch) -> None:
        """Record an epoch if it is one of those that are kept."""
        self._last.copy_(torch.tensor(astuple(epoch), dtype=torch.float64))
        before, kept = (self._kept(number, epoch.of) for number in (epoch.number - 1, epoch.number))
        if kept > before:
            self._points[before] = self._last

    @property
    def last(self) -> Epoch | None:
        """The last epoch, None before it."""
        number, of, train_loss, validation_loss, metric = self._last.tolist()
        if not number:
            return None
        return Epoch(
            number=int(number), of=int(of), train_loss=train_loss, validation_loss=validation_loss, metric=metric
        )

    @property
    def curves(self) -> Mapping[str, tuple[float, ...]]:
        """All that was kept: ``epoch``, ``trainLoss``, ``validationLoss``, and the metric such as ``validationR2``.

        ``trainLoss`` is the running mean over the epoch's batches, dropout and penalties included; the others are
        measured on the validation rows after the epoch.
        """
        kept = 0 if self.last is None else self._kept(self.last.number, self.last.of)
        number, _, train_loss, validation_loss, metric = self._points[:kept].T.tolist()
        return {
            "epoch": tuple(map(int, number)),
            "trainLoss": tuple(train_loss),
            "validationLoss": tuple(validation_loss),
            f"validation{self._metric[0].upper()}{self._metric[1:]}": tuple(metric),
        }

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return {"points": self._points, "last": self._last}

    def refusal(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, float]) -> str | None:
        """See ``Part``."""
        number, of = arrays["last"][:2].tolist()
        if not (0 <= number <= of < math.inf and number.is_integer() and of.is_integer()):
            return f"last cannot be epoch {number:g} of {of:g}"
        return super().refusal(arrays, numbers)

    def _kept(self, number: int, of: int) -> int:
        """How many of so many epochs are kept, out of all."""
        stride = -(-of // len(self._points))
        return number // stride + (number == of and of % stride > 0)
