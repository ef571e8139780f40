"""``compression.json``: what each setting of a compression came to, size beside metric."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, FiniteFloat

from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document

BATCH: Final = 64
"""Rows of the batch whose latency is told."""


class Tried(Tolerant):
    """A model on the way, or a control.

    Attributes:
        name: what was done, such as prune.
        parameters, nonzero, multiply_adds: stored values, those that are not 0, and the products of one row; None where
            the model is no network of this project.
        bytes: of its ``model.onnx``.
        metric, low, high: the primary metric on the validation rows, and its 95 % interval where the task has one.
        seconds_of_row, seconds_of_batch: latency of one row and of ``BATCH`` rows on the engine that serves, on one
            thread of the machine that compressed; in reports and the status only, for an artifact has the same bytes
            however fast a machine is.
        chosen: whether it is what the steps led to, and the test rows judged.
        control: whether it is what the chosen one is compared with: its layers, learned from initial weights.
    """

    name: str
    parameters: int | None = None
    nonzero: int | None = None
    multiply_adds: int | None = None
    bytes: int
    metric: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    seconds_of_row: FiniteFloat | None = None
    seconds_of_batch: FiniteFloat | None = None
    chosen: bool = False
    control: bool = False

    def without_latency(self) -> Self:
        """As an artifact stores it."""
        return self.model_copy(update={"seconds_of_row": None, "seconds_of_batch": None})


class Sizes(Document):
    """All models on the way, the one as it was trained first, then controls; ``metric`` is the name."""

    kind: Literal["Sizes"] = "Sizes"
    metric: str
    tried: Annotated[tuple[Tried, ...], Field(min_length=1)]
