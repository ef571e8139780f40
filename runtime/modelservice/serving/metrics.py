"""Prometheus metrics of the server, on a registry of their own."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from modelservice.serving.answer import Answer
from modelservice.serving.chain import Arrival
from modelservice.serving.model import ServedModel

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)


class Metrics:
    """Requests and their seconds by route, batches, the queue, and which model answers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "modelservice_requests", "Requests answered.", ["route", "code"], registry=self.registry
        )
        self._seconds = Histogram(
            "modelservice_request_duration_seconds",
            "Seconds from a request's headers to its answer.",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._batch_rows = Histogram(
            "modelservice_batch_rows", "Rows of a batch.", buckets=BATCH_BUCKETS, registry=self.registry
        )
        self._batch_seconds = Counter(
            "modelservice_batch_seconds",
            "Seconds spent on encoding rows and running the model.",
            registry=self.registry,
        )
        self._queued_rows = Gauge("modelservice_queued_rows", "Rows that wait for a batch.", registry=self.registry)
        self._ready = Gauge("modelservice_ready", "1 while the server asks for requests.", registry=self.registry)
        self._model = Gauge(
            "modelservice_model_info", "The model that answers.", ["name", "digest"], registry=self.registry
        )
        # Finding a labelled child takes longer than counting: the hot path keeps its own.
        self._recorders: dict[tuple[str, str], Callable[[float], None]] = {}

    def watch(self, *, name: str, model: ServedModel, queued: Callable[[], float], ready: Callable[[], bool]) -> None:
        """Show the state of a server's parts at each scrape."""
        self._model.labels(name=name, digest=model.digest).set(1)
        self._queued_rows.set_function(queued)
        self._ready.set_function(lambda: float(ready()))

    def record_request(self, arrival: Arrival, code: str, seconds: float) -> None:
        """Count an answered request by its route, a template and never a path as the client wrote it."""
        route = arrival.route
        recorder = self._recorders.get((route, code))
        if recorder is None:
            recorder = self._recorders[route, code] = self._recorder(route, code)
        recorder(seconds)

    def record_batch(self, rows: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_rows.observe(rows)
        self._batch_seconds.inc(seconds)

    def render(self) -> Answer:
        """The page that Prometheus reads."""
        body = generate_latest(self.registry)
        headers = [(b"content-type", CONTENT_TYPE_LATEST.encode()), (b"content-length", b"%d" % len(body))]
        return Answer(200, headers, body)

    def _recorder(self, route: str, code: str) -> Callable[[float], None]:
        count = self._requests.labels(route=route, code=code).inc
        observe = self._seconds.labels(route=route).observe

        def record(seconds: float) -> None:
            count()
            observe(seconds)

        return record
