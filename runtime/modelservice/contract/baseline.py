"""``baseline.json``: how inputs and outputs were spread when a model was made: what drift is measured from."""

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, model_validator

from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document

MAX_BINS = 20
"""Of one histogram of numbers."""
MAX_TEXTS = 50
"""Texts of one histogram that are counted by name: the most frequent."""


class NumberHistogram(Tolerant):
    """How many numbers lie in each bin.

    Bin ``i`` holds ``edges[i - 1] < x <= edges[i]``; the first and the last one have no outer end. ``unit`` says what
    the numbers are of, where the column itself holds none: the seconds since 1970 of a date, the characters of a text.
    """

    histogram: Literal["Numbers"] = "Numbers"
    name: str
    unit: str | None = None
    edges: Annotated[tuple[FiniteFloat, ...], Field(max_length=MAX_BINS - 1)]
    counts: tuple[int, ...]
    missing: int = 0

    @model_validator(mode="after")
    def _bins_between_edges(self) -> Self:
        if len(self.counts) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges make {len(self.edges) + 1} bins, not {len(self.counts)}")
        return self


class TextHistogram(Tolerant):
    """How often each text comes, the most frequent first; ``other`` counts those that are not named."""

    histogram: Literal["Texts"] = "Texts"
    name: str
    texts: Annotated[tuple[str, ...], Field(max_length=MAX_TEXTS)]
    counts: tuple[int, ...]
    other: int = 0
    missing: int = 0

    @model_validator(mode="after")
    def _count_for_each_text(self) -> Self:
        if len(self.counts) != len(self.texts):
            raise ValueError(f"{len(self.texts)} texts need as many counts, not {len(self.counts)}")
        return self


Histogram = Annotated[NumberHistogram | TextHistogram, Field(discriminator="histogram")]


class Baseline(Document):
    """Histograms of each input over the training rows, and of each output over the test rows.

    Outputs are those for rows that were not learned from: a model is surer of rows that it knows.
    """

    kind: Literal["Baseline"] = "Baseline"
    feature_rows: int
    features: tuple[Histogram, ...]
    output_rows: int
    outputs: tuple[Histogram, ...]
