"""``importance.json``: how much worse a model gets without what a column says."""

from typing import Literal

from pydantic import FiniteFloat

from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import MetricName


class ColumnImportance(Tolerant):
    """The mean fall of the metric when the values of a column change places between rows, and its deviation."""

    name: str
    drop: FiniteFloat
    deviation: FiniteFloat


class Importance(Document):
    """Permutation importance (Breiman, 2001; Fisher, Rudin and Dominici, 2019) on test rows, the largest drop first.

    Columns that say the same share what they are worth: each alone seems to matter little.
    """

    kind: Literal["Importance"] = "Importance"
    metric: MetricName
    rows: int
    repeats: int
    columns: tuple[ColumnImportance, ...]
