"""The row that the form begins with: values of training, though not the typical ones."""

from decimal import Decimal
from itertools import accumulate
from typing import Final

from modelservice.contract.baseline import Histogram, NumberHistogram
from modelservice.contract.signature import ColumnContent, InputColumn
from modelservice.modalities.base import Measure
from modelservice.modalities.errors import InputError

_HALF: Final = "0,5"
_NONE_OF_ITS_VALUES: Final = (ColumnContent.DATE, ColumnContent.TEXT)
"""What columns hold whose histograms are of seconds, or of lengths."""


def first_cell(column: InputColumn, histogram: Histogram | None) -> bool | float | str:
    """What the field of a column holds at first: another value than the typical one, where one is known.

    Answers are explained by what sets their row apart from the typical one, so of that itself there is nothing to say.
    It is a quartile of numbers, a frequent category, or what fewer rows say of yes and no.
    """
    if column.content is ColumnContent.BOOLEAN:
        return not column.example
    if column.content in _NONE_OF_ITS_VALUES or histogram is None:
        return column.example
    others = _quartiles(histogram) if isinstance(histogram, NumberHistogram) else histogram.texts
    return next((one for one in others if one != column.example), column.example)


def has_commas(measure: Measure | None) -> bool:
    """Whether the texts of a column are numbers with a decimal comma, given what reads them."""
    try:
        return measure is not None and list(measure([_HALF])) == [0.5]
    except InputError:
        return False


def typed(number: float) -> str:
    """A number as it is typed where its column has decimal commas."""
    return f"{Decimal(repr(number)):f}".replace(".", ",")


def _quartiles(histogram: NumberHistogram) -> list[float]:
    """The upper and the lower one, as far as bins tell: their edges are values of training, but never the largest."""
    total, ends = sum(histogram.counts), list(zip(histogram.edges, accumulate(histogram.counts), strict=False))
    found = (next((edge for edge, below in ends if below >= share * total), None) for share in (0.75, 0.25))
    return [edge for edge in found if edge is not None]
