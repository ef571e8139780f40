"""Mean and deviation of numbers that come piece by piece."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.table.kinds.base import FEWEST_ROWS
from modelservice.modalities.table.kinds.number import NumericColumn


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What is known of some numbers, NaN aside: how many, their mean, and the sum of squares of deviations from it."""

    rows: int = 0
    present: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def and_of(self, values: NDArray[np.float64]) -> "Moments":
        """Those of these and further numbers (Chan, Golub and LeVeque, 1979)."""
        found = values[~np.isnan(values)]
        rows = self.rows + len(values)
        if not len(found):
            return replace(self, rows=rows)
        mean, count = float(found.mean()), self.present + len(found)
        apart = mean - self.mean
        squares = float(np.square(found - mean).sum()) + apart**2 * self.present * len(found) / count
        return Moments(
            rows=rows,
            present=count,
            mean=self.mean + apart * len(found) / count,
            squares=self.squares + squares,
        )

    @property
    def std(self) -> float:
        """Population standard deviation, 0 of none."""
        return float(np.sqrt(self.squares / self.present)) if self.present else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredColumn(NumericColumn):
    """Some rows of a column of numbers, of which ``moments`` are those of all training rows."""

    moments: Moments

    def measured(self) -> dict[str, Any]:
        """Mean, deviation and indicator are of all training rows, the example is of those that are here."""
        known = self.moments
        missing = known.rows - known.present
        return self.standardised(known.mean, known.std, indicator=FEWEST_ROWS <= missing < known.rows)
