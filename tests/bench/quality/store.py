"""Fits on disk: a file of row-level predictions and a document for each, which a later run does not make again."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROWS, TRUTH, VALUES, PROBABILITIES = "rows", "truth", "values", "probabilities"


@dataclass(frozen=True, kw_only=True)
class FitName:
    """Which fit it is."""

    table: str
    candidate: str
    repeat: int
    fold: int


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What came of a fit.

    Attributes:
        key: of what decides the predictions: rows, folds, candidate.
        train_rows: how many rows were learned from.
        classes: labels by code, none where numbers were predicted.
        scores: by name, none if it failed.
        seconds: from the first look at the training rows to the last prediction.
        cpu_seconds: of that, CPU time, in children too.
        error: why it failed, None if it did not.
        sha256: of the file of predictions, None if it failed.
    """

    name: FitName
    key: str
    train_rows: int
    classes: tuple[str, ...]
    scores: dict[str, float]
    seconds: float
    cpu_seconds: float
    error: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """Of the test rows of a fold.

    Attributes:
        rows: int64 [n], of the table, from 0.
        truth, values: codes int64 [n], or numbers float64 [n].
        probabilities: float64 [n, classes], empty [n, 0] where numbers are predicted.
    """

    rows: NDArray[np.int64]
    truth: NDArray[np.int64] | NDArray[np.float64]
    values: NDArray[np.int64] | NDArray[np.float64]
    probabilities: NDArray[np.float64]


class StoreError(Exception):
    """A stored fit is not what was written; the text names the file."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """A folder of fits, ``TABLE/CANDIDATE/REPEAT-FOLD.json`` and ``.npz`` beside it."""

    folder: Path

    def write(self, fit: Fit, predictions: Predictions | None) -> None:
        """Store a fit; what stood there is replaced when all is written, the document last."""
        place = self._place(fit.name)
        place.parent.mkdir(parents=True, exist_ok=True)
        digest = None
        if predictions is not None:
            arrays = place.with_suffix(".npz")
            scratch = arrays.with_name(f".{os.getpid()}-{arrays.name}")
            with scratch.open("wb") as file:
                np.savez_compressed(file, **asdict(predictions))
            digest = _sha256(scratch)
            scratch.replace(arrays)
        scratch = place.with_name(f".{os.getpid()}-{place.name}")
        document = {**asdict(fit), "sha256": digest}
        scratch.write_text(f"{json.dumps(document, indent=1, allow_nan=False)}\n", encoding="utf-8")
        scratch.replace(place)

    def read(self, name: FitName) -> Fit | None:
        """A stored fit, or None.

        Raises:
            StoreError: the document cannot be read.
        """
        place = self._place(name)
        if not place.is_file():
            return None
        try:
            document = json.loads(place.read_text(encoding="utf-8"))
            return Fit(**{**document, "name": FitName(**document["name"]), "classes": tuple(document["classes"])})
        except (ValueError, TypeError, KeyError) as error:
            raise StoreError(f"{place} is no document of a fit: {error}; delete it to make the fit again") from None

    def predictions(self, fit: Fit) -> Predictions:
        """The predictions of a fit that did not fail.

        Raises:
            StoreError: the file is missing, or not that of the fit.
        """
        place = self._place(fit.name).with_suffix(".npz")
        if not place.is_file() or _sha256(place) != fit.sha256:
            raise StoreError(f"{place} is not the file that was written with its document; delete both")
        with np.load(place, allow_pickle=False) as arrays:
            return Predictions(**{name: arrays[name] for name in (ROWS, TRUTH, VALUES, PROBABILITIES)})

    def _place(self, name: FitName) -> Path:
        return self.folder / name.table / name.candidate / f"{name.repeat}-{name.fold}.json"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
