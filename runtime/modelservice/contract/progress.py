"""Live progress of a training, as its pod shows it on ``GET :8081/progress``."""

from pydantic import Field

from modelservice.contract.base import Tolerant


class Progress(Tolerant):
    """Epochs done of all, the last validation loss and accuracy, and an estimate of the seconds left."""

    stage: str = "train"
    epoch: int = Field(default=0, ge=0)
    epochs: int = Field(default=0, ge=0)
    loss: float | None = None
    accuracy: float | None = None
    eta_seconds: float | None = None

    @property
    def percent(self) -> int:
        """Whole percent of the epochs done."""
        return 100 * self.epoch // self.epochs if self.epochs else 0
