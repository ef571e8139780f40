"""The page that Prometheus reads: metrics of the process and of all models of a server."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from modelservice.serving.answer import Answer
from modelservice.serving.metrics import Metrics, Requests


class Exposition(Collector):
    """Metrics by model: of one model as they are, of several told apart by the label ``model``.

    Attributes:
        registry: for what else there is to tell.
        requests: those that belong to no model, where there are several.
    """

    def __init__(self) -> None:
        self._models: dict[str, Metrics] = {}
        self.requests = Requests()
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def add(self, name: str, metrics: Metrics) -> None:
        """Tell of a model from now on."""
        self._models[name] = metrics

    def collect(self) -> Iterator[Metric]:
        """Samples of all models; of a metric that several have in one family, as the format wants it."""
        if len(self._models) == 1:
            yield from next(iter(self._models.values())).collect()
            return
        together = {family.name: family for family in self.requests.collect()}
        for name, metrics in self._models.items():
            for found in metrics.collect():
                samples = [one._replace(labels={**one.labels, "model": name}) for one in found.samples]
                family = together.setdefault(found.name, Metric(found.name, found.documentation, found.type))
                family.samples.extend(samples)
        yield from together.values()

    def render(self) -> Answer:
        """The page, in the Prometheus text format."""
        return Answer(200, ((b"content-type", CONTENT_TYPE_LATEST.encode()),), generate_latest(self.registry))
