"""Recomputes ``summary.json`` from the stored predictions of rows: ``python -m tests.bench.quality.recompute``.

By other means than the bench: the truth comes from the tables again, scores from scikit-learn, the t-test from its
formula, and each repeat must have tested each row once. Ends with 1 if anything differs.
"""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special
from sklearn import metrics
from tests.bench.quality.places import PLACES, SUMMARY
from tests.bench.quality.store import Fit, FitName, Predictions, Store, StoreError
from tests.bench.quality.tables import Table, load_table, source_named

TOLERANCE = 1e-9
LEAST_PROBABILITY = 1e-7
RIVALS = ("logistic", "svm", "forest", "boosting", "network")
FIRST = ("iris", "wine", "breast_cancer", "digits", "diabetes")

Scores = dict[str, list[float]]


def main() -> int:
    """Compare, and say what differs."""
    document = json.loads(SUMMARY.read_text(encoding="utf-8"))
    found: dict[tuple[str, str], Scores] = {}
    try:
        problems = list(differences(document, Store(folder=PLACES.fits), PLACES.packages, found))
    except StoreError as error:
        problems = [str(error)]
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    fits = sum(len(values) for scores in found.values() for values in list(scores.values())[:1])
    sys.stdout.write(f"{fits} fits recomputed, {len(problems)} differences\n")
    return 1 if problems else 0


def differences(
    document: Mapping[str, Any], store: Store, packages: Path, found: dict[tuple[str, str], Scores]
) -> Iterator[str]:
    """A sentence for everything that differs; ``found`` is filled with the scores of each table and candidate."""
    tables: dict[str, Table] = {}
    for standing in document["standings"]:
        name, candidate = standing["table"], standing["candidate"]
        table = tables.setdefault(name, load_table(source_named(name), packages))
        fits = list(stored_fits(store, name, candidate, key=standing["key"]))
        if len(fits) != standing["fits"]:
            yield f"{name} {candidate}: {len(fits)} fits are stored, {standing['fits']} were counted"
            continue
        whole = standing["fits"] == standing["wanted"]
        yield from check_rows(table, fits, folds=document["folds"] if whole else None)
        scores = scores_of(table, [predictions for _, predictions in fits])
        found[name, candidate] = scores
        for score, values in scores.items():
            if values:
                said = standing["scores"][score]
                yield from _differs(f"{name} {candidate}: mean {score}", np.mean(values), said["mean"])
            if len(values) > 1:
                yield from _differs(
                    f"{name} {candidate}: deviation of {score}", np.std(values, ddof=1), said["deviation"]
                )
    if len(found) == len(document["standings"]):
        yield from compared(document, found)
        yield from verdicts(document, found)


def stored_fits(store: Store, table: str, candidate: str, *, key: str) -> Iterator[tuple[Fit, Predictions]]:
    """Fits that did not fail, in the order of repeats and folds."""
    for path in sorted((store.folder / table / candidate).glob("[0-9]*-[0-9]*.json")):
        repeat, fold = (int(part) for part in path.stem.split("-"))
        fit = store.read(FitName(table=table, candidate=candidate, repeat=repeat, fold=fold))
        if fit is not None and fit.key == key and fit.error is None:
            yield fit, store.predictions(fit)


def check_rows(table: Table, fits: Sequence[tuple[Fit, Predictions]], *, folds: int | None) -> Iterator[str]:
    """What was stored as the truth must be that of the table, and whole repeats must test each row once."""
    by_repeat: dict[int, list[NDArray[np.int64]]] = {}
    for fit, predictions in fits:
        by_repeat.setdefault(fit.name.repeat, []).append(predictions.rows)
        if not np.array_equal(predictions.truth, table.target[predictions.rows]):
            yield f"{fit.name}: the stored truth is not that of the table"
        if fit.train_rows != len(table.target) - len(predictions.rows):
            yield f"{fit.name}: learned from {fit.train_rows} rows, which are not all others"
    if folds is not None:
        for repeat, rows in by_repeat.items():
            if len(rows) != folds or sorted(np.concatenate(rows).tolist()) != list(range(len(table.target))):
                yield f"{table.source.name}, repeat {repeat}: not every row was tested exactly once"


def scores_of(table: Table, found: Sequence[Predictions]) -> Scores:
    """Scores of each fit, from scikit-learn."""
    if not table.classes:
        return {"r2": [float(metrics.r2_score(one.truth, one.values)) for one in found]}
    codes = list(range(len(table.classes)))
    losses = []
    for one in found:
        raised = np.maximum(one.probabilities, LEAST_PROBABILITY)
        shares = raised / raised.sum(axis=1)[:, np.newaxis]
        losses.append(float(metrics.log_loss(one.truth, shares, labels=codes)))
    return {"accuracy": [float(metrics.accuracy_score(one.truth, one.values)) for one in found], "log_loss": losses}


def compared(document: Mapping[str, Any], found: Mapping[tuple[str, str], Scores]) -> Iterator[str]:
    """Differences and p-values of ours against the best, which must be the best."""
    ratio = 1 / (document["folds"] - 1)
    for one in document["comparisons"]:
        table, label = one["table"], f"{one['table']}, {one['ours']} against {one['best']}"
        means = {rival: np.mean(_main(found[table, rival])) for rival in RIVALS}
        if means[one["best"]] < max(means.values()):
            yield f"{label}: another one is better"
        paired = np.subtract(_main(found[table, one["ours"]]), _main(found[table, one["best"]]))
        yield from _differs(f"{label}: difference", paired.mean(), one["difference"])
        yield from _differs(f"{label}: p-value", _p_value(paired, ratio), one["p_value"])


def verdicts(document: Mapping[str, Any], found: Mapping[tuple[str, str], Scores]) -> Iterator[str]:
    """The figures with limits that are made of scores."""
    expected: dict[str, float] = {}
    for ours in ("auto", "mlp"):
        gaps = {one["table"]: one["difference"] for one in document["comparisons"] if one["ours"] == ours}
        if gaps:
            expected[f"{ours}: mean over the tables, minus the best's"] = 100 * float(np.mean(list(gaps.values())))
        if ours == "auto":
            expected |= _auto_verdicts(gaps, found)
        elif set(FIRST) <= set(gaps):
            first = [gaps[table] for table in FIRST]
            expected["mlp: mean over the first five, minus the best's"] = 100 * float(np.mean(first))
    said = {one["figure"]: one["value"] for one in document["figures"]}
    for name, value in expected.items():
        yield from _differs(name, value, said[name])


def _auto_verdicts(gaps: Mapping[str, float], found: Mapping[tuple[str, str], Scores]) -> dict[str, float]:
    classes = [table for table in gaps if "accuracy" in found[table, "auto"]]
    numbers = [table for table in gaps if table not in classes]
    expected = {}
    if classes:
        expected["auto: furthest below the best, accuracy"] = max(0.0, *(-100 * gaps[table] for table in classes))
        losses = [
            np.mean([np.mean(found[table, who]["log_loss"]) for table in classes]) for who in ("auto", "logistic")
        ]
        expected["auto: mean log loss, by that of logistic regression"] = float(losses[0] / losses[1])
    if numbers:
        expected["auto: furthest below the best, R2"] = max(0.0, *(-gaps[table] for table in numbers))
    return expected


def _main(scores: Scores) -> list[float]:
    return scores["accuracy"] if "accuracy" in scores else scores["r2"]


def _p_value(paired: NDArray[np.float64], ratio: float) -> float:
    """Two-sided, of the corrected resampled t-test: the tail of Student's t as an incomplete beta function."""
    count, variance = len(paired), float(np.var(paired, ddof=1)) * (1 / len(paired) + ratio)
    if math.isclose(variance, 0, abs_tol=1e-30):
        return 1.0 if paired.mean() == 0 else 0.0
    squared = float(paired.mean()) ** 2 / variance
    freedom = count - 1
    return float(special.betainc(freedom / 2, 0.5, freedom / (freedom + squared)))


def _differs(what: str, mine: Any, said: float) -> Iterator[str]:
    if not math.isclose(float(mine), said, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
        yield f"{what}: {float(mine)!r} was found, {said!r} is said"


if __name__ == "__main__":
    sys.exit(main())
