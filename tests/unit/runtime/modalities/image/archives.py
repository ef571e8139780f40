"""NPZ files for tests."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import Data


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def settings(target: str = "y", **more: Any) -> Data:
    return Data.model_validate({"persistentVolumeClaim": {"claimName": "c", "path": "a.npz"}, "target": target, **more})


def pixels(count: int = 60, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """uint8 [count, *shape], 4 x 6 without a shape."""
    size = (count, *(shape or (4, 6)))
    return np.random.default_rng(seed).integers(0, 256, size=size, dtype=np.uint8)
