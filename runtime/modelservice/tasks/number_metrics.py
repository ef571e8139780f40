"""How good a regression is: errors and true values to numbers.

``weights`` float64 [rows] say how much each row counts; without them each counts once.
"""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

FEWEST_ROWS = 5
"""From which on enough resamples differ (126) that 95 % of them tell something; of two rows with a spread it is one."""
_RESAMPLES = 2000
_FEWEST_RESAMPLES = 200
_DRAWS = 20_000_000
"""Rows drawn in all: with many rows fewer resamples do, since their interval is narrow."""
_AT_ONCE = 1 << 18
"""Rows that are drawn at once: many small resamples in one step, and of a large one no more than itself."""
_SEED = 20_240_229
"""Fixed, so that equal models have equal intervals."""


def r2_score(errors: Numbers, values: Numbers, weights: Numbers | None = None) -> float:
    """Coefficient of determination: 1 - sum of squared errors / sum of squared deviations from the mean.

    Where the values do not vary it is 1 for no errors and 0 otherwise, as in scikit-learn.
    """
    squared = float(np.average(np.square(errors), weights=weights))
    spread = float(np.average(np.square(_centred(values, weights)), weights=weights))
    if values.min() == values.max():
        return float(squared == 0)
    return 1.0 - squared / spread


def r2_interval(errors: Numbers, values: Numbers, weights: Numbers | None = None) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of R2 over rows (Efron, 1979).

    None where the values do not vary, or there are fewer rows than ``FEWEST_ROWS``.
    """
    bounds = _share_interval(np.square(errors), values, weights)
    return None if bounds is None else (1.0 - bounds[1], 1.0 - bounds[0])


def r2_drop_interval(
    before: Numbers, after: Numbers, values: Numbers, weights: Numbers | None = None
) -> tuple[float, float] | None:
    """That of the difference between the R2 of two models with these errors in the same rows; None as above."""
    return _share_interval(np.square(after) - np.square(before), values, weights)


def _centred(values: Numbers, weights: Numbers | None) -> Numbers:
    return np.asarray(values - np.average(values, weights=weights))


def _share_interval(parts: Numbers, values: Numbers, weights: Numbers | None) -> tuple[float, float] | None:
    """The interval of ``sum(parts) / sum of squared deviations of the values``; rows are resampled with both."""
    rows = len(values)
    centred = _centred(values, weights)
    heavy = np.ones(rows) if weights is None else weights
    if rows < FEWEST_ROWS or values.min() == values.max():
        return None
    generator = np.random.default_rng(_SEED)
    moments = np.stack([parts, centred, np.square(centred), np.ones(rows)]) * heavy
    resamples = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _DRAWS // rows))
    found = list[float]()
    at_once = max(1, _AT_ONCE // rows)
    for done in range(0, resamples, at_once):
        counts = _drawn(generator, rows=rows, resamples=min(at_once, resamples - done))
        # Not by BLAS, whose last bits are those of its number of threads.
        part, total, squares, weight = np.einsum("mr,sr->ms", moments, counts)
        spread = squares - total * total / weight
        told = (spread > 0) & (np.count_nonzero(counts, axis=1) > 1)
        found += (part[told] / spread[told]).tolist()
    if not found:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _drawn(generator: np.random.Generator, *, rows: int, resamples: int) -> Numbers:
    """How often each row is in each resample, [resamples, rows]."""
    places = generator.integers(rows, size=(resamples, rows)) + rows * np.arange(resamples)[:, np.newaxis]
    counts = np.bincount(places.ravel(), minlength=rows * resamples)
    return counts.reshape(resamples, rows).astype(np.float64)
