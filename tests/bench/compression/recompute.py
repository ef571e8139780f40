"""The table from stored predictions and files alone: ``python -m tests.bench.compression.recompute``.

Nothing of the fits but row-level outputs, sizes and model files is read, and nothing of the package computes here but
the engine whose speed is measured. Ends with 1 if a limit does not hold.
"""

import json
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tests.bench.compression.fitting import AUTO, BEFORE, DISTILLED, SCRATCH
from tests.bench.compression.subjects import RATIO, SUBJECTS, Subject
from tests.bench.record import FOLDER

from modelservice.inference.onnx_engine import OnnxEngine

HOME: Final = FOLDER / "compression"
_Z: Final = 1.959964
_BATCH: Final = 64
_LESS_BYTES: Final = 40
_CALLS: Final = 40


def main() -> int:
    """Print the table and say whether all limits hold."""
    held = True
    for subject in SUBJECTS:
        places = sorted((HOME / subject.name).glob("*-*.json"))
        if not places:
            sys.stdout.write(f"{subject.name}: no fold yet\n")
            held = False
            continue
        held = write_table(subject, places) and held
    return 0 if held else 1


def write_table(subject: Subject, places: list[Path]) -> bool:
    """Of one subject; whether its limits hold."""
    told = [json.loads(place.read_text(encoding="utf-8")) for place in places]
    right = {key: _right(places, key) for key in (BEFORE, AUTO, SCRATCH, DISTILLED)}
    sys.stdout.write(f"\n{subject.name}, {len(places)} folds, {len(right[BEFORE])} predictions\n")
    sys.stdout.write("| model | parameters | bytes | accuracy | lost to the uncompressed | 95 % interval |\n")
    sys.stdout.write("|:--|--:|--:|--:|--:|--:|\n")
    for key, hits in right.items():
        sizes = [one["sizes"][key] for one in told]
        parameters, content = (statistics.median(one[name] for one in sizes) for name in ("parameters", "bytes"))
        lost, low, high = paired(right[BEFORE], hits)
        cells = (
            f"{parameters:,.0f}",
            f"{content:,.0f}",
            f"{hits.mean():.4f}",
            f"{lost:.4f}",
            f"{low:.4f} to {high:.4f}",
        )
        sys.stdout.write(f"| {key} | {' | '.join(cells)} |\n")
    fewer = min(one["sizes"][BEFORE]["parameters"] / one["sizes"][AUTO]["parameters"] for one in told)
    smaller = min(one["sizes"][BEFORE]["bytes"] / one["sizes"][AUTO]["bytes"] for one in told)
    faster = {batch: _faster(places[0], subject.shape, batch) for batch in (1, _BATCH)}
    sys.stdout.write(
        f"every fold: at least {fewer:.1f} x fewer parameters, {smaller:.1f} x fewer bytes; rows a second at batch 64"
        f" {faster[_BATCH]:.1f} x, at batch 1 {faster[1]:.1f} x (one thread)\n"
    )
    limits = {
        f"loss at most {subject.budget}": paired(right[BEFORE], right[AUTO])[2] <= subject.budget,
        f"{RATIO} x fewer parameters": fewer >= RATIO,
        f"{_LESS_BYTES} x fewer bytes": smaller >= _LESS_BYTES,
        f"{subject.faster} x faster": faster[_BATCH] >= subject.faster,
    }
    for words, holds in limits.items():
        sys.stdout.write(f"{'holds' if holds else 'MISSED'}: {words}\n")
    return all(limits.values())


def paired(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> tuple[float, float, float]:
    """What is lost on the mean, with its paired 95 % interval of the normal distribution.

    Rows are counted once for each seed, which makes the interval narrower than as many new rows would; the number of
    seeds is fixed.
    """
    differences = before.astype(float) - after.astype(float)
    mean, room = float(differences.mean()), _Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return mean, mean - room, mean + room


def _right(places: list[Path], key: str) -> NDArray[np.bool_]:
    found = []
    for place in places:
        with np.load(place.with_suffix(".npz"), allow_pickle=False) as arrays:
            found.append(arrays[f"model {key}"].argmax(axis=1) == arrays["truth"])
    return np.concatenate(found)


def _faster(place: Path, shape: tuple[int, ...], batch: int) -> float:
    """Times more rows a second, by the median of calls that take turns."""
    rows = np.random.default_rng(0).normal(size=(batch, *shape)).astype(np.float32)
    engines = [OnnxEngine(place.with_suffix(f".{key}.onnx").read_bytes()) for key in (BEFORE, AUTO)]
    for engine in engines:
        engine.use_threads(1)
        engine.run(rows)
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(_CALLS):
        for engine, taken in zip(engines, seconds, strict=True):
            start = time.perf_counter()
            engine.run(rows)
            taken.append(time.perf_counter() - start)
    before, after = map(statistics.median, seconds)
    return before / after


if __name__ == "__main__":
    sys.exit(main())
