"""What a task answers: how a target is read, what is minimised, how good a model is, and what clients get.

numpy only: the server turns a model's numbers into outputs with the same code that training measured them with.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import MISSING_WORDS
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.signature import Output

Array = NDArray[np.float32]
"""What a model gives for some rows: float32 [rows, width], probabilities for classes, the value for a regression."""


Weights = NDArray[np.float64]
"""How much each row counts: float64 [rows], above 0; only their ratios matter."""


class Loss(StrEnum):
    """What gradient steps minimise; ``training.losses`` has them in torch."""

    CROSS_ENTROPY = "CrossEntropy"
    BINARY_CROSS_ENTROPY = "BinaryCrossEntropy"
    SQUARED_ERROR = "SquaredError"


class Head(StrEnum):
    """How the last layer's numbers become a model's output; part of ``model.onnx``.

    SOFTMAX: k logits to k probabilities. SIGMOID: one logit to two probabilities, [1 - p, p]. SCALE: one standardised
    number to the target's own unit, z * std + mean.
    """

    SOFTMAX = "Softmax"
    SIGMOID = "Sigmoid"
    SCALE = "Scale"


def _row_place(row: int) -> str:
    return f"row {row}"


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetCells:
    """A target as it stands in the data: codes int32 [rows] index ``texts``, which differ; -1 is missing.

    Texts are those of the file without blanks around them, untouched by float64, so that 0101 and labels of 20 digits
    stay what they are. ``noun`` is what it is called there, and ``place`` says where a row (from 0) stands, for people.
    ``numbers`` are the texts as 1234.5, where they are numbers in one other notation, such as $1,234. ``words`` mean a
    missing value where all others are numbers; ``notes`` are sentences about how it was read.
    """

    name: str
    codes: NDArray[np.int32]
    texts: tuple[str, ...]
    noun: str = "column"
    place: Callable[[int], str] = field(default=_row_place)
    numbers: tuple[str, ...] | None = None
    words: frozenset[str] = MISSING_WORDS
    notes: tuple[str, ...] = ()

    def as_numbers(self) -> "TargetCells":
        """The same cells with numbers in the usual notation, where they are numbers."""
        return self if self.numbers is None else replace(self, texts=self.numbers, numbers=None)


@dataclass(frozen=True, kw_only=True)
class TargetProfile:
    """What a target holds: what a task is inferred from.

    Attributes:
        name: of the target.
        distinct: number of different values, missing ones aside.
        numbers: whether all of them are numbers, of which none is written like a code (0101).
        whole: whether all of them are whole numbers of that kind.
        mostly_numbers: whether numbers are at least half of the rows that have a value.
    """

    name: str
    distinct: int
    numbers: bool
    whole: bool
    mostly_numbers: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Target:
    """A target that was read.

    ``values``: int64 class codes [rows] indexing ``labels``, or float64 [rows]; undefined where not ``present``.
    ``strata``: int64 [rows], what a split keeps on each side: the class, or all 0.
    ``notes`` say in sentences what was decided or merged.
    """

    name: str
    values: NDArray[Any]
    present: NDArray[np.bool_]
    strata: NDArray[np.int64]
    labels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Rows whose most probable class has a probability in ``(low, high]``; means are 0 where there are none.

    Attributes:
        low: lower end.
        high: upper end.
        rows: how many there are.
        confidence: the mean of that probability.
        accuracy: how often that class was right.
    """

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Scores:
    """Metrics over some rows; for classes the confusion matrix, int64 [true, predicted], and bins of confidence."""

    evaluation: Evaluation
    confusion: NDArray[np.int64] | None = None
    calibration: tuple[Bin, ...] = ()


class Drop(NamedTuple):
    """How much of the primary metric a second model loses on the same rows, with its 95 % interval; < 0 is a gain."""

    value: float
    low: float
    high: float

    def within(self, budget: float) -> bool:
        """Whether even the upper end of the interval is no more than what may be lost."""
        return self.high <= budget


class ServedTask(Protocol):
    """What a server needs of a task. Those that cannot be learned are in ``tasks.SERVED``."""

    @property
    def name(self) -> str:
        """As signature and manifest name it, such as Multiclass."""

    def of_outputs(self, outputs: tuple[Output, ...]) -> "ServedTask":
        """This task with what a signature's outputs say of it; itself where they say nothing.

        Raises:
            DocumentError: they do not say what they must.
        """

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:
        """The signature's outputs."""

    def decide(self, raw: Array) -> NDArray[np.int64]:
        """Which of the numbers [rows, width] is the answer to each row, int64 [rows]; of labels their codes."""

    def named(self, raw: Array, labels: tuple[str, ...]) -> dict[str, Any]:
        """Outputs by the names of ``outputs``: lists of texts or numpy arrays, in the order of the rows."""


class Task(ServedTask, Protocol):
    """One kind of answer that can be learned. Members are stateless values in ``tasks.TASKS``."""

    choice: str
    """The member of ``spec.task`` that asks for it, such as classification."""
    loss: Loss
    head: Head
    primary_metric: str
    """Name of the metric that decides where nothing else is asked for."""

    def suits(self, profile: TargetProfile, *, asked: bool) -> str | None:
        """Why a target is this task's, as a clause such as "y holds texts"; None where it is not.

        Args:
            profile: what the target holds.
            asked: whether ``spec.task`` says ``choice``, so that only members of that choice are compared.
        """

    def read(self, cells: TargetCells) -> Target:
        """Read the target.

        Raises:
            DataError: the values are none of this task's.
        """

    def of_outputs(self, outputs: tuple[Output, ...]) -> "Task":
        """See ``ServedTask``."""

    def logits(self, labels: tuple[str, ...]) -> int:
        """Numbers that the last layer of a network gives."""

    def score(
        self, raw: Array, values: NDArray[Any], labels: tuple[str, ...], weights: Weights | None = None
    ) -> Scores:
        """All metrics of a model's outputs against true values; the primary one with its interval.

        Args:
            raw: [rows, width].
            values: [rows], at least one.
            labels: class labels by code.
            weights: how much each row counts; each counts once where there are none.
        """

    def primary(self, raw: Array, values: NDArray[Any], weights: Weights | None = None) -> float:
        """The primary metric of ``score`` without its interval, which takes the most time; arguments as above."""

    def measure(
        self, metric: KnownMetric, raw: Array, values: NDArray[Any], weights: Weights | None = None
    ) -> float | None:
        """One metric of ``score`` by its name, None where these rows do not tell it, or it is none of this task."""

    def drop(self, before: Array, after: Array, values: NDArray[Any], weights: Weights | None = None) -> Drop:
        """Compare the outputs [rows, width] of two models for the same rows, of which ``values`` [rows] are true.

        The interval is a paired one: what is hard for both models adds nothing to its width. ``weights`` as above.
        """
