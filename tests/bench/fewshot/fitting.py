"""One draw of a set: candidates learn from 8, 16, 32 and 125 examples of each class, and says the tested rows."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from tests.bench.fewshot.candidates import Task, candidates_of
from tests.bench.fewshot.embedding import READS_IMAGES, embedded
from tests.bench.fewshot.places import STORED
from tests.bench.fewshot.sets import Set, set_named

SEEDS: Final = (0, 1, 2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class DrawName:
    """Which draw of which set."""

    set: str
    seed: int

    def place(self, folder: Path) -> Path:
        """Of its predictions."""
        return folder / self.set / f"{self.seed}.npz"


def key_of(size: int, candidate: str) -> str:
    """The array of what a candidate says after so many examples of a class."""
    return f"{size} {candidate}"


_READ_BY: Final = "encoder"
"""The array that says what read the images of a draw."""


def is_fitted(one: Set, name: DrawName, stored: Path) -> bool:
    """Whether a draw is stored, with what the heads say on the encoder of now."""
    place = name.place(stored)
    if not place.exists():
        return False
    with np.load(place, allow_pickle=False) as arrays:
        return one.texts or (_READ_BY in arrays and str(arrays[_READ_BY]) == READS_IMAGES)


def fit_draw(one: Set, name: DrawName, stored: Path) -> None:
    """Fit all candidates and store what they say; the file is put there when it is whole.

    Of a draw that another encoder read, who takes no numbers of an encoder stays as it is.
    """
    rows = one.rows()
    numbers = embedded(one, rows)
    learned, tested = rows.drawn(name.seed)
    said = _kept(one, name.place(stored))
    for candidate in candidates_of(texts=one.texts):
        for size in candidate.sizes:
            key = key_of(size, candidate.name)
            if key not in said:
                task = Task(rows=rows, numbers=numbers, learned=learned[:, :size], tested=tested, seed=name.seed)
                said[key] = candidate.fit(task).astype(np.uint8)
    if not one.texts:
        said[_READ_BY] = np.array(READS_IMAGES)
    place = name.place(stored)
    place.parent.mkdir(parents=True, exist_ok=True)
    waiting = place.with_suffix(".waiting")
    truth = rows.labels[tested].astype(np.uint8)
    with waiting.open("wb") as file:
        np.savez_compressed(file, rows=rows.numbers[tested].astype(np.uint16), truth=truth, **said)
    waiting.replace(place)


def _kept(one: Set, place: Path) -> dict[str, Any]:
    """What stays of a draw."""
    if not place.exists():
        return {}
    keys = {
        key_of(size, candidate.name)
        for candidate in candidates_of(texts=one.texts)
        if not candidate.encoded
        for size in candidate.sizes
    }
    with np.load(place, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in keys & set(arrays)}


def timed_fit(name: DrawName) -> str:
    """Fit a draw with one thread, and say how long it took."""
    torch.set_num_threads(1)
    wall, cpu = time.monotonic(), time.process_time()
    fit_draw(set_named(name.set), name, STORED)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    return f"{name.set} seed {name.seed}: {wall:.0f} s, {cpu:.0f} s of CPU time"
