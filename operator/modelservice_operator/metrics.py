"""What the operator counts about itself and tells about ModelServices, on a registry of its own."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_RECONCILE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60)


class Metrics:
    """All metrics of one operator process; names start with ``modelservice_operator_``."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.api_requests = Counter(
            "modelservice_operator_api_requests",
            "Requests to the apiserver by verb, kind and HTTP status (or 'none' where no answer came).",
            ("verb", "kind", "code"),
            registry=registry,
        )
        self.writes = Counter(
            "modelservice_operator_writes",
            "Writes of objects that were sent; a converged cluster sees none. The Lease is not counted.",
            ("verb", "kind"),
            registry=registry,
        )
        self.reconciles = Counter(
            "modelservice_operator_reconciles",
            "Reconciles of a ModelService by result: done, transient or error.",
            ("result",),
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "modelservice_operator_reconcile_duration_seconds",
            "Duration of one reconcile.",
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "modelservice_operator_queue_depth", "ModelServices that wait for a worker.", registry=registry
        )
        self.queue_seconds = Histogram(
            "modelservice_operator_queue_wait_seconds",
            "Time a ModelService waited for a worker.",
            buckets=_WAIT_BUCKETS,
            registry=registry,
        )
        self.ghosts = Counter(
            "modelservice_operator_cache_ghosts",
            "Cached objects that were gone without a DELETED event.",
            ("kind",),
            registry=registry,
        )
        self.leader = Gauge("modelservice_operator_leader", "1 while this replica is the leader.", registry=registry)


class ConditionCollector(Collector):
    """``modelservice_condition``: read off the cache when somebody asks, so that nothing has to be kept current."""

    TYPES = ("Ready", "Available", "Stalled")
    """What alerts are made of."""

    RUNTIME_CURRENT = "RuntimeCurrent"
    """Told of those alone that have a server."""

    def __init__(self, services: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        self._services = services

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """For each ModelService its conditions, 1 while one is True, why it is not Ready, and what serves it."""
        family = GaugeMetricFamily(
            "modelservice_condition",
            "1 while a condition of a ModelService is True, else 0.",
            labels=("namespace", "name", "type"),
        )
        unready = GaugeMetricFamily(
            "modelservice_not_ready",
            "1 while a ModelService is not Ready, with the reason of that condition.",
            labels=("namespace", "name", "reason"),
        )
        servers = GaugeMetricFamily(
            "modelservice_server_image",
            "1 for the image of the server that answers for a ModelService.",
            labels=("namespace", "name", "image"),
        )
        for service in self._services():
            metadata = service["metadata"]
            conditions = {c["type"]: c for c in service.get("status", {}).get("conditions", ())}
            place = (metadata["namespace"], metadata["name"])
            for kind in (*self.TYPES, *({self.RUNTIME_CURRENT} & conditions.keys())):
                family.add_metric((*place, kind), conditions.get(kind, {}).get("status") == "True")
            if image := service.get("status", {}).get("serverImage"):
                servers.add_metric((*place, image), 1)
            if (ready := conditions.get("Ready")) is not None and ready["status"] != "True":
                unready.add_metric((*place, ready["reason"]), 1)
        yield family
        yield unready
        yield servers
