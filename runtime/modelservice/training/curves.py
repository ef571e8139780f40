"""Collecting what each epoch came to, in bounded space."""

from collections.abc import Mapping

from modelservice.training.loop import Epoch

MAX_POINTS = 1000


class CurveRecorder:
    """An observer of the loop that keeps evenly spread epochs, the last one included."""

    def __init__(self, *, metric: str, max_points: int = MAX_POINTS) -> None:
        self._metric = metric
        self._max_points = max_points
        self._epochs: list[Epoch] = []

    def __call__(self, epoch: Epoch) -> None:
        """Record an epoch if it is one of those that are kept."""
        stride = -(-epoch.of // self._max_points)
        if epoch.number % stride == 0 or epoch.number == epoch.of:
            self._epochs.append(epoch)

    @property
    def curves(self) -> Mapping[str, tuple[float, ...]]:
        """All that was kept: ``epoch``, ``trainLoss``, ``validationLoss``, and the metric such as ``validationR2``.

        ``trainLoss`` is the running mean over the epoch's batches, dropout and penalties included; the others are
        measured on the validation rows after the epoch.
        """
        return {
            "epoch": tuple(epoch.number for epoch in self._epochs),
            "trainLoss": tuple(epoch.train_loss for epoch in self._epochs),
            "validationLoss": tuple(epoch.validation_loss for epoch in self._epochs),
            f"validation{self._metric[0].upper()}{self._metric[1:]}": tuple(epoch.metric for epoch in self._epochs),
        }
