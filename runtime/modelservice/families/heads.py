"""Which head a task's outputs need, and what it makes of scores."""

from typing import Any

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


def head_of(values: NDArray[Any], *, classes: int) -> PlainHead:
    """The head of so many classes, or of numbers (0), whose scale is that of the values."""
    if not classes:
        return measure_scale(values)
    return Sigmoid() if classes == 2 else Softmax()  # noqa: PLR2004 - two classes need one logit


def raw_outputs(head: PlainHead, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a head makes of scores, in float64: [rows, logits] to [rows, raw outputs]."""
    match head:
        case Softmax():
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(shares / shares.sum(axis=1, keepdims=True))
        case Sigmoid():
            return np.asarray(np.exp(-np.logaddexp(0, np.concatenate([scores, -scores], axis=1))))
        case Scale(mean=mean, std=std):
            return scores * std + mean


def measure_scale(values: NDArray[np.float64]) -> Scale:
    """Mean and standard deviation of some values, 1 where all of them are the same."""
    std = float(values.std())
    return Scale(mean=float(values.mean()), std=std if std > 0 else 1.0)
