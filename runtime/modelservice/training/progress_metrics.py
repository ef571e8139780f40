"""The progress of a stage for Prometheus: ``GET /metrics`` of its pod."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from modelservice.contract.progress import Progress

CONTENT_TYPE = CONTENT_TYPE_LATEST


class _Told(Collector):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Family]:
        """Samples of what is known; what is not has none."""
        progress = self._progress
        samples = (
            ("done", "Steps done: epochs of a network, else parts of the work.", progress.done),
            ("total", "Steps in all.", progress.total),
            ("loss", "Loss on the validation rows.", progress.loss),
            ("seconds_left", "Seconds that the stage still takes, as its pace so far tells.", progress.eta_seconds),
        )
        for name, words, value in samples:
            if value is not None:
                family = GaugeMetricFamily(f"modelservice_stage_{name}", words, labels=["stage"])
                family.add_metric([progress.stage], value)
                yield family
        if progress.metric is not None:
            words = "Metrics on the validation rows."
            family = GaugeMetricFamily("modelservice_stage_metric", words, labels=["stage", "metric"])
            family.add_metric([progress.stage, progress.metric.name], progress.metric.value)
            yield family


def exposition(progress: Progress) -> bytes:
    """The progress, and memory and CPU time of the process, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Told(progress))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return generate_latest(registry)
