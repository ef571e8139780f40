"""The drift of inputs and outputs against the baseline of the artifact, and how often each label was the answer."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any, Final

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelservice.modalities.base import Rows
from modelservice.modalities.errors import InputError
from modelservice.serving.drift.sample import Sample, Sampled
from modelservice.serving.drift.spread import Spread, Window, build_spread
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.model import ServedModel, outputs_of
from modelservice.tasks.base import Array

_LOG = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 30.0
"""Between two looks at the sample."""
FEWEST_ROWS: Final = 500
"""Rows of a window: of fewer, chance alone makes a stability index of 20 bins that looks like a change."""
MOST_PENDING: Final = 2048
"""Rows of answers that wait to be counted."""
FEATURE: Final = "feature"
PREDICTION: Final = "prediction"


class Monitor(Collector):
    """Counts answers by label, and measures the drift of a sample; a collector of Prometheus.

    ``record`` is called where batches are computed, ``update`` in a thread, ``collect`` where somebody scrapes.
    """

    def __init__(self, model: ServedModel) -> None:
        self._encoder = model.encoder
        self._named = outputs_of(model)
        self._columns = [given.name for given in model.signature.inputs]
        self._features, self._outputs = _features(model), _outputs(model)
        self._watches = bool(self._features or self._outputs)
        self._sample = Sample(len(self._columns) if self._features else 0)
        self._rows = self._window_rows = 0
        self._drift: dict[tuple[str, str], Window] = {}
        self._label = next((output.name for output in model.signature.outputs if model.signature.labels), None)
        self._counts: Counter[str] = Counter(dict.fromkeys(model.signature.labels, 0))
        self._pending: list[Array] = []
        self._pending_rows = 0
        self._counting = Lock()

    def record(self, rows: Rows, raw: Array) -> None:
        """Take note of a batch that was answered; one batch at a time calls it."""
        if self._watches:
            self._sample.add(rows, raw)
        if self._label is not None:
            with self._counting:
                self._pending.append(raw)
                self._pending_rows += len(raw)
            if self._pending_rows >= MOST_PENDING:
                self._count()

    def update(self) -> None:
        """Measure what was sampled since; a window that has enough rows becomes what is shown.

        A batch whose cells cannot be measured is left out: a first row may have been cut (see ``Sample``).
        """
        for sampled in self._sample.take():
            try:
                self._add(sampled)
            except InputError as error:
                _LOG.debug("a batch is left out of drift: %s", error)
        if self._rows < FEWEST_ROWS:
            return
        drift = {(FEATURE, name): spread.take() for name, spread in self._features.items()}
        drift |= {(PREDICTION, name): spread.take() for name, spread in self._outputs.items()}
        self._drift, self._window_rows, self._rows = drift, self._rows, 0

    @property
    def measured_rows(self) -> int:
        """Sampled rows in which the drift was measured last, 0 before."""
        return self._window_rows

    def watched(self, side: str) -> Iterator[tuple[str, Spread, Window | None]]:
        """What is watched of one side, ``FEATURE`` or ``PREDICTION``: its name, its bins, and what was in them last."""
        spreads = self._features if side == FEATURE else self._outputs
        for name, spread in spreads.items():
            yield name, spread, self._drift.get((side, name))

    def collect(self) -> Iterator[Metric]:
        """What was counted and measured, as the registry reads it."""
        self._count()
        answers = CounterMetricFamily(
            "modelservice_predictions", "Rows by the label that was answered.", labels=["label"]
        )
        for label, count in tuple(self._counts.items()):
            answers.add_metric([label], count)
        yield answers
        yield from _gauges(FEATURE, "column", self._drift)
        yield from _gauges(PREDICTION, "output", self._drift)
        rows = "Sampled rows in which the drift was measured last, 0 before."
        yield GaugeMetricFamily("modelservice_drift_rows", rows, value=self._window_rows)

    def _add(self, sampled: Sampled) -> None:
        measured = dict(self._measured(sampled.rows)) if self._features else {}
        for name, values in measured.items():
            self._features[name].add(values)
        self._rows += len(sampled.raw)
        for name, values in self._answers(sampled.raw).items():
            if name in self._outputs:
                self._outputs[name].add(values)

    def _measured(self, rows: Rows) -> Iterator[tuple[str, Sequence[Any]]]:
        """What is watched of some rows, by column.

        Raises:
            InputError: a cell is not what its column holds.
        """
        columns = zip(self._columns, zip(*self._encoder.cells(rows), strict=True), strict=True)
        for name, cells in columns:
            if name in self._features:
                yield name, self._encoder.measures[name](cells)

    def _answers(self, raw: Array) -> dict[str, list[object]]:
        """Outputs by the names of the baseline: an array with labels is one of each."""
        answers: dict[str, list[object]] = {}
        for name, values in self._named(raw).items():
            if isinstance(values, np.ndarray) and values.ndim > 1:
                labelled = zip(self._counts, values.T, strict=False)
                answers |= {f"{name}: {label}": column.tolist() for label, column in labelled}
            else:
                answers[name] = list(values)
        return answers

    def _count(self) -> None:
        with self._counting:
            pending, self._pending, self._pending_rows = self._pending, [], 0
            if not pending or self._label is None:
                return
            self._counts.update(self._named(np.concatenate(pending))[self._label])


async def keep_measuring(
    monitors: Callable[[], Iterable[Monitor]], lifecycle: Lifecycle, *, seconds: float = INTERVAL_SECONDS
) -> None:
    """Measure in a thread, again and again, until the server leaves; a sample that cannot be is logged and left out.

    Args:
        monitors: those of the models that answer now.
        lifecycle: tells when the server leaves.
        seconds: between two looks.
    """
    while not lifecycle.leaving:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await lifecycle.left()
        for monitor in monitors():
            try:
                await asyncio.to_thread(monitor.update)
            except Exception:
                _LOG.exception("drift was not measured this time; it is tried again in %g s", seconds)


def _features(model: ServedModel) -> dict[str, Spread]:
    """Of the columns that the encoder measures; none of images."""
    baseline, measures = model.baseline, model.encoder.measures
    if baseline is None or not baseline.feature_rows:
        return {}
    return {
        histogram.name: build_spread(histogram, measures[histogram.name])
        for histogram in baseline.features
        if histogram.name in measures
    }


def _outputs(model: ServedModel) -> dict[str, Spread]:
    baseline = model.baseline
    if baseline is None or not baseline.output_rows:
        return {}
    return {histogram.name: build_spread(histogram) for histogram in baseline.outputs}


def _gauges(side: str, label: str, drift: dict[tuple[str, str], Window]) -> Iterator[Metric]:
    said = {
        "psi": "Population stability index against the baseline of training.",
        "ks": "Largest difference of the distribution functions against the baseline of training.",
    }
    for measure, text in said.items():
        family = GaugeMetricFamily(f"modelservice_{side}_drift_{measure}", text, labels=[label])
        for (of, name), found in drift.items():
            if of == side and measure in found.measures:
                family.add_metric([name], found.measures[measure])
        yield family
