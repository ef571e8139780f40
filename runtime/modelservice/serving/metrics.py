"""Prometheus metrics of a model; ``exposition`` is the page of all of a server.

What each request adds is counted in plain numbers on the event loop and turned into samples when somebody scrapes:
the library's own counters take a lock each, together 7 us a request.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from threading import Lock
from typing import Final, NamedTuple, Self

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modelservice.contract.serving_metrics import QUEUE_WAIT_SECONDS, REQUESTS_IN_FLIGHT
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Tolerated
from modelservice.serving.chain import Arrival
from modelservice.serving.load import Load
from modelservice.serving.model import ServedModel, columns_of

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_GOOD: Final = frozenset({"200", "OK"})
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Histogram:
    """Counts of observations up to each bound, the last those beyond all, and their sum."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    @property
    def sum(self) -> float:
        """Sum of the values."""
        return self._sum

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self._counts)

    def include(self, other: Self) -> None:
        """Add what another one of the same bounds has counted."""
        self._counts = [count + more for count, more in zip(self._counts, other._counts, strict=True)]
        self._sum += other._sum

    def add_to(self, family: HistogramMetricFamily, labels: list[str]) -> None:
        """Add what was counted to a family of samples; buckets of Prometheus are cumulative."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(float, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append((str(bound), total))
        family.add_metric(labels, buckets=buckets, sum_value=self._sum)


class Statistics(NamedTuple):
    """What was done since the start: inferences that were answered and refused, and what was computed for them."""

    answered: int
    answered_seconds: float
    refused: int
    refused_seconds: float
    rows: int
    batches: int
    batch_seconds: float


class Requests(Collector):
    """Requests and their seconds by route, recorded and rendered on the event loop."""

    def __init__(self) -> None:
        self._seconds: dict[tuple[str, str], Histogram] = {}
        self._inferring: set[str] = set()

    def record(self, arrival: Arrival, code: str, seconds: float) -> None:
        """Count an answered request by its route, a template and never a path as the client wrote it."""
        key = (arrival.route, code)
        histogram = self._seconds.get(key)
        if histogram is None:
            histogram = self._seconds[key] = Histogram(LATENCY_BUCKETS)
            if arrival.infers:
                self._inferring.add(arrival.route)
        histogram.observe(seconds)

    def inferences(self) -> tuple[Histogram, Histogram]:
        """Those that asked for an inference: answered, and refused."""
        answered, refused = Histogram(LATENCY_BUCKETS), Histogram(LATENCY_BUCKETS)
        for (route, code), histogram in self._seconds.items():
            if route in self._inferring:
                (answered if code in _GOOD else refused).include(histogram)
        return answered, refused

    def collect(self) -> Iterator[Metric]:
        """What was recorded, as a registry reads it."""
        requests = CounterMetricFamily("modelservice_requests", "Requests answered.", labels=["route", "code"])
        by_route: dict[str, Histogram] = {}
        for (route, code), histogram in self._seconds.items():
            requests.add_metric([route, code], histogram.count)
            by_route.setdefault(route, Histogram(LATENCY_BUCKETS)).include(histogram)
        seconds = HistogramMetricFamily(
            "modelservice_request_duration_seconds", "Seconds from a request's headers to its answer.", labels=["route"]
        )
        for route, histogram in by_route.items():
            histogram.add_to(seconds, [route])
        yield from (requests, seconds)


class Watched(NamedTuple):
    """The parts of a server around one model, of which metrics tell the state."""

    name: str
    digest: str
    monitor: Collector
    queued: Callable[[], float]
    load: Load
    ready: Callable[[], bool]


class Metrics(Collector):
    """Requests of a model, batches, the queue, and which artifact answers.

    Everything is recorded and rendered on the event loop, but for what is counted where a batch is computed.
    """

    def __init__(self) -> None:
        self._requests = Requests()
        self.record_request = self._requests.record
        self._batch_rows = Histogram(BATCH_BUCKETS)
        self._batch_seconds = 0.0
        self._unseen: dict[str, int] = {}
        self._far: dict[str, int] = {}
        self._missing_columns: dict[str, int] = {}
        self._unknown_columns = 0
        self._tolerating = Lock()
        self._watched: Watched | None = None

    def watch(
        self,
        *,
        name: str,
        model: ServedModel,
        monitor: Collector,
        queued: Callable[[], float],
        load: Load,
        ready: Callable[[], bool],
    ) -> None:
        """Show the state of a server's parts at each scrape; counts of columns that it had before go on."""
        self._watched = Watched(name, model.digest, monitor, queued, load, ready)
        self._unseen = {column: self._unseen.get(column, 0) for column in columns_of(model, ColumnKind.CATEGORY)}
        self._far = {column: self._far.get(column, 0) for column in columns_of(model, ColumnKind.NUMBER)}
        with self._tolerating:
            for given in model.signature.inputs:
                if isinstance(given, InputColumn):
                    self._missing_columns.setdefault(given.name, 0)

    def record_batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_rows.observe(rows)
        self._batch_seconds += seconds

    def record_unlike(self, counts: Mapping[str, int]) -> None:
        """Count values of a batch that are unlike those of training, by column; one batch at a time calls it."""
        for column, count in counts.items():
            counted = self._far if column in self._far else self._unseen
            counted[column] = counted.get(column, 0) + count

    def record_tolerated(self, tolerated: Tolerated) -> None:
        """Count cells that were left out or taken for missing; requests are parsed in several threads."""
        with self._tolerating:
            for column, count in tolerated.items():
                if column is None:
                    self._unknown_columns += count
                else:
                    self._missing_columns[column] += count

    def statistics(self) -> Statistics:
        """What was recorded of inferences, in figures."""
        answered, refused = self._requests.inferences()
        return Statistics(
            answered=answered.count,
            answered_seconds=answered.sum,
            refused=refused.count,
            refused_seconds=refused.sum,
            rows=int(self._batch_rows.sum),
            batches=self._batch_rows.count,
            batch_seconds=self._batch_seconds,
        )

    def collect(self) -> Iterator[Metric]:
        """What was recorded, as the registry reads it."""
        yield from self._requests.collect()
        rows = HistogramMetricFamily("modelservice_batch_rows", "Rows of a batch.", labels=[])
        self._batch_rows.add_to(rows, [])
        yield rows
        yield CounterMetricFamily(
            "modelservice_batch_seconds",
            "Seconds spent on encoding rows and running the model.",
            value=self._batch_seconds,
        )

        unseen = CounterMetricFamily(
            "modelservice_unseen_categories", "Categories in answered rows that training never saw.", labels=["column"]
        )
        for column, count in tuple(self._unseen.items()):
            unseen.add_metric([column], count)
        far = CounterMetricFamily(
            "modelservice_far_values",
            "Numbers in answered rows that are far from those of training.",
            labels=["column"],
        )
        for column, count in tuple(self._far.items()):
            far.add_metric([column], count)
        missing = CounterMetricFamily(
            "modelservice_missing_columns",
            "Values that were taken for missing, since requests had not their column.",
            labels=["column"],
        )
        for column, count in tuple(self._missing_columns.items()):
            missing.add_metric([column], count)
        yield from (unseen, far, missing)
        yield CounterMetricFamily(
            "modelservice_unknown_columns",
            "Values of columns that the model does not have, which were left out.",
            value=self._unknown_columns,
        )
        if self._watched is not None:
            yield from _state(self._watched)
            yield from self._watched.monitor.collect()


def _state(watched: Watched) -> Iterator[Metric]:
    yield GaugeMetricFamily("modelservice_queued_rows", "Rows that wait for a batch.", value=watched.queued())
    in_flight = "Requests that wait or are computed, on average over the last seconds."
    yield GaugeMetricFamily(REQUESTS_IN_FLIGHT, in_flight, value=watched.load.requests_in_flight)
    waited = "Seconds that requests waited to be computed, on average over those of the last seconds."
    yield GaugeMetricFamily(QUEUE_WAIT_SECONDS, waited, value=watched.load.wait_seconds)
    ready = "1 while the server asks for requests."
    yield GaugeMetricFamily("modelservice_ready", ready, value=float(watched.ready()))
    model = GaugeMetricFamily("modelservice_model_info", "The model that answers.", labels=["name", "digest"])
    model.add_metric([watched.name, watched.digest], 1)
    yield model
