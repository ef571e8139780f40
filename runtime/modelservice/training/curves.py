"""What each epoch came to, collected in bounded space."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields

import torch

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
        self._count = 0

    def __call__(self, epoch: Epoch) -> None:
        """Record an epoch if it is one of those that are kept."""
        self._last.copy_(torch.tensor(astuple(epoch), dtype=torch.float64))
        stride = -(-epoch.of // len(self._points))
        if epoch.number % stride == 0 or epoch.number == epoch.of:
            self._points[self._count] = self._last
            self._count += 1

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
        number, _, train_loss, validation_loss, metric = self._points[: self._count].T.tolist()
        return {
            "epoch": tuple(map(int, number)),
            "trainLoss": tuple(train_loss),
            "validationLoss": tuple(validation_loss),
            f"validation{self._metric[0].upper()}{self._metric[1:]}": tuple(metric),
        }

    def tensors(self) -> Mapping[str, torch.Tensor]:
        """See ``Part``."""
        return {"points": self._points, "last": self._last}

    def numbers(self) -> Mapping[str, float]:
        """See ``Part``."""
        return {"count": self._count}

    def load(self, numbers: Mapping[str, float]) -> None:
        """See ``Part``."""
        self._count = min(int(numbers["count"]), len(self._points))
