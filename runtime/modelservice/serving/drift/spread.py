"""What is counted of one input or output, in the bins of the baseline."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.baseline import Histogram, NumberHistogram, TextHistogram
from modelservice.modalities.base import Measure
from modelservice.serving.drift.divergence import largest_difference, stability_index

FEWEST_EXPECTED: Final = 20
"""Values of training in a bin of the stability index. Chance alone gives it about (bins - 1) * (1 / rows of training +
1 / rows since): 0.2 of 20 bins and 100 rows, which is read as a change, and 0.05 of the 5 that are left then."""
_MISSING: Final = "missing"


class Window(NamedTuple):
    """What was counted between two looks: values in each bin, and by how much they differ from those of training.

    ``measures`` are by name: ``psi``, and of numbers ``ks``.
    """

    found: NDArray[np.float64]
    measures: dict[str, float]


class NumberSpread:
    """Numbers in bins, and in a last one those that are missing.

    ``names`` say what each bin holds, ``expected`` how many values of training.
    """

    def __init__(self, histogram: NumberHistogram) -> None:
        self.names = (*_between(histogram.edges), _MISSING)
        self._edges = np.array(histogram.edges)
        self._rounded_edges = _rounded(self._edges)
        self.expected = np.array([*histogram.counts, histogram.missing], dtype=np.float64)
        self._found = np.zeros_like(self.expected)
        self._starts = [*_starts(histogram.counts), len(histogram.counts)]

    def add(self, values: Sequence[Any]) -> None:
        """Count some values: what ``Measure`` gives."""
        numbers = np.asarray(values, dtype=np.float64)
        missing = np.isnan(numbers)
        self._found[:-1] += np.bincount(self._bins(numbers[~missing]), minlength=len(self._found) - 1)
        self._found[-1] += missing.sum()

    def _bins(self, numbers: NDArray[np.float64]) -> NDArray[np.int64]:
        """What float32 holds may be a number of training that a client rounded: edges are rounded for it, too.

        Edges are numbers of training, too, and rounding keeps their order, though it may make two of them equal.
        """
        rounded = _rounded(numbers)
        bins = np.searchsorted(self._edges, numbers), np.searchsorted(self._rounded_edges, rounded)
        return np.where(rounded == numbers, bins[1], bins[0])

    def take(self) -> Window:
        """What was counted; counting begins anew."""
        expected, found = self.expected, self._found
        self._found = np.zeros_like(expected)
        psi = stability_index(np.add.reduceat(expected, self._starts), np.add.reduceat(found, self._starts))
        return Window(found, {"psi": psi, "ks": largest_difference(expected[:-1], found[:-1])})


class TextSpread:
    """Texts by name, then those that have none of their own, and those that are missing.

    ``names`` say what each bin holds, ``expected`` how many values of training.
    """

    def __init__(self, histogram: TextHistogram, measure: Measure) -> None:
        counts: Counter[Any] = Counter()
        for text, count in zip(measure(histogram.texts), histogram.counts, strict=True):
            counts[text] += count
        frequent = {text: count for text, count in counts.items() if count >= FEWEST_EXPECTED}
        other = histogram.other + counts.total() - sum(frequent.values())
        self._bins = {text: at for at, text in enumerate(frequent)}
        self._other = len(frequent)
        self.names = (*map(str, frequent), "other", _MISSING)
        self.expected = np.array([*frequent.values(), other, histogram.missing], dtype=np.float64)
        self._found = np.zeros_like(self.expected)

    def add(self, values: Sequence[Any]) -> None:
        """Count some values: what ``Measure`` gives."""
        missing = self._other + 1
        bins = [missing if value is None else self._bins.get(value, self._other) for value in values]
        self._found += np.bincount(bins, minlength=len(self._found))

    def take(self) -> Window:
        """What was counted; counting begins anew."""
        found, self._found = self._found, np.zeros_like(self._found)
        return Window(found, {"psi": stability_index(self.expected, found)})


@np.errstate(over="ignore")
def _rounded(numbers: NDArray[np.float64]) -> NDArray[np.float32]:
    """What float32 makes of them; what is too large becomes infinite."""
    return numbers.astype(np.float32)


def _between(edges: Sequence[float]) -> Iterator[str]:
    if not edges:
        yield "all"
        return
    yield f"up to {edges[0]:.4g}"
    yield from (f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges))
    yield f"over {edges[-1]:.4g}"


def _starts(counts: Sequence[int]) -> list[int]:
    """Where bins begin that hold enough each, made of neighbours; the last one takes what is left."""
    starts, held = [0], 0
    for at, count in enumerate(counts):
        if held >= FEWEST_EXPECTED and sum(counts[at:]) >= FEWEST_EXPECTED:
            starts.append(at)
            held = 0
        held += count
    return starts


Spread = NumberSpread | TextSpread


def build_spread(histogram: Histogram, measure: Measure = lambda cells: cells) -> Spread:
    """What counts values in the bins of a histogram."""
    return NumberSpread(histogram) if isinstance(histogram, NumberHistogram) else TextSpread(histogram, measure)
