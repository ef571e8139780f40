"""Whether numbers are probabilities of labels: of a model that was trained elsewhere nothing else says it."""

from typing import Final

import numpy as np

from modelservice.tasks.base import Array

_OFF: Final = 1e-3
"""How far they may be from 0 to 1, and their sum from 1, where the model computes in halves of floats."""
_SHOWN: Final = 5


def improbable(raw: Array) -> str | None:
    """The first row of raw outputs [rows, labels] that are no probabilities of them, and what to do; None if all are.

    Numbers that are not finite are somebody else's to see.
    """
    with np.errstate(invalid="ignore"):
        off = (np.abs(raw.sum(axis=1) - 1) > _OFF) | (raw.min(axis=1) < -_OFF)
    wrong = raw[off & np.isfinite(raw).all(axis=1)]
    if not len(wrong):
        return None
    shown = ", ".join(f"{value:.3g}" for value in wrong[0][:_SHOWN])
    return (
        f"{shown}, which are no probabilities of {raw.shape[1]} labels: say --logits when packing it if they are"
        " logits, or leave labels out"
    )
