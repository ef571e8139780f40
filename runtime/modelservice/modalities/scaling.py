"""How columns of numbers are scaled, and what a missing number counts as: ``spec.data.scaling`` and ``missingNumbers``.

A scaled number is (x - centre) / spread; all is measured on training rows.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import Data, MissingNumbers, Scaling
from modelservice.contract.failure import DataError

Numbers = NDArray[np.float64]

SCALING_FIELD: Final = "spec.data.scaling"
MISSING_FIELD: Final = "spec.data.missingNumbers"
_NOISE: Final = 1e-12


class NumberRules(NamedTuple):
    """Both settings; the defaults are the mean, the standard deviation, and the mean."""

    scaling: Scaling = Scaling.STANDARD
    missing: MissingNumbers = MissingNumbers.MEAN

    @classmethod
    def of(cls, data: Data) -> "NumberRules":
        """Those of ``spec.data``."""
        return cls(data.scaling, data.missing_numbers)

    @property
    def changed(self) -> str | None:
        """A field that is not at its default, None where both are."""
        if self.scaling is not Scaling.STANDARD:
            return SCALING_FIELD
        return MISSING_FIELD if self.missing is not MissingNumbers.MEAN else None

    def unfit(self, held: str) -> DataError:
        """What is said of a changed field where the data holds no columns, but what is named here."""
        message = f"the data holds {held}, and {self.changed} is for columns of numbers: leave it out"
        return DataError("OptionNotForFormat", message, field=self.changed)

    def centre_and_spread(self, present: Numbers) -> tuple[float, float]:
        """Of numbers of which none is missing and at least one is there; what does not vary has a spread of 1."""
        centre, spread = _SCALINGS[self.scaling](present)
        varies = spread > _NOISE * max(abs(centre), float(np.abs(present).max()))
        return centre, spread if varies else 1.0

    def fill(self, present: Numbers) -> float:
        """What a missing number counts as."""
        return _FILLS[self.missing](present)


USUAL: Final = NumberRules()
"""The defaults."""


def _quartiles(present: Numbers) -> tuple[float, float]:
    low, median, high = np.quantile(present, (0.25, 0.5, 0.75)).tolist()
    return median, high - low


def _most_frequent(present: Numbers) -> float:
    """The lowest of several."""
    values, counts = np.unique(present, return_counts=True)
    return float(values[counts.argmax()])


_SCALINGS: Final[Mapping[Scaling, Callable[[Numbers], tuple[float, float]]]] = {
    Scaling.STANDARD: lambda present: (float(present.mean()), float(present.std())),
    Scaling.MIN_MAX: lambda present: (float(present.min()), float(np.ptp(present))),
    Scaling.ROBUST: _quartiles,
    Scaling.NONE: lambda _: (0.0, 1.0),
}
_FILLS: Final[Mapping[MissingNumbers, Callable[[Numbers], float]]] = {
    MissingNumbers.MEAN: lambda present: float(present.mean()),
    MissingNumbers.MEDIAN: lambda present: float(np.median(present)),
    MissingNumbers.MOST_FREQUENT: _most_frequent,
}
