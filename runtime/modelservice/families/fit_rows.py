"""The rows that a family learns from which chooses no epoch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.failure import DataError
from modelservice.modalities.base import Dataset, Groups, together


@dataclass(frozen=True, kw_only=True, eq=False)
class FitRows:
    """Training and validation rows together, since nothing chooses an epoch.

    ``features`` are the numbers that serving sees, float32, held as float64 [rows, width]; ``values`` as in ``Target``.
    ``weights``, where rows do not count alike, are 1 on the mean, so that a penalty means the same at any scale.
    ``groups`` are as in ``Side``.
    """

    features: NDArray[np.float64]
    values: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    groups: Groups | None = None


def fit_rows(dataset: Dataset) -> FitRows:
    """The rows to learn from.

    Raises:
        DataError: a class has no row among them.
    """
    rows = together(dataset.train, dataset.validation)
    for code, label in enumerate(dataset.labels):
        if not (rows.values == code).any():
            raise DataError(
                "ClassTooSmall",
                f"{dataset.target} has no row of class {label!r} outside the test rows: add rows of it, or remove it",
                field="spec.data.target",
            )
    return FitRows(
        features=rows.features.astype(np.float64),
        values=rows.values,
        weights=rows.relative_weights,
        groups=rows.groups,
    )
