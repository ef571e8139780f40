"""Float32 numbers right beside each other, between which thresholds have to stand exactly."""

from typing import Any

import numpy as np


def close_rows() -> Any:
    """Rows of small, usual and huge numbers, each the next float32 after that of the row before."""
    rows = [np.array([0.1, 1.0, -3.0, 1e-30, 1e30, 16777216], np.float32)]
    for _ in range(40):
        rows.append(np.nextafter(rows[-1], np.float32(np.inf)))
    return np.stack(rows)


def neighbours(features: Any, steps: int = 2) -> Any:
    """Rows and the float32 numbers right beside theirs."""
    found = [features]
    for direction in (-np.inf, np.inf):
        beside = features
        for _ in range(steps):
            beside = np.nextafter(beside, np.float32(direction))
            found.append(beside)
    return np.concatenate(found)
