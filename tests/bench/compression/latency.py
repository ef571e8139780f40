"""How many rows a second the engine answers before and after, one thread, in one run: ``--latency``.

Apart from the fits, which need no quiet machine.
"""

import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tests.bench.compression.fitting import BEFORE, FoldName, keys_of
from tests.bench.compression.subjects import SUBJECTS, Subject

from modelservice.inference.onnx_engine import OnnxEngine

BATCHES: Final = (1, 64)
_CALLS: Final = {1: 2000, 64: 200}
_WARM: Final = 10

Latencies = dict[str, dict[str, dict[str, float]]]
"""Seconds of a call by subject, batch and model."""


def measure_latencies(folder: Path, stored: Path) -> None:
    """Measure the models of the first fold of each subject that this machine fitted, and store what was found."""
    found = {
        subject.name: _of_subject(subject, folds[0], folder, stored)
        for subject in SUBJECTS
        if (folds := fitted_here(subject.name, folder))
    }
    (stored / "latency.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


def read_latencies(folder: Path) -> Latencies:
    """What was stored; nothing where nobody measured."""
    place = folder / "latency.json"
    found: Latencies = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    return found


def fitted_here(subject: str, folder: Path) -> list[FoldName]:
    """The folds of a subject whose models are there, which are in no repository."""
    found = []
    for place in sorted((folder / subject).glob(f"*.{BEFORE}.onnx")):
        seed, fold = place.name.removesuffix(f".{BEFORE}.onnx").split("-")
        found.append(FoldName(subject=subject, seed=int(seed), fold=int(fold)))
    return found


def _of_subject(subject: Subject, fold: FoldName, folder: Path, stored: Path) -> dict[str, dict[str, float]]:
    shape = json.loads(fold.place(stored).read_text(encoding="utf-8"))["small"]["shape"]
    models = fold.place(folder)
    engines = {key: OnnxEngine(models.with_suffix(f".{key}.onnx").read_bytes()) for key in keys_of(subject)[:2]}
    return {str(batch): seconds_of(engines, shape, batch) for batch in BATCHES}


def seconds_of(engines: dict[str, OnnxEngine], shape: Sequence[int], batch: int) -> dict[str, float]:
    """Seconds of a call of each engine: the median of calls that take turns.

    Args:
        engines: by name.
        shape: of a row.
        batch: rows of a call.
    """
    rows = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    taken: dict[str, list[float]] = {key: [] for key in engines}
    for call in range(_WARM + _CALLS[batch]):
        for key, engine in engines.items():
            start = time.perf_counter()
            engine.run(rows)
            if call >= _WARM:
                taken[key].append(time.perf_counter() - start)
    return {key: statistics.median(seconds) for key, seconds in taken.items()}
