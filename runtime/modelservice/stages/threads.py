"""How many threads a stage may use where it does not leave that to torch."""

import os
from collections.abc import Mapping
from typing import Final

from modelservice.families.base import Fitted
from modelservice.inference.onnx_engine import OnnxEngine

THREADS_ENV: Final = "OMP_NUM_THREADS"
"""Read by torch, scikit-learn's solvers and the BLAS of numpy, once, when they are imported."""
_LARGE: Final = 2**24
"""Parameters from which one thread takes longer for all rows than a GPU for the training."""


def granted_threads(environment: Mapping[str, str]) -> int:
    """As many as the environment says, and as there are CPUs where it does not."""
    said = environment.get(THREADS_ENV, "")
    return int(said) if said.isdigit() and int(said) > 0 else os.cpu_count() or 1


def engine_of(fitted: Fitted) -> OnnxEngine:
    """What computes a trained model's rows: by one thread, so that any number of CPUs measures the same bits.

    A large one is computed by all threads, as its steps were.
    """
    return OnnxEngine(fitted.onnx, threads=granted_threads(os.environ) if fitted.parameters >= _LARGE else 1)
