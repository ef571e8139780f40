"""What a candidate is given and gives: raw rows with a target, and what it says of rows without one."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tests.bench.quality.tables import Frame, Source


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """Of some rows.

    Attributes:
        values: labels as text [rows], or numbers float64 [rows].
        probabilities: float64 [rows, labels], empty [rows, 0] where numbers are predicted.
        labels: of the columns of ``probabilities``.
    """

    values: NDArray[np.object_] | NDArray[np.float64]
    probabilities: NDArray[np.float64]
    labels: tuple[str, ...] = ()

    def aligned(self, classes: tuple[str, ...]) -> NDArray[np.float64]:
        """Probabilities [rows, classes] in the order of ``classes``; one that was never seen in training gets 0.

        Raises:
            ValueError: a label is none of the classes.
        """
        found = np.zeros((len(self.values), len(classes)))
        for column, label in enumerate(self.labels):
            found[:, classes.index(label)] = self.probabilities[:, column]
        return found


class Candidate(Protocol):
    """Who is compared. Members are stateless values in ``candidates.CANDIDATES``."""

    @property
    def name(self) -> str:
        """What it is called in the report; letters, digits and hyphens."""

    @property
    def most_repeats(self) -> int | None:
        """How many repeats it takes part in at most; None is all of a table."""

    def fingerprint(self) -> str:
        """What decides its predictions besides the rows; fits of another fingerprint are made again."""

    def fit_predict(self, source: Source, train: Frame, test: Frame) -> Prediction:
        """Learn from rows that have ``source.target`` (labels as text, or numbers), and predict rows that do not."""
