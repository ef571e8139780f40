"""Running a model over any number of rows, as a server does."""

from collections.abc import Callable
from typing import Final

import numpy as np

from modelservice.modalities.base import Features
from modelservice.tasks.base import Array

BATCH_ROWS: Final = 64
"""Rows of one forward pass: the largest batch that serving makes by default."""


def run_batches(run: Callable[[Features], Array], features: Features) -> Array:
    """A model's outputs for any number of rows, at least one."""
    return np.concatenate([run(features[start : start + BATCH_ROWS]) for start in range(0, len(features), BATCH_ROWS)])
