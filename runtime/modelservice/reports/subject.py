"""What reports are about: a model, the rows that it was made from, and what it says of those that it never saw."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.search_report import SearchReport
from modelservice.modalities.base import Dataset, Features, Groups, Profile, Side, groups_together
from modelservice.modalities.dataset import Divided
from modelservice.tasks.base import Array
from modelservice.tasks.metrics_document import MetricsDocument


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """All that reports say something of.

    Attributes:
        dataset: the rows, and the task that answers.
        columns: the inputs over all rows: those of training, of validation and of the test, in this order; none where
            inputs are no columns.
        metrics: of the model that is stored.
        raw: its outputs for the test rows.
        predict: computes it for any number of rows.
        seed: of all that is drawn.
        search: what was tried to find the settings, where something was.
    """

    dataset: Dataset
    columns: tuple[Profile, ...]
    metrics: MetricsDocument
    raw: Array
    predict: Callable[[Features], Array]
    seed: int
    search: SearchReport | None = None

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        """Training, validation and test, in the order of the rows of ``columns``."""
        return self.dataset.train, self.dataset.validation, self.dataset.test

    @property
    def rows(self) -> tuple[int, int, int]:
        """How many rows training, validation and test have, those that are not held included."""
        stream, (train, validation, test) = self.dataset.stream, self.sides
        return (len(train.values), len(validation.values), len(test.values)) if stream is None else stream.rows

    @cached_property
    def values(self) -> NDArray[Any]:
        """The target of all rows: class codes int64, or float64."""
        return np.concatenate([side.values for side in self.sides])

    @cached_property
    def groups(self) -> Groups | None:
        """What holds all rows together, see ``Side``."""
        return groups_together(*self.sides)

    @property
    def learned(self) -> int:
        """How many rows, the first ones, are of training or validation."""
        return len(self.dataset.train.values) + len(self.dataset.validation.values)

    @property
    def spans(self) -> tuple[slice, ...]:
        """Which numbers of an encoded row each column became."""
        ends = np.cumsum([0, *(column.width for column in self.columns)]).tolist()
        return tuple(slice(start, end) for start, end in pairwise(ends))


def all_columns(divided: Divided, dataset: Dataset) -> tuple[Profile, ...]:
    """The ``columns`` of a subject."""
    split = divided.split
    return divided.examples.profiles(dataset.preprocessing, np.concatenate([split.train, split.validation, split.test]))
