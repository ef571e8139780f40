"""Collecting what each epoch came to, in bounded space."""

from modelservice.training.loop import Epoch
from modelservice.training.metrics import Curves

MAX_POINTS = 1000


class CurveRecorder:
    """An observer of the loop that keeps evenly spread epochs, the last one included."""

    def __init__(self, *, max_points: int = MAX_POINTS) -> None:
        self._max_points = max_points
        self._epochs: list[Epoch] = []

    def __call__(self, epoch: Epoch) -> None:
        """Record an epoch if it is one of those that are kept."""
        stride = -(-epoch.of // self._max_points)
        if epoch.number % stride == 0 or epoch.number == epoch.of:
            self._epochs.append(epoch)

    @property
    def curves(self) -> Curves:
        """All that was kept."""
        return Curves(
            epoch=tuple(epoch.number for epoch in self._epochs),
            train_loss=tuple(epoch.train_loss for epoch in self._epochs),
            validation_loss=tuple(epoch.validation_loss for epoch in self._epochs),
            validation_accuracy=tuple(epoch.validation_accuracy for epoch in self._epochs),
        )
