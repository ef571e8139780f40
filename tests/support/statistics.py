"""How far answers are right."""

from collections.abc import Sequence

import numpy as np


def agreement(answers: Sequence[str], truth: Sequence[str]) -> float:
    """Share of answers that are right."""
    return sum(answer == true for answer, true in zip(answers, truth, strict=True)) / len(truth)


def determination(answers: Sequence[float], truth: Sequence[float]) -> float:
    """R2 of answers."""
    residual, total = np.subtract(truth, answers), np.subtract(truth, np.mean(truth))
    return float(1 - (residual @ residual) / (total @ total))
