"""Live progress of a stage, as its pod shows it on ``GET :8081/progress``."""

from pydantic import Field

from modelservice.contract.base import Tolerant
from modelservice.contract.evaluation import Metric


class Progress(Tolerant):
    """Steps done of all (epochs of a training), the last validation loss and metric, and the seconds left."""

    stage: str = "train"
    done: int = Field(default=0, ge=0)
    total: int = Field(default=0, ge=0)
    loss: float | None = None
    metric: Metric | None = None
    eta_seconds: float | None = None

    @property
    def percent(self) -> int:
        """Whole percent of the steps done."""
        return min(100, 100 * self.done // self.total) if self.total else 0
