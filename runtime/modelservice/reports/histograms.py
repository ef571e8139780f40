"""The baseline for drift: histograms in bounded space."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.baseline import MAX_BINS, MAX_TEXTS, Baseline, Histogram, NumberHistogram, TextHistogram
from modelservice.modalities.base import Variable
from modelservice.reports.subject import Subject


def measure_baseline(subject: Subject) -> Baseline:
    """Histograms of each input over the training rows, and of each output over the test rows."""
    rows = len(subject.dataset.train.values)
    return Baseline(
        feature_rows=rows,
        features=tuple(histogram(column.name, _first(column.variable(), rows)) for column in subject.columns),
        output_rows=len(subject.raw),
        outputs=_outputs(subject),
    )


def _first(variable: Variable, rows: int) -> Variable:
    return variable._replace(values=variable.values[:rows])


def histogram(name: str, variable: Variable) -> Histogram:
    """Count numbers in bins of about as many each, or texts by name."""
    values, missing = variable.values, variable.missing
    gone, present = int(missing.sum()), values[~missing]
    if variable.texts is None:
        edges = _edges(present)
        counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
        return NumberHistogram(
            name=name, unit=variable.unit, edges=tuple(edges.tolist()), counts=tuple(counts.tolist()), missing=gone
        )
    return _texts(name, variable.texts, np.bincount(present, minlength=len(variable.texts)), gone)


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles between which about as many values lie, each a value that is there; fewer where values come again."""
    if values.size == 0:
        return np.empty(0)
    shares = np.arange(1, MAX_BINS) / MAX_BINS
    edges = np.unique(np.quantile(values, shares, method="inverted_cdf"))
    # Nothing lies above the largest value.
    return np.asarray(edges[edges < values.max()], dtype=np.float64)


def _texts(name: str, texts: tuple[str, ...], counts: NDArray[np.int64], missing: int) -> TextHistogram:
    frequent = sorted(np.flatnonzero(counts).tolist(), key=lambda code: (-counts[code], texts[code]))
    named = frequent[:MAX_TEXTS]
    return TextHistogram(
        name=name,
        texts=tuple(texts[code] for code in named),
        counts=tuple(int(counts[code]) for code in named),
        other=int(counts[frequent[MAX_TEXTS:]].sum()),
        missing=missing,
    )


def _outputs(subject: Subject) -> tuple[Histogram, ...]:
    """Of each output by its name in the signature; of an array one for each of its first labels."""
    dataset, found = subject.dataset, list[Histogram]()
    answers = dataset.task.named(subject.raw, dataset.labels)
    for output in dataset.task.outputs(dataset.labels):
        answer = answers[output.name]
        if output.labels is not None:
            columns = zip(output.labels[:MAX_TEXTS], np.asarray(answer, dtype=np.float64).T, strict=False)
            found += [histogram(f"{output.name}: {label}", Variable(numbers)) for label, numbers in columns]
        else:
            found.append(histogram(output.name, _variable(answer)))
    return tuple(found)


def _variable(answer: Any) -> Variable:
    """The answers of all rows, texts or numbers."""
    if isinstance(answer, np.ndarray):
        return Variable(answer.astype(np.float64))
    texts = tuple(dict.fromkeys(answer))
    codes = {text: code for code, text in enumerate(texts)}
    return Variable(np.array([codes[text] for text in answer], dtype=np.int32), texts)
