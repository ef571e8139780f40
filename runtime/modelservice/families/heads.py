"""Which head a task's outputs need."""

import numpy as np
from numpy.typing import NDArray

from modelservice.families.architecture import PlainHead, Scale, Sigmoid, Softmax
from modelservice.modalities.base import Dataset
from modelservice.tasks.base import Head


def build_head(dataset: Dataset) -> PlainHead:
    """The head of the dataset's task; a scale is measured on the training rows."""
    match dataset.task.head:
        case Head.SOFTMAX:
            return Softmax()
        case Head.SIGMOID:
            return Sigmoid()
        case Head.SCALE:
            return measure_scale(dataset.train.values)


def measure_scale(values: NDArray[np.float64]) -> Scale:
    """Mean and standard deviation of some values, 1 where all of them are the same."""
    std = float(values.std())
    return Scale(mean=float(values.mean()), std=std if std > 0 else 1.0)
