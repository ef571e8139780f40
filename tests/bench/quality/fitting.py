"""One fit: a candidate, a table and a fold become predictions and scores."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tests.bench.quality.candidates import candidate_named
from tests.bench.quality.folds import Fold, repeated_folds
from tests.bench.quality.prediction import Candidate, Prediction
from tests.bench.quality.scores import accuracy, log_loss, r_squared
from tests.bench.quality.store import Fit, FitName, Predictions, Store
from tests.bench.quality.tables import Kind, Table, load_table, source_named

ACCURACY, LOG_LOSS, R_SQUARED = "accuracy", "log_loss", "r2"


def run_fit(name: FitName, *, packages: Path, fits: Path) -> Fit:
    """Make a fit and store it; a candidate that refuses or fails is stored as such. Runs in a process of a pool."""
    table = load_table(source_named(name.table), packages)
    candidate = candidate_named(name.candidate)
    fit, predictions = make_fit(candidate, table, fold_of(table, name), key=fit_key(candidate, table))
    Store(folder=fits).write(fit, predictions)
    return fit


def fold_of(table: Table, name: FitName) -> Fold:
    """The fold of a fit."""
    folds = repeated_folds(table.target, stratified=bool(table.classes), repeats=name.repeat + 1)
    return next(fold for fold in folds if (fold.repeat, fold.number) == (name.repeat, name.fold))


def fit_key(candidate: Candidate, table: Table) -> str:
    """Of what decides the predictions of all folds of a table; pandas' hash of each row stands for the rows."""
    rows = pd.util.hash_pandas_object(table.features, index=False).to_numpy()
    parts = (candidate.fingerprint().encode(), rows.tobytes(), table.target.tobytes(), repr(table.classes).encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def make_fit(candidate: Candidate, table: Table, fold: Fold, *, key: str) -> tuple[Fit, Predictions | None]:
    """Train on a fold and predict its test rows; no predictions if that failed."""
    source = table.source
    target = np.asarray(table.classes, dtype=object)[table.target] if table.classes else table.target
    train = table.features.iloc[fold.train].assign(**{source.target: target[fold.train]}).reset_index(drop=True)
    test = table.features.iloc[fold.test].reset_index(drop=True)
    found: Prediction | None = None
    error: str | None = None
    began, cpu_began = time.perf_counter(), _cpu_seconds()
    try:
        found = candidate.fit_predict(source, train, test)
    except Exception as failure:  # whatever a library raises: the other fits go on, and the report says it
        error = f"{type(failure).__name__}: {failure}"[:500]
    seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds() - cpu_began
    predictions = None if found is None else _predictions(found, table, fold)
    fit = Fit(
        name=FitName(table=source.name, candidate=candidate.name, repeat=fold.repeat, fold=fold.number),
        key=key,
        train_rows=len(train),
        classes=table.classes,
        scores={} if predictions is None else scores_of(predictions, source.kind),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        error=error,
    )
    return fit, predictions


def scores_of(predictions: Predictions, kind: Kind) -> dict[str, float]:
    """Scores by name."""
    if kind is Kind.NUMBERS:
        return {R_SQUARED: r_squared(np.asarray(predictions.truth, float), np.asarray(predictions.values, float))}
    truth, values = np.asarray(predictions.truth, int), np.asarray(predictions.values, int)
    return {ACCURACY: accuracy(truth, values), LOG_LOSS: log_loss(truth, predictions.probabilities)}


def _predictions(found: Prediction, table: Table, fold: Fold) -> Predictions:
    codes = {label: code for code, label in enumerate(table.classes)}
    values: NDArray[np.int64] | NDArray[np.float64] = (
        np.array([codes[label] for label in found.values.tolist()], dtype=np.int64)
        if codes
        else np.asarray(found.values, dtype=np.float64)
    )
    return Predictions(
        rows=fold.test,
        truth=table.target[fold.test],
        values=values,
        probabilities=found.aligned(table.classes),
    )


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
